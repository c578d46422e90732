package wine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// version asks the running service over its pipe which it is.
func (m *machine) version(t *testing.T) string {
	t.Helper()
	var doc struct{ Version string }
	r := m.wine(t, "", installed, "status", "--json")
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil {
		t.Fatalf("status: %v: %v; the service's log:\n%s", err, r, m.serviceLog())
	}
	return doc.Version
}

// installers are the packages of two versions, on a machine without reach64.
func installers(t *testing.T) (m *machine, first, second string, before state) {
	t.Helper()
	dir := packages(t)
	m = need(t)
	first = m.bring(t, msiFile(filepath.Join(dir, older), older, "amd64"), "older.msi")
	second = m.bring(t, msiFile(filepath.Join(dir, newer), newer, "amd64"), "newer.msi")
	if err := os.RemoveAll(filepath.Join(m.root, "windows/drive_c/ProgramData/Reach64")); err != nil { // of other tests
		t.Fatal(err)
	}
	// Wine removes the list of event sources with the last one, and reach64 service install wants it.
	t.Cleanup(func() {
		m.wine(t, "", "reg", "add", `HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application`, "/f")
	})
	return m, first, second, m.state(t)
}

// TestInstaller goes the whole way of a package: installed, upgraded, not
// downgraded, repaired, removed.
func TestInstaller(t *testing.T) {
	m, first, second, before := installers(t)
	t.Run("install", func(t *testing.T) {
		r := m.msiexec(t, installerDone, "/i", first, "SERVER="+serverName, "PORT="+serverPort, "LOGLEVEL=debug")
		if !strings.Contains(r.errout, "installed and started") {
			t.Errorf("the event log does not say so: %s", r.errout)
		}
		for _, f := range []string{"reach64.exe", "wintun.dll", "wintun-LICENSE.txt", "LICENSE.txt", "LICENSES.txt", "README.md", "CHANGELOG.md", "reach64.toml.example", "reach64-completion.ps1"} {
			if len(m.read(t, "Program Files/Reach64/"+f)) == 0 {
				t.Errorf("%s is empty", f)
			}
		}
		service := m.values(t, `HKLM\SYSTEM\CurrentControlSet\Services\reach64`)
		for _, want := range []string{`"C:\Program Files\Reach64\reach64.exe" run`, "LocalSystem", "Start    REG_DWORD    0x2"} {
			if !strings.Contains(service, want) {
				t.Errorf("no %s in the service: %s", want, service)
			}
		}
		if source := m.values(t, `HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\reach64`); !strings.Contains(source, `REG_EXPAND_SZ    %SystemRoot%\System32\EventCreate.exe`) {
			t.Errorf("event source: %s", source)
		}
		if path := m.values(t, `HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment`); !strings.Contains(path, `;C:\Program Files\Reach64\`) {
			t.Errorf("not in PATH: %s", path)
		}
	})
	t.Run("the service runs by what the installer was told", func(t *testing.T) {
		m.program(t, 0, "service", "status")
		s := m.until(t, "the server was tried", func(s statusOf) bool { return len(s.Servers) == 1 && s.Servers[0].Address != "" })
		if s.Servers[0].Address != serverIPv6 {
			t.Errorf("status %+v, want %s", s, serverIPv6)
		}
		shown := m.program(t, 0, "config", "show", "--origin").out
		if !regexp.MustCompile(`level = 'debug' +# from HKLM\\SOFTWARE\\Reach64`).MatchString(shown) || !strings.Contains(shown, serverPort) {
			t.Errorf("configuration: %s", shown)
		}
	})
	m.write(t, "ProgramData/Reach64/reach64.toml", []byte(serviceConfig))
	t.Run("upgrade", func(t *testing.T) {
		m.msiexec(t, installerDone, "/i", second)
		if got := m.version(t); got != newer {
			t.Errorf("version %s runs, want %s", got, newer)
		}
		if got := string(m.read(t, "ProgramData/Reach64/reach64.toml")); got != serviceConfig {
			t.Errorf("configuration: %s", got)
		}
		told := m.values(t, `HKLM\SOFTWARE\Reach64`)
		for _, want := range []string{"Server    REG_SZ    " + serverName, "Port    REG_SZ    " + serverPort, "LogLevel    REG_SZ    debug"} {
			if !strings.Contains(told, want) {
				t.Errorf("not remembered: %s in %s", want, told)
			}
		}
		if list := m.values(t, `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall`); strings.Count(list, "DisplayName    REG_SZ    reach64") != 1 {
			t.Errorf("installed programs: %s", list)
		}
		m.until(t, "the server is reached", func(s statusOf) bool {
			return len(s.Servers) == 1 && s.Servers[0].Reachable != nil && *s.Servers[0].Reachable
		})
	})
	t.Run("downgrade", func(t *testing.T) {
		m.msiexec(t, installerRefused, "/i", first)
		if got := m.version(t); got != newer {
			t.Errorf("version %s runs, want %s", got, newer)
		}
	})
	t.Run("repair", func(t *testing.T) {
		m.remove(t, "Program Files/Reach64/README.md")
		m.msiexec(t, installerDone, "/i", second, "REINSTALL=ALL", "REINSTALLMODE=omus")
		if len(m.read(t, "Program Files/Reach64/README.md")) == 0 {
			t.Error("the file is empty")
		}
		if got := m.version(t); got != newer {
			t.Errorf("version %s runs, want %s", got, newer)
		}
	})
	t.Run("uninstall", func(t *testing.T) {
		m.msiexec(t, installerDone, "/x", second)
		if got := string(m.read(t, "ProgramData/Reach64/reach64.toml")); got != serviceConfig {
			t.Errorf("configuration: %s", got)
		}
		if diff := changed(before, m.state(t), regexp.MustCompile(`^file ProgramData/Reach64`)); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

// TestInstallerChoices installs with all that can be said, and purges.
func TestInstallerChoices(t *testing.T) {
	m, first, second, before := installers(t)
	conf := m.write(t, "msi/reach64.toml", []byte(serviceConfig))
	const program = `C:\CLAT\reach64.exe`
	t.Run("install", func(t *testing.T) {
		r := m.msiexec(t, installerDone, "/i", first, "CONFIGFILE="+conf, "NOSTART=1", "MODE=off", "SCOPE=all", `INSTALLDIR=C:\CLAT`)
		if !strings.Contains(r.errout, "the service is not started, as the installer was told") {
			t.Errorf("the event log does not say so: %s", r.errout)
		}
		if r := m.wine(t, "", program, "service", "status"); r.code != 3 || !strings.Contains(r.out, "stopped") {
			t.Errorf("service: %v", r)
		}
		if got := string(m.read(t, "ProgramData/Reach64/reach64.toml")); got != serviceConfig {
			t.Errorf("configuration: %s", got)
		}
		if r := m.wine(t, "", program, "config", "show"); r.code != 0 || !strings.Contains(r.out, "mode = 'off'") || !strings.Contains(r.out, "scope = 'all'") {
			t.Errorf("configuration: %v", r)
		}
	})
	t.Run("upgrade", func(t *testing.T) {
		m.msiexec(t, installerDone, "/i", second)
		if r := m.wine(t, "", program, "version"); r.code != 0 || !strings.Contains(r.out, newer) {
			t.Errorf("in the same folder: %v", r)
		}
		if r := m.wine(t, "", program, "service", "status"); r.code != 3 || !strings.Contains(r.out, "stopped") {
			t.Errorf("service: %v", r)
		}
	})
	t.Run("repair with another word", func(t *testing.T) {
		m.msiexec(t, installerDone, "/i", second, "REINSTALL=ALL", "REINSTALLMODE=omus", "NOSTART=0", "MODE=auto")
		if r := m.wine(t, "", program, "service", "status"); r.code != 0 {
			t.Errorf("service: %v", r)
		}
		if r := m.wine(t, "", program, "config", "show"); r.code != 0 || !strings.Contains(r.out, "mode = 'auto'") || !strings.Contains(r.out, "scope = 'all'") {
			t.Errorf("configuration: %v", r)
		}
	})
	t.Run("purge", func(t *testing.T) {
		m.msiexec(t, installerDone, "/x", second, "PURGE=1")
		if diff := changed(before, m.state(t), nil); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

// TestInstallerRefuses: what is wrong is said, and nothing is left.
func TestInstallerRefuses(t *testing.T) {
	m, first, _, before := installers(t)
	bad := m.write(t, "msi/bad.toml", []byte("[[server]]\r\nnome = \"x\"\r\n"))
	for name, tt := range map[string]struct {
		property string
		code     int
		want     string
	}{
		"a configuration that is wrong":   {"CONFIGFILE=" + bad, installerFailed, `bad.toml:2:1: unknown key \"server.nome\"`},
		"a configuration that is missing": {`CONFIGFILE=C:\msi\none.toml`, installerFailed, "none.toml"},
		"a file without its folder":       {"CONFIGFILE=bad.toml", installerFailed, "give its whole path"},
		"a server that is none":           {"SERVER=a/b", installerFailed, "neither a host name"},
		"a folder of others":              {`INSTALLDIR=C:\msi`, installerFailed, "the program needs a folder of its own"},
		"a mode that is none":             {"MODE=maybe", installerRefused, ""}, // Wine shows messages of conditions in windows alone
		"a scope that is none":            {"SCOPE=some", installerRefused, ""},
		"a level that is none":            {"LOGLEVEL=loud", installerRefused, ""},
		"a start that is none":            {"NOSTART=yes", installerRefused, ""},
		"a port that is none":             {"PORT=70000", installerRefused, ""},
		"a port that is a word":           {"PORT=https", installerRefused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := m.msiexec(t, tt.code, "/i", first, tt.property)
			if !strings.Contains(r.out+r.errout, tt.want) {
				t.Errorf("no %q in: %s%s", tt.want, r.errout, r.out)
			}
		})
	}
	t.Run("nothing is left of them", func(t *testing.T) {
		if diff := changed(before, m.state(t), registered); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
	t.Run("a service that does not start", func(t *testing.T) {
		conf := m.write(t, "msi/unwritable.toml", []byte(serviceConfig+"file = 'C:\\none\\reach64.log'\r\n"))
		if r := m.msiexec(t, installerFailed, "/i", first, "CONFIGFILE="+conf); !strings.Contains(r.errout, "it has ended at once") {
			t.Errorf("the event log does not say so: %s", r.errout)
		}
		if log := m.serviceLog(); !strings.Contains(log, "log.file: ") {
			t.Errorf("the service's log does not say why: %s", log)
		}
		after := m.state(t)
		if _, ok := after["file ProgramData/Reach64/reach64.toml"]; ok {
			t.Error("the configuration is still there")
		}
		if diff := changed(before, after, regexp.MustCompile(registered.String()+"|^file ProgramData/Reach64")); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
	t.Run("no server is no mistake", func(t *testing.T) {
		r := m.msiexec(t, installerDone, "/i", first)
		if !strings.Contains(r.errout, "no backup server is named") {
			t.Errorf("the event log does not say so: %s", r.errout)
		}
		if r := m.wine(t, "", installed, "service", "status"); r.code != 3 || !strings.Contains(r.out, "stopped") {
			t.Errorf("service: %v", r)
		}
		m.msiexec(t, installerDone, "/x", first, "PURGE=1")
		if diff := changed(before, m.state(t), registered); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}
