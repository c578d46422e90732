package netns

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestWatchAndCheck: a person watches while the network comes up, and a script
// asks by exit codes.
func TestWatchAndCheck(t *testing.T) {
	need(t)
	l := newLab(t, documentation)
	s := l.service(documentation, "")
	check := func(what string) int {
		_, code, err := runFor(5*time.Second, exec.Command(s.binary, "status", "--check", what, "--socket", s.socket))
		if err != nil {
			t.Error(err)
		}
		return code
	}
	if code := check("live"); code != 3 {
		t.Errorf("--check live without a service: exit code %d, want 3", code)
	}
	s.start()
	s.waitStatus("offline", 10*time.Second, func(st status) bool { return st.Class == "offline" })
	if live, ready, path := check("live"), check("ready"), check("path"); live != 0 || ready != 0 || path != 11 {
		t.Errorf("offline: live %d, ready %d, path %d; want 0, 0, 11", live, ready, path)
	}
	w := l.client.start("watch", s.binary, "status", "--watch", "--json", "--socket", s.socket)
	w.waitFor(`"class":"offline"`)
	l.embedded("--prefix", ownPrefix)
	s.up()
	w.waitFor(`"reason":"clat-carries-ipv4"`)
	if code := check("path"); code != 0 {
		t.Errorf("--check path: exit code %d, want 0", code)
	}
	s.stop()
	w.waitFor("the service has ended")
	var classes []string
	for line := range strings.Lines(w.output()) {
		var doc struct {
			Result status `json:"result"`
		}
		if !strings.HasPrefix(line, "{") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if n := len(classes); n == 0 || classes[n-1] != doc.Result.Class+" "+doc.Result.Path {
			classes = append(classes, doc.Result.Class+" "+doc.Result.Path)
		}
	}
	t.Logf("watched: %s", strings.Join(classes, ", "))
	if len(classes) < 3 || classes[0] != "offline none" || classes[len(classes)-1] != "v6-only-nat64-dns64 clat" {
		t.Errorf("watched %q", classes)
	}
}
