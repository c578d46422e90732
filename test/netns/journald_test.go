package netns

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const journald = "/lib/systemd/systemd-journald"

// playJournalled runs the program of args with standard error connected to the
// journal and said so, as systemd does for its services (systemd.exec(5), JOURNAL_STREAM).
func playJournalled(args []string) error {
	if len(args) == 0 {
		return errors.New("want a program")
	}
	var c net.Conn
	err := poll(10*time.Second, func() (err error) {
		c, err = net.Dial("unix", "/run/systemd/journal/stdout")
		return err
	})
	if err != nil {
		return err
	}
	if _, err := c.Write([]byte("reach64\n\n6\n0\n0\n0\n0\n")); err != nil {
		return err
	}
	f, err := c.(*net.UnixConn).File()
	if err != nil {
		return err
	}
	defer f.Close()
	stat := exec.Command("stat", "-L", "-c", "%d:%i", "/dev/stdin")
	stat.Stdin = f
	id, err := stat.Output()
	if err != nil {
		return err
	}
	service := exec.Command(args[0], args[1:]...)
	service.Stderr, service.Env = f, append(os.Environ(), "JOURNAL_STREAM="+strings.TrimSpace(string(id)))
	return service.Run()
}

// TestJournal: the real journald gets each line with its fields.
func TestJournal(t *testing.T) {
	need(t, journald, "journalctl", "unshare")
	l, s := ready(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A journal of its own in a mount namespace; the service's files lie outside of it.
	journal := l.client.start("journal", "unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c",
		"mount -t tmpfs run /run; mount -t tmpfs log /var/log; mount -t cgroup2 cgroup /sys/fs/cgroup; mkdir -p /run/log/journal /run/systemd/journal; "+journald+" & "+
			"env "+roleVariable+"=journalled "+self+" "+s.binary+" run --config "+s.conf+"; sleep 0.3; "+
			"journalctl -D /run/log/journal -o json REACH64_REASON=clat-carries-ipv4; echo done")
	eventually(t, 20*time.Second, "the server answers through the CLAT", func() error {
		st, err := s.status()
		if err == nil && !carries(st) {
			err = errRunning
		}
		return err
	})
	st, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(serviceIn(t, journal.pid()))
	if err == nil {
		err = p.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Fatal(err)
	}
	journal.waitFor("done")
	for line := range strings.Lines(journal.output()) {
		var doc map[string]any
		if json.Unmarshal([]byte(line), &doc) == nil && doc["REACH64_CLASS"] == st.Class && doc["REACH64_PATH"] == "clat" && doc["PRIORITY"] == "6" &&
			doc["SYSLOG_IDENTIFIER"] == "reach64" && strings.Contains(fmt.Sprint(doc["MESSAGE"]), "goes through the CLAT") {
			return
		}
	}
	t.Errorf("no line with its fields:\n%s", journal.output())
}

// serviceIn is the process id, as it is seen here, of the reach64 below another process.
func serviceIn(t *testing.T, top int) int {
	t.Helper()
	for _, pid := range below(top) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && strings.TrimSpace(string(name)) == "reach64" {
			return pid
		}
	}
	t.Fatal("no reach64 runs")
	return 0
}

// below lists the descendants of a process: the children of each of its threads, and theirs.
func below(pid int) (out []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is good
	for _, f := range files {
		text, _ := os.ReadFile(f) // none: it has ended
		for word := range strings.FieldsSeq(string(text)) {
			var child int
			if _, err := fmt.Sscan(word, &child); err == nil {
				out = append(append(out, child), below(child)...)
			}
		}
	}
	return out
}
