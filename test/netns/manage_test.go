package netns

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// errRunning is of what has not happened yet.
var errRunning = errors.New("not yet")

// tell runs a verb that asks the service for a change, and wants this exit code.
func (s *service) tell(code int, verb ...string) string {
	s.l.t.Helper()
	out, got, err := runFor(10*time.Second, exec.Command(s.binary, append(verb, "--socket", s.socket)...))
	if err != nil || got != code {
		s.l.t.Errorf("reach64 %s: exit code %d, want %d (%v): %s%s", strings.Join(verb, " "), got, code, err, out.stdout, out.stderr)
	}
	return out.stdout + out.stderr
}

// rewrite changes the service's configuration file.
func (s *service) rewrite(change func(string) string) {
	s.l.t.Helper()
	text, err := os.ReadFile(s.conf)
	if err == nil {
		err = os.WriteFile(s.conf, []byte(change(string(text))), 0o600)
	}
	if err != nil {
		s.l.t.Fatal(err)
	}
}

// TestFlowsSurviveReloads: a long flow goes on through discovery anew, another log
// level, a reload with another server and one with a bad file.
func TestFlowsSurviveReloads(t *testing.T) {
	need(t, "iperf3")
	l, s := ready(t)
	l.server.start("iperf3", "iperf3", "-s", "-4")
	s.start().up()
	flow := l.client.start("flow", "iperf3", "-c", documentation, "-b", "100M", "-t", "8", "-i", "1", "-J")
	before, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	s.tell(0, "refresh")
	s.tell(0, "log-level", "debug")
	if out := s.tell(1, "log-level", "loud"); !strings.Contains(out, "info, debug, warning, error") {
		t.Errorf("a level that is none: %s", out)
	}
	good, _ := os.ReadFile(s.conf)
	s.rewrite(func(text string) string {
		return text + "[[server]]\nname = \"198.51.100.77\"\n[path]\nhop_addresses = \"203.0.113.0/24\"\n[discovery]\nwkp_nonglobal = \"never\"\nsources = [\"ra\"]\n[probe]\ninterval = \"30s\"\n[dns]\nlisten = \"127.0.0.1:5354\"\n"
	})
	if out := s.tell(0, "reload"); !strings.Contains(out, "started anew: dns.listen") || !strings.Contains(out, "changed: server, path.hop_addresses, discovery.sources, discovery.wkp_nonglobal, probe.interval, dns.listen") {
		t.Errorf("reload said %q; dns.listen needs a new start", out)
	}
	s.waitStatus("another server and only one source", 10*time.Second, func(st status) bool {
		used := 0
		for _, v := range st.Sources {
			if v.Verdict != "skipped" {
				used++
			}
		}
		return len(st.Servers) == 2 && used == 1 && st.CLAT != nil
	})
	if out := l.client.must("ip", "-4", "route", "get", "198.51.100.77"); !strings.Contains(out, "dev clat0") {
		t.Errorf("the new server's route: %s", out)
	}
	s.rewrite(func(string) string { return "[[server]]\nnam = \"x\"\n" })
	if out := s.tell(5, "reload"); !strings.Contains(out, "reach64.toml:2:1") || !strings.Contains(out, `did you mean "server.name"`) {
		t.Errorf("a bad file: %s", out)
	}
	_ = s.p.cmd.Process.Signal(syscall.SIGHUP)
	s.p.waitFor("configuration refused, the old one stays")
	if st, err := s.status(); err != nil || len(st.Servers) != 2 {
		t.Errorf("after a bad file: %d servers (%v), want the 2 from before", len(st.Servers), err)
	}
	s.rewrite(func(string) string { return string(good) })
	_ = s.p.cmd.Process.Signal(syscall.SIGHUP)
	s.waitStatus("one server again", 10*time.Second, func(st status) bool { return len(st.Servers) == 1 && carries(st) })
	after, err := s.status()
	if err != nil || after.CLAT == nil || !reflect.DeepEqual(after.CLAT, before.CLAT) {
		t.Errorf("CLAT %+v, before %+v (%v)", after.CLAT, before.CLAT, err)
	}
	eventually(t, 20*time.Second, "the flow ends", func() error {
		if !flow.ended() {
			return errRunning
		}
		return nil
	})
	var report struct {
		Intervals []struct {
			Sum struct {
				Bytes float64 `json:"bytes"`
			} `json:"sum"`
		} `json:"intervals"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(flow.output()), &report); err != nil || report.Error != "" || len(report.Intervals) < 8 {
		t.Fatalf("flow: %v %s, %d seconds of it", err, report.Error, len(report.Intervals))
	}
	for i, v := range report.Intervals {
		if v.Sum.Bytes < 1e6 {
			t.Errorf("second %d of the flow: %.0f bytes", i+1, v.Sum.Bytes)
		}
	}
}

// TestPause: the CLAT goes, the person is told why, and it comes back by word or by
// time.
func TestPause(t *testing.T) {
	l, s := ready(t)
	before := l.client.state()
	s.start().up()
	s.tell(0, "pause")
	st := s.waitStatus("paused", 5*time.Second, func(st status) bool { return st.Reason == "paused" && st.CLAT == nil })
	if st.code == 0 || st.Path != "none" {
		t.Errorf("paused: exit code %d, path %s; want another and none", st.code, st.Path)
	}
	l.client.unchanged(before)
	s.tell(0, "resume")
	s.up()
	s.tell(0, "pause", "--for", "1s")
	s.waitStatus("paused", 5*time.Second, func(st status) bool { return st.Reason == "paused" })
	s.up()
	s.tell(2, "pause", "--for", "-1s")
	l.works()
}

// TestServiceManager: systemd is told of the start, the path, a reload and the end,
// and its watchdog is fed.
func TestServiceManager(t *testing.T) {
	l, s := ready(t)
	path := l.file("notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 2000); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			said = append(said, string(b[:n]))
			mu.Unlock()
		}
	}()
	defer func() { _ = c.Close(); <-done }()
	heard := func(what string) {
		t.Helper()
		eventually(t, 20*time.Second, what, func() error {
			mu.Lock()
			defer mu.Unlock()
			for i, line := range said {
				if strings.HasPrefix(line, what) {
					said = said[i+1:]
					return nil
				}
			}
			return errRunning
		})
	}
	s.p = l.client.start("reach64", "env", "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=30000000", s.binary, "run", "--config", s.conf)
	heard("READY=1")
	heard("WATCHDOG=1")
	heard("STATUS=v6-only-nat64-dns64, path clat: ")
	_ = s.p.cmd.Process.Signal(syscall.SIGHUP)
	heard("RELOADING=1\nMONOTONIC_USEC=")
	heard("READY=1")
	heard("WATCHDOG=1")
	s.stop()
	heard("STOPPING=1")
}
