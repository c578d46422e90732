package wine

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// relayConfig knows the server by an IPv4 address alone, as the client does.
const relayConfig = "[[server]]\r\nname = \"" + serverIPv4 + "\"\r\nport = " + serverPort + "\r\nca_file = 'C:\\programs\\ca.pem'\r\n[path]\r\ndatapath = \"relay\"\r\n[log]\r\nlevel = \"debug\"\r\n"

// buildRelay puts reach64.exe into C:\relay, built with the hash of the stand-in for
// wintun.dll that lies beside it, and with the test in the place of the part of the IP
// Helper API that Wine lacks. It returns that library.
func (m *machine) buildRelay(t *testing.T, a *adapter) (library []byte) {
	t.Helper()
	dir := filepath.Join(m.root, "windows/drive_c/relay")
	library, err := os.ReadFile(filepath.Join(m.root, "windows/drive_c/programs/wintun.dll"))
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "relay/wintun.dll", library)
	m.write(t, "relay/wintun.port", fmt.Appendf(nil, "%d %d", port(a.packets), a.index))
	m.write(t, "relay/netcfg.port", fmt.Append(nil, port(a.changes)))
	over, err := overlay(t.TempDir(), "../../platform/netcfg/iphlpapi_windows.go", "testdata/iphlpapi.go")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(library)
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-overlay", over, "-o", dir,
		"-ldflags", "-X main.version="+testVersion+" -X "+module+"platform/tun.WintunSHA256="+hex.EncodeToString(sum[:]), module+"cmd/reach64")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows", "GOARCH=amd64")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return library
}

// TestRelay is the whole way of a backup on Windows: the service, its adapter, and a
// client for Windows that knows an IPv4 address in a network that has only IPv6.
func TestRelay(t *testing.T) {
	m := need(t)
	a := newAdapter(t)
	library := m.buildRelay(t, a)
	relay := func(code int, args ...string) result {
		t.Helper()
		r := m.wine(t, "", append([]string{`C:\relay\reach64.exe`}, args...)...)
		if r.code != code {
			t.Fatalf("reach64 %s, want exit code %d: %v\nThe service's log:\n%s", strings.Join(args, " "), code, r, m.serviceLog())
		}
		return r
	}
	m.write(t, "ProgramData/Reach64/reach64.toml", []byte(relayConfig))
	relay(0, "service", "install")
	t.Cleanup(func() {
		m.remove(t, "ProgramData/Reach64/reach64.toml")
		m.wine(t, "", `C:\relay\reach64.exe`, "service", "uninstall")
	})
	reached := func(s statusOf) bool {
		return s.Path == "relay" && len(s.Servers) == 1 && s.Servers[0].Reachable != nil && *s.Servers[0].Reachable
	}
	t.Run("a library that is not the driver's", func(t *testing.T) {
		library := m.write(t, "relay/wintun.dll", []byte("another one"))
		relay(0, "service", "start")
		m.until(t, "the library is refused", func(s statusOf) bool {
			return s.Reason == "datapath-failed" && strings.Contains(*s.Detail, library+" is not the library that this program was built for: its SHA-256 is ")
		})
		relay(0, "service", "stop")
		m.remove(t, "relay/wintun.dll")
		relay(0, "service", "start")
		m.until(t, "the library is missed", func(s statusOf) bool {
			return s.Reason == "datapath-failed" && strings.Contains(*s.Detail, library+" is missing: install reach64 again")
		})
		relay(0, "service", "stop")
	})
	m.write(t, "relay/wintun.dll", library)
	relay(0, "service", "start")
	before := m.until(t, "the server is reached by the relay", reached)
	if made, want := a.changed(), []string{"address add 192.0.0.3/32", "route add 192.0.0.8/32", "route add " + serverIPv4 + "/32"}; !slices.Equal(made, want) {
		t.Errorf("changes %q, want %q", made, want)
	}
	t.Run("backup", func(t *testing.T) {
		files := make([]byte, 24<<20)
		_, _ = rand.Read(files)
		m.write(t, "by-relay/files", files)
		r := m.wine(t, "", `C:\programs\reach64-lab.exe`, "backup-client", "--server", serverIPv4+":"+serverPort, "--ca", `C:\programs\ca.pem`,
			"--src", `C:\by-relay`, "--restore-to", `C:\restored-by-relay`, "--json")
		var result struct{ Saved, Restored struct{ Bytes int } }
		if err := json.Unmarshal([]byte(r.out), &result); r.code != 0 || err != nil || result.Saved.Bytes != len(files) || result.Restored.Bytes != len(files) {
			t.Errorf("%+v, %v, want %d bytes each way: %v", result, err, len(files), r)
		}
		if got, err := os.ReadFile(filepath.Join(m.root, "windows/drive_c/restored-by-relay/files")); err != nil || sha256.Sum256(got) != sha256.Sum256(files) {
			t.Errorf("%d bytes came back, %v, want the same %d", len(got), err, len(files))
		}
	})
	t.Run("end of the process", func(t *testing.T) {
		if r := m.wine(t, "", "taskkill", "/F", "/PID", fmt.Sprint(before.PID)); r.code != 0 {
			t.Fatal(r)
		}
		if left := a.left(t); !strings.Contains(left, "192.0.0.3/32") || !strings.Contains(left, serverIPv4) {
			t.Errorf("a process that is ended leaves %q, want its address and route", left)
		}
		relay(0, "cleanup")
		if left := a.left(t); left != "" {
			t.Errorf("cleanup leaves %q", left)
		}
	})
	t.Run("stop", func(t *testing.T) {
		relay(0, "service", "start")
		m.until(t, "the server is reached again", reached)
		a.changed()
		relay(0, "service", "stop")
		if made, want := a.changed(), []string{"route del 192.0.0.8/32", "route del " + serverIPv4 + "/32", "address del 192.0.0.3/32"}; !slices.Equal(made, want) {
			t.Errorf("changes %q, want %q", made, want)
		}
		if left := a.left(t); left != "" {
			t.Errorf("the service leaves %q", left)
		}
	})
}
