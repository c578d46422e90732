package svc

import (
	"bytes"
	"net"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// manager is a service manager: it returns the next message.
func manager(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagrams over unix sockets here: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		b := make([]byte, 1000)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestMessages(t *testing.T) {
	next := manager(t)
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", "")
	m := Connect(logrus.New())
	if m.Watchdog() != 30*time.Second {
		t.Errorf("watchdog %v, want 30s", m.Watchdog())
	}
	for _, tt := range []struct {
		do   func()
		want string
	}{
		{m.Ready, "READY=1"},
		{m.Alive, "WATCHDOG=1"},
		{func() { m.Status("clat: it\nREADY=0 works") }, "STATUS=clat: it READY=0 works"},
		{m.Stopping, "STOPPING=1"},
	} {
		tt.do()
		if got := next(); got != tt.want {
			t.Errorf("said %q, want %q", got, tt.want)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	m.Reloading()
	got := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=(\d+)$`).FindStringSubmatch(next())
	if got == nil {
		t.Fatal("no reload with its time")
	}
	if n, err := strconv.ParseUint(got[1], 10, 64); err != nil || n == 0 {
		t.Errorf("time %q: %v", got[1], err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	t.Setenv("WATCHDOG_USEC", "soon")
	var out bytes.Buffer
	log := logrus.New()
	log.SetOutput(&out)
	m := Connect(log)
	m.Ready()
	m.Alive()
	if m.Watchdog() != 0 || !bytes.Contains(out.Bytes(), []byte("watchdog")) {
		t.Errorf("watchdog %v; log: %s", m.Watchdog(), out.Bytes())
	}
}
