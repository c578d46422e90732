package netns

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// unprivileged runs a verb of reach64 in the client's namespace as nobody, without
// a capability.
func (l *lab) unprivileged(args ...string) []string {
	return append([]string{"--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs", binary(l.t, "reach64")}, args...)
}

// raced is what `reach64 dial --json` prints.
type raced struct {
	Result struct {
		Origin   string   `json:"prefixes_from"`
		Prefixes []string `json:"prefixes"`
		Winner   *struct {
			Kind    string `json:"kind"`
			Address string `json:"address"`
		} `json:"winner"`
	} `json:"result"`
}

// TestDialAndForwardWithoutPrivilege: no service runs, the user has no rights, and
// the server is reached all the same, by its address and by its name.
func TestDialAndForwardWithoutPrivilege(t *testing.T) {
	need(t, "tayga", "radvd", "unbound", "restic", "rclone", "setpriv")
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	l.backupServer()
	l.online()
	l.fails()
	if err := os.Chmod(l.tmp, 0o755); err != nil { // nobody has to read the authority's certificate
		t.Fatal(err)
	}

	for target, kind := range map[string]string{documentation: "synthesized", serverName: "dns64"} {
		binary(t, "reach64") // built outside of what is timed
		begin := time.Now()
		out, err := l.client.try(20*time.Second, "setpriv", l.unprivileged("dial", target+":8443", "--json")...)
		t.Logf("dial %s: %v with discovery", target, time.Since(begin).Round(time.Millisecond))
		var r raced
		if err == nil {
			err = json.Unmarshal([]byte(out), &r)
		}
		if err != nil || r.Result.Winner == nil || r.Result.Winner.Kind != kind || !strings.HasPrefix(r.Result.Winner.Address, "["+synthesized(ownPrefix, l.server4)+"]") {
			t.Errorf("dial %s: %v\n%s", target, err, out)
		}
		if len(r.Result.Prefixes) != 1 || r.Result.Prefixes[0] != ownPrefix || r.Result.Origin != "the network's DNS" {
			t.Errorf("dial %s: prefixes %v from %s", target, r.Result.Prefixes, r.Result.Origin)
		}
		out, err = l.client.try(20*time.Second, "setpriv", l.unprivileged("probe", target+":8443", "--ca", l.ca)...)
		if err != nil || !strings.Contains(out, "reached by "+kind) || !strings.Contains(out, "certificate CN="+serverName) {
			t.Errorf("probe %s: %v\n%s", target, err, out)
		}
	}
	out, err := l.client.try(20*time.Second, "setpriv", l.unprivileged("resolve", serverName)...)
	t.Log(out)
	for _, want := range []string{"from the system (getent)", "[2001:db8:1::1]:53 on eth0 says for AAAA", documentation + " is reached at " + synthesized(ownPrefix, l.server4)} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("resolve: %v, want %q in it", err, want)
		}
	}
	// As an SSH ProxyCommand is used: a request in, the whole answer out.
	pipe := append([]string{"-c", `printf 'GET / HTTP/1.0\r\n\r\n' | "$@"`, "sh", "setpriv"}, l.unprivileged("dial", documentation+":8080")...)
	if out, err := l.client.try(20*time.Second, "sh", pipe...); err != nil || !strings.HasPrefix(out, "HTTP/1.") {
		t.Errorf("dial as a pipe: %q, %v", out, err)
	}
	if out, err := l.client.try(20*time.Second, "setpriv", l.unprivileged("probe", documentation+":8443")...); err == nil || !strings.Contains(out, "tls-unknown-authority") {
		t.Errorf("probe without the authority: %v\n%s", err, out)
	}

	l.client.start("forward", "setpriv", l.unprivileged("forward", "--listen", "127.0.0.1:8080", "--to", documentation+":8080",
		"--socks", "127.0.0.1:1080", "--http", "127.0.0.1:3128")...).waitFor("HTTP proxy")
	for _, proxy := range [][]string{{"--socks5-hostname", "127.0.0.1:1080"}, {"--socks5", "127.0.0.1:1080"}, {"--proxy", "http://127.0.0.1:3128"}} {
		for _, host := range []string{documentation, serverName} {
			if proxy[0] == "--socks5" && host == serverName {
				continue // curl would look the name up itself
			}
			args := append([]string{"-sS", "--fail", "--cacert", l.ca, "--max-time", "20", "-o", "/dev/null", "-w", "%{size_download}"}, proxy...)
			out, err := l.client.try(25*time.Second, "curl", append(args, "https://"+host+":8443/5000000")...)
			if err != nil || strings.TrimSpace(out) != "5000000" {
				t.Errorf("curl %s %s: %s bytes, %v", proxy[0], host, out, err)
			}
		}
	}
	l.repository = "rest:http://127.0.0.1:8080/"
	l.backUp(20 << 20)
}
