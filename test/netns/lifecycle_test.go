package netns

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ready is an embedded network with the client online, and reach64 prepared but
// not started.
func ready(t *testing.T, flags ...string) (*lab, *service) {
	t.Helper()
	need(t)
	l := newLab(t, documentation)
	l.embedded(append([]string{"--prefix", ownPrefix}, flags...)...)
	l.online()
	return l, l.service(documentation, "")
}

// present wants what a running CLAT adds: without it, a test that nothing is
// left could not fail.
func (l *lab) present(before state) {
	l.t.Helper()
	if diff := cmp.Diff(before, l.client.state()); !strings.Contains(diff, "192.0.0.") || !strings.Contains(diff, documentation) {
		l.t.Fatalf("the CLAT's address and the server's route are not seen (-before +now):\n%s", diff)
	}
}

func TestStopsCleanly(t *testing.T) {
	l, s := ready(t)
	before, sysctls := l.client.state(), l.client.sysctls()
	s.start().up()
	l.works()
	l.present(before)
	s.stop()
	l.client.unchanged(before)
	if diff := changed(sysctls, l.client.sysctls()); len(diff) > 0 {
		t.Errorf("sysctls changed: %q", diff)
	}
	if out, code, err := runFor(5*time.Second, exec.Command(s.binary, "status", "--socket", s.socket)); err != nil || code != 3 {
		t.Errorf("status of a stopped service: exit code %d, want 3 (%v): %s", code, err, out.stderr)
	}
}

func TestStopsCleanlyWhileItStarts(t *testing.T) {
	l, s := ready(t)
	before := l.client.state()
	s.start()
	eventually(t, 20*time.Second, "the CLAT's device is made", func() error {
		_, err := s.l.client.try(time.Second, "ip", "-4", "addr", "show", "to", "192.0.0.0/29", "dev", "clat0")
		return err
	})
	s.stop()
	l.client.unchanged(before)
}

func TestKillDash9ThenCleanup(t *testing.T) {
	l, s := ready(t)
	before := l.client.state()
	s.start().up()
	s.kill9()
	if diff := cmp.Diff(before, l.client.state()); diff == "" {
		t.Error("the kill left nothing behind, so cleanup has nothing to do")
	}
	out, code, err := runFor(10*time.Second, l.client.command(context.Background(), s.binary, "cleanup", "--config", s.conf))
	if err != nil || code != 0 {
		t.Fatalf("cleanup: exit code %d, want 0 (%v): %s", code, err, out.stderr)
	}
	t.Logf("cleanup said: %s", strings.TrimSpace(out.stdout))
	l.client.unchanged(before)
}

func TestKillDash9ThenNextStart(t *testing.T) {
	l, s := ready(t)
	before := l.client.state()
	first := s.start().up()
	s.kill9()
	second := s.start().up()
	addrs, err := l.client.addrs()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, a := range addrs {
		if a.Link == "eth0" && a.Bits == 128 {
			found = append(found, a.Local)
		}
	}
	if len(found) != 1 || found[0] != second.CLAT.IPv6 {
		t.Errorf("addresses of a CLAT on eth0: %v, want only %s", found, second.CLAT.IPv6)
	}
	if first.CLAT.IPv6 != second.CLAT.IPv6 {
		t.Errorf("CLAT address: first %s, then %s; want the same in the same network", first.CLAT.IPv6, second.CLAT.IPv6)
	}
	l.works()
	s.stop()
	l.client.unchanged(before)
}

func TestSecondInstanceExits13(t *testing.T) {
	l, s := ready(t)
	s.start().up()
	out, code, err := runFor(10*time.Second, l.client.command(context.Background(), s.binary, "run", "--config", s.conf))
	if err != nil || code != 13 || !strings.Contains(out.stderr, strconv.Itoa(s.p.pid())) {
		t.Errorf("second service: exit code %d, want 13 and pid %d named (%v): %s", code, s.p.pid(), err, out.stderr)
	}
	out, code, err = runFor(10*time.Second, l.client.command(context.Background(), s.binary, "cleanup", "--config", s.conf))
	if err != nil || code != 13 || !strings.Contains(out.stderr, strconv.Itoa(s.p.pid())) {
		t.Errorf("cleanup beside a service: exit code %d, want 13 and pid %d named (%v): %s", code, s.p.pid(), err, out.stderr)
	}
	if st, err := s.status(); err != nil || !carries(st) || st.PID != s.p.pid() {
		t.Errorf("the first service suffered: %v, %s", err, st.text)
	}
	l.works()
}

func TestNotRootExits4(t *testing.T) {
	l, s := ready(t)
	need(t, "setpriv")
	before := l.client.state()
	// The folders are the user's own, so that only the network is refused.
	for _, path := range []string{l.tmp, l.file("state"), l.file("run")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	nobody := []string{"--reuid=65534", "--regid=65534", "--clear-groups"}
	out, code, err := runFor(10*time.Second, l.client.command(context.Background(), "setpriv", append(nobody, s.binary, "run", "--config", s.conf)...))
	if err != nil || code != 4 || strings.TrimSpace(out.stderr) == "" {
		t.Errorf("run as nobody: exit code %d, want 4 and a reason (%v): %s", code, err, out.stderr)
	}
	t.Logf("run as nobody said: %s", strings.TrimSpace(out.stderr))
	l.client.unchanged(before)

	// Every user may look, though.
	s.start().up()
	out, code, err = runFor(10*time.Second, l.client.command(context.Background(), "setpriv", append(nobody, s.binary, "status", "--socket", s.socket)...))
	if err != nil || code != 0 {
		t.Errorf("status as nobody: exit code %d, want 0 (%v): %s", code, err, out.stderr)
	}
}
