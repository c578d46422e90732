package netns

import (
	"archive/zip"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// unzipped are the files of a bundle, by their names without the folder.
func unzipped(t *testing.T, file string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(f.Name, "/")
		out[name] = string(b)
	}
	return out
}

// TestBundle of a running service: everything is in it, and with --anonymize nothing
// that names the place.
func TestBundle(t *testing.T) {
	l := realLab(t)
	s := l.service(serverName, "[probe]\nportal_url = \"http://open."+serverName+"/generate_204\"\n[path]\ndatapath = \"tun\"\n")
	s.start()
	st := s.up()
	s.tell(0, "log-level", "debug")
	write := func(name string, args ...string) (map[string]string, int64) {
		t.Helper()
		file := l.file(name)
		args = append([]string{"bundle", "--config", s.conf, "--out", file}, args...)
		begin := time.Now()
		out, code, err := runFor(60*time.Second, l.client.command(t.Context(), s.binary, args...))
		if err != nil || code != 0 || !strings.Contains(out.stdout, file) {
			t.Fatalf("bundle: exit code %d, %v: %s%s", code, err, out.stdout, out.stderr)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes in %v", name, info.Size(), time.Since(begin).Round(10*time.Millisecond))
		return unzipped(t, file), info.Size()
	}
	whole, size := write("whole.zip")
	if size > 1<<20 {
		t.Errorf("%d bytes", size)
	}
	for _, name := range []string{"README.txt", "doctor.txt", "doctor.json", "report.html", "status.json", "transitions.jsonl", "logs.txt", "network.json", "dns.json", "metrics.txt", "goroutines.txt", "config.toml", "versions.json"} {
		if whole[name] == "" {
			t.Errorf("no %s in it", name)
		}
		if name != "README.txt" && !strings.Contains(whole["README.txt"], name) {
			t.Errorf("the README does not name %s", name)
		}
	}
	if !strings.Contains(whole["logs.txt"], "reach64 started") || !strings.Contains(whole["network.json"], st.CLAT.IPv6) {
		t.Error("the log or the network's state is missing")
	}

	// Traffic goes on meanwhile, so that the capture holds some.
	traffic := l.client.start("traffic", "ping", "-4", "-n", "-i", "0.1", documentation)
	hidden, _ := write("hidden.zip", "--anonymize=strict", "--for", "2s", "--capture")
	if err := traffic.stop(); err != nil {
		t.Fatal(err)
	}
	places := []string{serverName, "example.test", documentation, "198.51.100.", "2001:db8:", "c633:640a", st.CLAT.IPv6, l.slaac(), "lab authority"}
	for _, space := range []*space{l.client, l.router} {
		for _, dev := range []string{"eth0", "lan"} {
			if mac, err := space.try(time.Second, "cat", "/sys/class/net/"+dev+"/address"); err == nil {
				places = append(places, strings.TrimSpace(mac))
			}
		}
	}
	for _, ip := range append([]netip.Addr{l.server4}, clientAddrs(t, l)...) {
		if strings.Contains(hidden["capture.pcapng"], string(ip.AsSlice())) {
			t.Errorf("the capture holds %s", ip)
		}
	}
	if n := strings.Count(hidden["capture.pcapng"], "reach64: 4to6 translated"); n < 5 {
		t.Errorf("the capture has verdicts on %d packets", n)
	}
	for name, text := range hidden {
		for _, p := range places {
			if i := strings.Index(strings.ToLower(text), strings.ToLower(p)); i >= 0 {
				t.Errorf("%s holds %q: %.120q", name, p, text[max(0, i-40):])
			}
		}
	}
	// The prefix, the embedded address and the server still belong together.
	var doc struct {
		Result status `json:"result"`
	}
	if err := json.Unmarshal([]byte(hidden["status.json"]), &doc); err != nil {
		t.Fatalf("status.json is none any more: %v\n%s", err, hidden["status.json"])
	}
	v4, err := netip.ParseAddr(deref(doc.Result.Servers[0].Address))
	if err != nil || !strings.Contains(hidden["doctor.txt"], synthesized(deref(doc.Result.Prefix), v4)) {
		t.Errorf("%s in %s is not in doctor.txt, %v", v4, deref(doc.Result.Prefix), err)
	}
	if lines := strings.Count(hidden["transitions.jsonl"], "\n"); lines < 1 {
		t.Errorf("%d transitions", lines)
	}
}

// clientAddrs are the client's own global IPv6 addresses, the CLAT's included.
func clientAddrs(t *testing.T, l *lab) (out []netip.Addr) {
	t.Helper()
	addrs, err := l.client.addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, err := netip.ParseAddr(a.Local); err == nil && ip.Is6() && a.Scope == "global" {
			out = append(out, ip)
		}
	}
	return out
}
