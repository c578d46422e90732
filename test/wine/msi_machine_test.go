package wine

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// installed is the program where the installer puts it.
const installed = `C:\Program Files\Reach64\reach64.exe`

// msiexec runs Windows Installer without a window. What goes to the event log, which
// Wine does not keep, is in errout; the installer's own log is in out.
func (m *machine) msiexec(t *testing.T, code int, args ...string) result {
	t.Helper()
	args = append([]string{"env", "WINEDEBUG=-all,err+eventlog,trace+eventlog", "wine", "msiexec"}, append(args, "/qn", "/l*v", `C:\msi\log`)...)
	r := m.run(t, "", args...)
	r.out = string(m.read(t, "msi/log"))
	if r.code != code {
		var short []string // not all its properties
		for line := range strings.Lines(r.out) {
			if !strings.Contains(line, "Property(S)") {
				short = append(short, line)
			}
		}
		t.Fatalf("msiexec %s: exit code %d, want %d\nevent log: %s\nlog: %s\nservice: %s", strings.Join(args[4:], " "), r.code, code, r.errout, strings.Join(short, ""), m.serviceLog())
	}
	return r
}

// The exit codes of msiexec, which Wine cuts to a byte: done, refused before anything
// was done (1603), and rolled back (1627).
const (
	installerDone    = 0
	installerRefused = 1603 & 0xff
	installerFailed  = 1627 & 0xff
)

// read is a file of drive C:.
func (m *machine) read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, "windows/drive_c", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// bring copies a package to C:\msi and returns its Windows path.
func (m *machine) bring(t *testing.T, file, name string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return m.write(t, "msi/"+name, text)
}

// program runs the installed reach64.exe and wants this exit code.
func (m *machine) program(t *testing.T, code int, args ...string) result {
	t.Helper()
	r := m.wine(t, "", append([]string{installed}, args...)...)
	if r.code != code {
		t.Fatalf("reach64 %s: want exit code %d: %v", strings.Join(args, " "), code, r)
	}
	return r
}

// values are those of a key and of the keys below it, as reg query shows them.
func (m *machine) values(t *testing.T, key string) string {
	t.Helper()
	return m.wine(t, "", "reg", "query", key, "/s").out
}

// A state is what an installation must not leave changed: files with their sizes, and
// the registry with the services in it, by name.
type state map[string]string

// passing is what changes by itself: temporary files, what Wine notes of programs that
// run, and what the test brings.
var passing = regexp.MustCompile(`(?i)^(programs|source|msi|documents|restored|etc|windows/temp|users/[^/]+/(temp|appdata/local/temp))(/|$)`)

func (m *machine) state(t *testing.T) state {
	t.Helper()
	s := make(state)
	drive := filepath.Join(m.root, "windows/drive_c")
	err := filepath.WalkDir(drive, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(drive, path)
		if err != nil {
			return err
		}
		if passing.MatchString(name) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		s["file "+name] = e.Type().String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := m.wine(t, "", "reg", "export", "HKLM", `C:\msi\state.reg`, "/y"); r.code != 0 {
		t.Fatalf("export the registry: %v", r)
	}
	key := ""
	text := strings.ReplaceAll(wide(m.read(t, "msi/state.reg")), "\\\r\n  ", "") // values on several lines
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			key = line
			s["key "+key] = ""
		} else if name, value, ok := strings.Cut(line, "="); ok {
			s["value "+key+name] = semicolons.ReplaceAllString(value, ",00,00")
		}
	}
	return s
}

// semicolons are those that Wine leaves at the end of PATH, in UTF-16.
var semicolons = regexp.MustCompile(`(,3b,00)+,00,00$`)

// wide reads UTF-16 with a byte order mark.
func wide(b []byte) string {
	var u []uint16
	for i := 2; i+1 < len(b); i += 2 {
		u = append(u, uint16(b[i])|uint16(b[i+1])<<8)
	}
	return string(utf16.Decode(u))
}

// kept is what Windows or Wine keeps for itself: certificates that it has taken from
// Linux, the empty places of its own installer and event log, the number of the next service, its screen.
var kept = regexp.MustCompile(`(?i)SystemCertificates|\\Control\\Video\\|\\Control\\ServiceCurrent\]|^file windows/Installer$|Software\\Classes\\Installer(\\(Features|Products|UpgradeCodes))?\]$|` +
	`CurrentVersion\\Installer\\(UpgradeCodes|UserData(\\S-1-5-18(\\(Components|Products))?)?)\]$|^key .*Services\\Eventlog\\Application\]$`)

// registered are keys without values that Wine leaves of the components of an
// installation that it has rolled back.
var registered = regexp.MustCompile(`^key .*Installer\\UserData\\S-1-5-18\\Components\\[0-9A-F]{32}\]$`)

// changed lists the differences of two states, without what is allowed.
func changed(before, after state, allowed *regexp.Regexp) string {
	var out []string
	note := func(sign, name, more string) {
		if !kept.MatchString(name) && (allowed == nil || !allowed.MatchString(name)) {
			out = append(out, sign+" "+name+more+"\n")
		}
	}
	for name, v := range before {
		w, ok := after[name]
		switch {
		case !ok:
			note("-", name, "")
		case v != w:
			note("*", name, ": "+v+" became "+w)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			note("+", name, "")
		}
	}
	slices.Sort(out)
	return strings.Join(out, "")
}
