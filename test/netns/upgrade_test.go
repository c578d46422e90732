package netns

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// TestFlowsSurviveAnUpgrade: the service ends in order and starts anew, as a package's
// upgrade does. An upload that is under way stalls and goes on, as status has promised:
// the CLAT has the same addresses again, and no state that could be lost.
func TestFlowsSurviveAnUpgrade(t *testing.T) {
	l, s := ready(t)
	st := s.start().up()
	if st.CLAT.Restart != "flows-resume" {
		t.Fatalf("status says %q of connections over a restart", st.CLAT.Restart)
	}
	const size = 24 << 20
	file := l.file("upload")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	flow := l.client.start("flow", "curl", "-4", "-sS", "--fail", "--noproxy", "*", "--cacert", l.ca, "--limit-rate", "3M", "-T", file, l.url("/upload"))
	<-time.After(2 * time.Second)
	for range 2 {
		s.stop()
		<-time.After(500 * time.Millisecond)
		if again := s.start().up(); again.CLAT.IPv4 != st.CLAT.IPv4 || again.CLAT.IPv6 != st.CLAT.IPv6 {
			t.Errorf("CLAT %+v, then %+v", st.CLAT, again.CLAT)
		}
	}
	if flow.ended() && flow.cmd.ProcessState.ExitCode() != 0 {
		t.Fatalf("the upload broke off: %s", flow.output())
	}
	eventually(t, 60*time.Second, "the upload ends", func() error {
		if !flow.ended() {
			return errRunning
		}
		return nil
	})
	if got := flow.output(); flow.cmd.ProcessState.ExitCode() != 0 || got != strconv.Itoa(size) {
		t.Errorf("exit code %d, the server got %s of %d bytes", flow.cmd.ProcessState.ExitCode(), got, size)
	}
	t.Logf("24 MB at 3 MB/s, over two restarts: %v", time.Since(begin).Round(100*time.Millisecond))
}
