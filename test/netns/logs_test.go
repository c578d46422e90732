package netns

import (
	"strings"
	"testing"
	"time"
)

// TestLogsOfTheRunningService: the last lines and those that come, for an
// administrator alone.
func TestLogsOfTheRunningService(t *testing.T) {
	need(t, "setpriv")
	l, s := ready(t)
	l.openToAll() // or nobody cannot get at the socket
	s.start().up()
	if out := s.tell(0, "logs", "-n", "1000"); !strings.Contains(out, "reach64 started") || !strings.Contains(out, "reason=clat-carries-ipv4") {
		t.Errorf("the log: %s", out)
	}
	follow := l.client.start("follow", s.binary, "logs", "--follow", "-n", "0", "--socket", s.socket)
	eventually(t, 10*time.Second, "a line comes", func() error {
		s.tell(0, "log-level", "info") // the first may come before there is somebody who follows
		if !strings.Contains(follow.output(), "log level set by an administrator") {
			return errRunning
		}
		return nil
	})
	out, code, err := runFor(10*time.Second, l.client.command(t.Context(), "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", s.binary, "logs", "--socket", s.socket))
	if err != nil || code != 4 || out.stdout != "" {
		t.Errorf("as nobody: exit code %d, want 4, %v: %s", code, err, out.stdout)
	}
	s.stop()
	eventually(t, 5*time.Second, "following ends with the service", func() error {
		if !follow.ended() {
			return errRunning
		}
		return nil
	})
}
