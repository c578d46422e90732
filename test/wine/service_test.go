package wine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serviceConfig is read by the service at its own place, C:\ProgramData\Reach64.
const serviceConfig = "[[server]]\r\nname = \"" + serverName + "\"\r\nport = " + serverPort + "\r\nca_file = 'C:\\programs\\ca.pem'\r\n[log]\r\nlevel = \"debug\"\r\n"

// statusOf is what the tests want of the status document.
type statusOf struct {
	Class, Path, Reason, Sentence string
	Detail, Uplink, Prefix        *string
	Source                        *string `json:"prefix_source"`
	Servers                       []struct {
		Address, Path string
		Reachable     *bool
		Error         *string
	}
	Sources []sourceOf
	PID     int
}

type sourceOf struct {
	Source, Verdict string
	Link            *string
	Prefixes        []string
}

// until asks the running service for its status over the pipe until ok.
func (m *machine) until(t *testing.T, what string, ok func(statusOf) bool) statusOf {
	t.Helper()
	var last result
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
		last = m.wine(t, "", `C:\programs\reach64.exe`, "status", "--json")
		var doc struct{ Result statusOf }
		if json.Unmarshal([]byte(last.out), &doc) == nil && ok(doc.Result) {
			return doc.Result
		}
	}
	t.Fatalf("%s: not so; the service's log:\n%s\nlast status: %v", what, m.serviceLog(), last)
	return statusOf{}
}

func (m *machine) serviceLog() string {
	text, err := os.ReadFile(filepath.Join(m.root, "windows/drive_c/ProgramData/Reach64/logs/reach64.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

const serviceKey = `HKLM\SYSTEM\CurrentControlSet\Services\reach64`

// wantRegistry looks at values of a key; "0x0" is also that there is none.
func (m *machine) wantRegistry(t *testing.T, key string, want map[string]string) {
	t.Helper()
	r := m.wine(t, "", "reg", "query", key)
	if r.code != 0 {
		t.Fatalf("query %s: %v", key, r)
	}
	for name, value := range want {
		got := "0x0"
		for line := range strings.Lines(r.out) {
			if f := strings.Fields(line); len(f) > 2 && f[0] == name {
				got = strings.TrimSpace(strings.SplitN(line, f[1], 2)[1])
			}
		}
		if got != value {
			t.Errorf("%s of %s is %s, want %s; all of it:\n%s", name, key, got, value, r.out)
		}
	}
}

// TestServiceInAFolderWithBlanks: the service manager has to be told the program's path
// in quotes, and a path without them is found.
func TestServiceInAFolderWithBlanks(t *testing.T) {
	m := need(t)
	program, err := os.ReadFile(filepath.Join(m.root, "windows/drive_c/programs/reach64.exe"))
	if err != nil {
		t.Fatal(err)
	}
	path := m.write(t, "Program Files/Reach64/reach64.exe", program)
	t.Cleanup(func() { m.wine(t, "", path, "service", "uninstall") })
	if r := m.wine(t, "", path, "service", "install", "--config", `C:\some folder\reach64.toml`); r.code != 0 {
		t.Fatal(r)
	}
	m.wantRegistry(t, serviceKey, map[string]string{"ImagePath": `"` + path + `" run --config "C:\some folder\reach64.toml"`})
	if r := m.wine(t, "", path, "selftest"); !strings.Contains(r.out, "PASS  service manager") {
		t.Errorf("the service manager's line: %v", r)
	}
	if r := m.wine(t, "", "reg", "add", serviceKey, "/v", "ImagePath", "/t", "REG_EXPAND_SZ", "/d", path+" run", "/f"); r.code != 0 {
		t.Fatal(r)
	}
	if r := m.wine(t, "", path, "selftest"); !strings.Contains(r.out, "FAIL  service manager") || !strings.Contains(r.out, `would run C:\Program.exe`) {
		t.Errorf("a path without quotes: %v", r)
	}
}

// TestService goes the way of a service: installed, started by the service manager,
// asked over its pipe, paused, restarted, stopped, uninstalled.
func TestService(t *testing.T) {
	m := need(t)
	if r := m.reach64(t, 3, "service", "status"); !strings.Contains(r.out, "not installed") {
		t.Errorf("before it is installed: %v", r)
	}
	m.write(t, "ProgramData/Reach64/reach64.toml", []byte(serviceConfig))
	m.reach64(t, 0, "service", "install")
	t.Cleanup(func() {
		m.remove(t, "ProgramData/Reach64/reach64.toml")
		m.wine(t, "", `C:\programs\reach64.exe`, "service", "uninstall")
		if r := m.wine(t, "", `C:\programs\reach64.exe`, "service", "status"); r.code != 3 || !strings.Contains(r.out, "not installed") {
			t.Errorf("after it was uninstalled: %v", r)
		}
	})
	if r := m.wine(t, "", `C:\programs\reach64.exe`, "service", "install"); r.code == 0 || !strings.Contains(r.errout, "installed already") {
		t.Errorf("installed twice: %v", r)
	}
	if r := m.reach64(t, 3, "service", "status"); !strings.Contains(r.out, "stopped") {
		t.Errorf("before it is started: %v", r)
	}
	m.wantRegistry(t, serviceKey, map[string]string{
		"ImagePath": `C:\programs\reach64.exe run`, "Start": "0x2", "DependOnService": `Nsi\0Tcpip`, "PreshutdownTimeout": "0x4e20", "DelayedAutoStart": "0x0",
	})
	if r := m.reach64(t, 3, "status"); !strings.Contains(r.errout, "does not run") {
		t.Errorf("status of a service that does not run: %v", r)
	}
	m.reach64(t, 0, "service", "start")
	if r := m.wine(t, "", `C:\programs\reach64.exe`, "service", "status"); r.code != 0 || !strings.Contains(r.out, "running") {
		t.Fatalf("after it was started: %v; its log:\n%s", r, m.serviceLog())
	}
	t.Run("status over the pipe", func(t *testing.T) {
		s := m.until(t, "the server is reached by name", func(s statusOf) bool {
			return len(s.Servers) == 1 && s.Servers[0].Reachable != nil && *s.Servers[0].Reachable
		})
		if s.Servers[0].Address != serverIPv6 || s.Servers[0].Path != "synthesized" || s.Prefix == nil || *s.Prefix != netPrefix || s.Uplink == nil || *s.Uplink != "eth0" {
			t.Errorf("status %+v, want %s by synthesized over eth0", s, serverIPv6)
		}
	})
	t.Run("what has no adapter is said", func(t *testing.T) {
		s := m.until(t, "no adapter", func(s statusOf) bool { return s.Detail != nil && strings.Contains(*s.Detail, "wintun.dll") })
		if s.Reason != "datapath-failed" {
			t.Errorf("reason %s", s.Reason)
		}
	})
	t.Run("what an administrator may ask for", func(t *testing.T) {
		m.reach64(t, 0, "pause")
		m.until(t, "paused", func(s statusOf) bool { return s.Reason == "paused" })
		m.reach64(t, 0, "resume")
		m.reach64(t, 0, "reload")
	})
	t.Run("a second one", func(t *testing.T) {
		if r := m.reach64(t, 13, "run"); !strings.Contains(r.errout, "running already") {
			t.Errorf("a second service: %v", r)
		}
	})
	t.Run("restart", func(t *testing.T) {
		before := m.until(t, "runs", func(statusOf) bool { return true })
		m.reach64(t, 0, "service", "restart")
		if after := m.until(t, "runs again", func(statusOf) bool { return true }); after.PID == before.PID {
			t.Errorf("the process is still %d", after.PID)
		}
	})
	t.Run("stop", func(t *testing.T) {
		m.reach64(t, 0, "service", "stop")
		if r := m.reach64(t, 3, "service", "status"); !strings.Contains(r.out, "stopped") {
			t.Errorf("after it was stopped: %v", r)
		}
		if log := m.serviceLog(); !strings.Contains(log, "reach64 stopped") {
			t.Errorf("did not end in good order: %s", log)
		}
	})
	t.Run("a configuration that is wrong", func(t *testing.T) {
		m.write(t, "ProgramData/Reach64/reach64.toml", []byte("[[server]]\r\nnome = \"x\"\r\n"))
		if r := m.reach64(t, 1, "service", "start"); !strings.Contains(r.errout, "ended at once") {
			t.Errorf("a start that fails: %v", r)
		}
		if log := m.serviceLog(); !strings.Contains(log, "unknown key") {
			t.Errorf("the log does not say why: %s", log)
		}
	})
}
