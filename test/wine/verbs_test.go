package wine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	m := need(t)
	if r := m.reach64(t, 0, "version", "--json"); !strings.Contains(r.out, testVersion) || !strings.Contains(r.out, "windows/amd64") {
		t.Errorf("does not say its version and system: %v", r)
	}
}

func TestConfigCheck(t *testing.T) {
	m := need(t)
	good := m.write(t, "etc/good.toml", []byte("[[server]]\r\nname = \"backup.example.test\"\r\n"))
	m.reach64(t, 0, "config", "check", "--config", good)
	bad := m.write(t, "etc/bad.toml", []byte("[[server]]\r\nnome = \"x\"\r\n"))
	if r := m.reach64(t, 5, "config", "check", "--config", bad); !strings.Contains(r.errout, bad+":2:1: unknown key \"server.nome\"") {
		t.Errorf("does not say what is wrong, and where: %v", r)
	}
}

func TestExplain(t *testing.T) {
	m := need(t)
	r := m.reach64(t, 0, "explain", "64:ff9b::c633:640a", "--json")
	var doc struct{ Result struct{ Embedded string } }
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || doc.Result.Embedded != "198.51.100.10" {
		t.Errorf("embedded address %q, %v, want 198.51.100.10: %v", doc.Result.Embedded, err, r)
	}
}

// TestTranslate wants the same bytes as from the Linux program.
func TestTranslate(t *testing.T) {
	m := need(t)
	// One IPv4 UDP packet to 198.51.100.10 in a capture of link type 101 (raw IP).
	capture := []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x65\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x20\x00\x00\x00" +
		"\x45\x00\x00\x20\x00\x00\x40\x00\x40\x11\x50\x8e\xc0\x00\x00\x01\xc6\x33\x64\x0a" +
		"\x04\xd2\x16\x2e\x00\x0c\x00\x00abcd")
	in := m.write(t, "etc/in.pcap", capture)
	r := m.reach64(t, 0, "translate", "--prefix", netPrefix, "--clat4", "192.0.0.1", "--clat6", "2001:db8:1::c1a7", "--in", in, "--out", `C:\etc\out.pcap`, "--json")
	if !strings.Contains(r.out, `"direction":"4to6"`) || !strings.Contains(r.out, `"outputs":1`) {
		t.Fatalf("not translated: %v", r)
	}
	got, err := os.ReadFile(filepath.Join(m.root, "windows/drive_c/etc/out.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	// 24 bytes of the file, 16 of the record, then IPv6: source and destination.
	if len(got) != 24+16+40+12 || !bytes.Equal(got[24+16+8:24+16+40], []byte("\x20\x01\x0d\xb8\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\xc1\xa7"+
		"\x20\x01\x0d\xb8\x00\x64\xff\x9b\x00\x00\x00\x00\xc6\x33\x64\x0a")) {
		t.Errorf("capture after translation: %x", got)
	}
}

func TestDiscover(t *testing.T) {
	m := need(t)
	r := m.reach64(t, 0, "discover", "--dns", "["+dnsServer+"]:53", "--json")
	var doc struct {
		Result struct {
			Candidates []struct{ Prefix, Source string }
		}
	}
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || len(doc.Result.Candidates) != 1 || doc.Result.Candidates[0].Prefix != netPrefix || doc.Result.Candidates[0].Source != "dns" {
		t.Errorf("candidates %+v, %v, want %s by DNS: %v", doc.Result.Candidates, err, netPrefix, r)
	}
}

func TestResolve(t *testing.T) {
	m := need(t)
	r := m.wine(t, "", `C:\programs\reach64.exe`, "resolve", serverName, "--json", "--prefix", netPrefix)
	if r.code != 0 && r.code != 10 || !strings.Contains(r.out, serverIPv6) {
		t.Errorf("%s is not resolved to %s: %v", serverName, serverIPv6, r)
	}
}

func TestProbe(t *testing.T) {
	m := need(t)
	args := []string{"probe", "--ca", `C:\programs\ca.pem`, "--prefix", netPrefix, "--json"}
	for name, host := range map[string]string{"by name": serverName, "by IPv4 address": serverIPv4} {
		t.Run(name, func(t *testing.T) {
			if r := m.reach64(t, 0, append(args, host+":"+serverPort)...); !strings.Contains(r.out, serverIPv6) || !strings.Contains(r.out, `"reachable": true`) {
				t.Errorf("not reached through the NAT64: %v", r)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		if r := m.reach64(t, 11, append(args, serverIPv4+":9")...); !strings.Contains(r.out, `"reason": "refused"`) {
			t.Errorf("does not say that it was refused: %v", r)
		}
	})
}

func TestDial(t *testing.T) {
	m := need(t)
	if r := m.reach64(t, 0, "dial", serverIPv4+":"+serverPort, "--prefix", netPrefix, "--explain"); !strings.Contains(r.out, serverIPv6) {
		t.Errorf("does not say how it connected: %v", r)
	}
}

// TestForward backs up 8 MB from Windows to a server that has only IPv4, and
// restores and compares it, through a port of reach64 forward.
func TestForward(t *testing.T) {
	m := need(t)
	for i := range 8 {
		m.write(t, fmt.Sprintf("documents/%d/file", i), bytes.Repeat([]byte{byte(i), 1, 2, 3}, 1<<18))
	}
	ctx, cancel := context.WithCancel(t.Context())
	forward := m.command(ctx, "", "wine", `C:\programs\reach64.exe`, "forward", "--listen", "127.0.0.1:0", "--to", serverIPv4+":"+serverPort, "--prefix", netPrefix)
	said, err := forward.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = forward.Wait() // killed
	}()
	port := ""
	for lines := bufio.NewScanner(said); port == "" && lines.Scan(); {
		if found := regexp.MustCompile(`address="?(127\.0\.0\.1:\d+)`).FindStringSubmatch(lines.Text()); found != nil {
			port = found[1]
		}
	}
	r := m.wine(t, "", `C:\programs\reach64-lab.exe`, "backup-client", "--server", port, "--ca", `C:\programs\ca.pem`, "--src", `C:\documents`, "--restore-to", `C:\restored`, "--json")
	var result struct{ Saved, Restored struct{ Bytes int64 } }
	if err := json.Unmarshal([]byte(r.out), &result); r.code != 0 || err != nil || result.Restored.Bytes != 8<<20 {
		t.Errorf("backup through %s: %v, %+v: %v", port, err, result, r)
	}
}

// TestSelftest: without a driver the device is what fails, and nothing else.
func TestSelftest(t *testing.T) {
	m := need(t)
	r := m.reach64(t, 1, "selftest", "--json")
	var doc struct {
		Result struct {
			Failed int
			Trials []struct{ Name, Verdict, Seen string }
		}
	}
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || doc.Result.Failed != 1 {
		t.Fatalf("%v: want one failure: %v", err, r)
	}
	for _, trial := range doc.Result.Trials {
		if trial.Verdict == "fail" && (trial.Name != "TUN device" || !strings.Contains(trial.Seen, "wintun.dll")) {
			t.Errorf("%s fails: %s", trial.Name, trial.Seen)
		}
	}
}
