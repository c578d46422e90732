package netns

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSSHProxyCommand: OpenSSH's client reaches an IPv4-only SSH server (dropbear)
// through `reach64 dial` on a network with NAT64 and no DNS64, without privilege and
// without a service: a megabyte each way, the end of input handed on, the exit code
// kept.
func TestSSHProxyCommand(t *testing.T) {
	need(t, "tayga", "radvd", "unbound", "ssh", "ssh-keygen", "dropbear", "setpriv")
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	l.online()
	if err := os.Chmod(l.tmp, 0o755); err != nil { // nobody has to read the key
		t.Fatal(err)
	}
	home := l.file("ssh")
	l.server.must("sh", "-c", "umask 077; mkdir -p "+home+"/.ssh && ssh-keygen -q -t ed25519 -N '' -f "+home+"/key && cp "+home+"/key.pub "+home+
		"/.ssh/authorized_keys && dropbearkey -t ed25519 -f "+home+"/host >/dev/null && chown -R 65534:65534 "+home+" && chmod 755 "+home)
	// dropbear takes the user's home from the password file; one for this lab lies over it.
	l.write("passwd", "nobody:x:65534:65534::"+home+":/bin/sh\n")
	script := "mount --bind " + l.file("passwd") + " /etc/passwd && exec dropbear -F -E -s -p " + documentation + ":2222 -r " + home + "/host -P " + l.file("dropbear.pid")
	l.server.start("dropbear", "unshare", "-m", "sh", "-c", script).waitFor("Not backgrounding")

	proxy := binary(t, "reach64") + " dial %h:%p"
	ssh := []string{"-i", home + "/key", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-F", "/dev/null", "-o", "ProxyCommand=" + proxy, "-p", "2222"}
	nobody := []string{"--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"}
	run := func(host, input, command string) (string, error) {
		args := append(append(append([]string{}, nobody...), append([]string{"ssh"}, ssh...)...), "nobody@"+host, command)
		return l.client.try(20*time.Second, "sh", append([]string{"-c", input + ` | setpriv "$@"`, "sh"}, args...)...)
	}
	sum := sha256.Sum256(make([]byte, 1<<20))
	for _, host := range []string{documentation, serverName} {
		begin := time.Now()
		out, err := run(host, "head -c 1048576 /dev/zero", "sha256sum")
		if err != nil || !strings.HasPrefix(out, hex.EncodeToString(sum[:])) {
			t.Errorf("%s: a megabyte up: %q, %v", host, out, err)
		}
		t.Logf("ssh to %s through reach64 dial: %v", host, time.Since(begin).Round(time.Millisecond))
		if out, err := run(host, "true", "head -c 1048576 /dev/zero | tr '\\0' x; exit 7"); err == nil || !strings.Contains(err.Error(), "exit status 7") || strings.Count(out, "x") < 1<<20 {
			t.Errorf("%s: a megabyte down: %d bytes, %.200v", host, len(out), err)
		}
	}
	if _, err := l.client.try(10*time.Second, "sh", append([]string{"-c", `setpriv "$@" </dev/null`, "sh"},
		append(append(append([]string{}, nobody...), "ssh", "-o", "ProxyCommand=none"), append(ssh, "-o", "ConnectTimeout=2", "nobody@"+documentation, "true")...)...)...); err == nil {
		t.Error("the SSH server is reached without reach64")
	}
}

// TestDiscoverWithoutPrivilege: what `discover --json` says as nobody, field by field.
func TestDiscoverWithoutPrivilege(t *testing.T) {
	need(t, "tayga", "radvd", "unbound", "setpriv")
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	l.online()
	out, code, err := runFor(20*time.Second, l.client.command(t.Context(), "setpriv", l.unprivileged("discover", "--json", "--server", serverName)...))
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out.stderr)
	}
	var doc struct {
		Schema int `json:"schema"`
		Result struct {
			Candidates []map[string]any `json:"candidates"`
			Sources    []map[string]any `json:"sources"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(out.stdout), &doc); err != nil {
		t.Fatalf("%v: %s", err, out.stdout)
	}
	var order []string
	for _, c := range doc.Result.Candidates {
		order = append(order, c["source"].(string)+" "+c["prefix"].(string)+" "+c["link"].(string)+" "+c["trust"].(string))
		if c["source"] == "dns" && (c["server"] != lanRouter || c["lifetime"].(float64) < 1 || !strings.Contains(c["reason"].(string), "confirmed by server")) {
			t.Errorf("candidate %v", c)
		}
		if c["source"] == "server" && (c["server"] != nil || c["lifetime"] != nil) {
			t.Errorf("candidate %v", c)
		}
	}
	if got, want := strings.Join(order, ", "), "dns "+ownPrefix+" eth0 after-probe, server "+ownPrefix+" eth0 after-probe"; got != want {
		t.Errorf("candidates: %s\nwant %s", got, want)
	}
	verdicts := map[string]string{}
	for _, s := range doc.Result.Sources {
		source, verdict := s["source"].(string), s["verdict"].(string)
		verdicts[source] = verdict
		if _, timed := s["took"].(float64); timed != (verdict != "skipped") || s["reason"] == "" {
			t.Errorf("source %v", s)
		}
	}
	for source, want := range map[string]string{"policy": "none", "os": "skipped", "pcp": "none", "ra": "skipped", "dns": "found", "server": "found"} {
		if verdicts[source] != want {
			t.Errorf("%s: %s, want %s", source, verdicts[source], want)
		}
	}
	t.Log(l.client.must("setpriv", l.unprivileged("discover", "--server", serverName)...))
}
