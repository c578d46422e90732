package endpoint

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/test/vnet"
)

// testLog writes to the test, until that ends.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func newLog(t *testing.T) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(testLog{t})
	return log
}

// echoServer sends back what it gets, at an IPv4 address and nowhere else.
func (w *World) echoServer(t *testing.T) {
	t.Helper()
	w.echoServerAt(t, ServerAddr)
}

func (w *World) echoServerAt(t *testing.T, at netip.AddrPort) {
	t.Helper()
	l, err := w.Internet.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

// serve deals with each connection until the test ends.
func serve(t *testing.T, l net.Listener, deal func(net.Conn)) {
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				deal(c)
			}()
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
}

// patience is how long something may take at the most: many worlds may share a busy
// processor, with the race detector on.
const patience = 90 * time.Second

// waitFor polls the status until ok. more says what was wanted, nil
// nothing.
func waitFor(t *testing.T, s *Service, what string, ok func(status.Status) bool, more ...func() string) status.Status {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		st := s.Agent.Status()
		if ok(st) {
			return st
		}
		select {
		case <-tick.C:
		case <-deadline:
			wanted := ""
			for _, f := range more {
				wanted += f()
			}
			t.Fatalf("never %s (%s): class %s, path %s, reason %s, detail %q, prefix %s from %s, CLAT %+v, servers %+v", what, wanted,
				st.Class, st.Path, st.Reason, deref(st.Detail), deref(st.Prefix), deref(st.Source), st.CLAT, st.Servers)
		}
	}
}

// roundTrip sends 64 KiB over IPv4 to the server and back.
func roundTrip(t *testing.T, w *World) {
	t.Helper()
	c, err := w.Host.DialContext(t.Context(), "tcp4", ServerAddr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo(t, c, 64<<10)
}

// echo sends n bytes and wants them back.
func echo(t *testing.T, c net.Conn, n int) {
	t.Helper()
	sent := make([]byte, n)
	_, _ = rand.Read(sent)
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, len(sent))
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(sent) != sha256.Sum256(got) {
		t.Error("what came back is not what was sent")
	}
}

// state is what the host has, but for what changes with time. Addresses are sorted.
func state(h *vnet.Host) string {
	s := h.Snapshot()
	out := ""
	for _, l := range s.Links {
		out += fmt.Sprintln(l.Index, l.Name, l.Up, l.MTU)
		var addrs []string
		for _, a := range l.Addrs {
			addrs = append(addrs, fmt.Sprintln("  ", a.Prefix, a.Tentative, a.Deprecated))
		}
		slices.Sort(addrs)
		out += strings.Join(addrs, "")
	}
	for _, r := range s.Routes {
		out += fmt.Sprintln(r.Dst, r.Gateway, r.Link, r.Metric)
	}
	return out
}
