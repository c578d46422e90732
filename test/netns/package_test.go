package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// made are the packages that `make dist` makes for this machine, of two versions;
// built once, when first needed.
var made struct {
	once sync.Once
	dir  string
	err  error
}

// packages returns the deb of two versions, and the rpm of the older.
func packages(t *testing.T) (deb, newer, rpm string) {
	t.Helper()
	made.once.Do(func() {
		if made.dir, made.err = tempDir("dist"); made.err != nil {
			return
		}
		for _, v := range []string{"0.0.1", "0.0.2"} {
			c := exec.Command("go", "run", "./installer/dist", "-version", v, "-out", filepath.Join(made.dir, v), "-only", "linux/amd64")
			c.Dir = "../.."
			if out, code, err := runFor(10*time.Minute, c); err != nil || code != 0 {
				made.err = fmt.Errorf("exit code %d, %w: %s%s", code, err, out.stdout, out.stderr)
				return
			}
		}
	})
	if made.err != nil {
		t.Fatalf("make packages: %v", made.err)
	}
	return filepath.Join(made.dir, "0.0.1/reach64_0.0.1_amd64.deb"), filepath.Join(made.dir, "0.0.2/reach64_0.0.2_amd64.deb"),
		filepath.Join(made.dir, "0.0.1/reach64-0.0.1-1.x86_64.rpm")
}

// bring copies a file into the machine and returns its path there.
func (m *machine) bring(file string) string {
	m.l.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		m.l.t.Fatal(err)
	}
	to := "/root/" + filepath.Base(file)
	m.write(to, string(text))
	return to
}

// status asks the service inside.
func (m *machine) status() (st status, err error) {
	out, err := m.try(5*time.Second, "reach64", "status", "--json")
	var doc struct {
		Result status `json:"result"`
	}
	if jerr := json.Unmarshal([]byte(out), &doc); jerr != nil {
		return st, errors.Join(err, jerr)
	}
	return doc.Result, nil // a server that does not answer is an exit code too
}

// up waits until the server answers through the CLAT.
func (m *machine) up() status {
	m.l.t.Helper()
	var st status
	eventually(m.l.t, 30*time.Second, "the server answers through the CLAT", func() (err error) {
		if st, err = m.status(); err == nil && !carries(st) {
			err = fmt.Errorf("class %s, path %s, reason %s, %s", st.Class, st.Path, st.Reason, st.Detail)
		}
		return err
	})
	return st
}

// files lists the machine's files that outlive a boot, with what they hold where a package manager must not change it.
func (m *machine) files() map[string]string {
	m.l.t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, m.root)
		if others.MatchString(name) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		list[name] = e.Type().String()
		return nil
	})
	if err != nil {
		m.l.t.Fatal(err)
	}
	return list
}

// others are files that change by themselves, or that package managers keep for
// themselves, and what the test brings.
var others = regexp.MustCompile(`^/(proc|sys|dev|run|tmp|root|var/(tmp|cache|log/journal|log/dpkg\.log|lib/(dpkg|rpm|systemd)|backups))(/|$)`)

// left tells what is there more or less than before.
func left(before, now map[string]string) string { return cmp.Diff(before, now) }

// needMachine skips where no machine can be booted.
func needMachine(t *testing.T) {
	t.Helper()
	need(t, "mmdebstrap", "systemd-nspawn", "nsenter", "go")
}

// networkForMachine is an embedded network whose client has no process yet.
func networkForMachine(t *testing.T) (*lab, *machine) {
	t.Helper()
	needMachine(t)
	l := newLab(t, documentation)
	l.embedded("--prefix", ownPrefix)
	l.online()
	return l, l.boot()
}

// configure names the lab's server in the machine's configuration.
func (m *machine) configure(settings string) string {
	m.l.t.Helper()
	ca, err := os.ReadFile(m.l.ca)
	if err != nil {
		m.l.t.Fatal(err)
	}
	m.write("/etc/reach64/ca.pem", string(ca))
	text := fmt.Sprintf("[[server]]\nname = %q\nport = %d\nca_file = \"/etc/reach64/ca.pem\"\n%s", documentation, webPort, settings)
	m.write("/etc/reach64/reach64.toml", text)
	return text
}

func TestDebPackage(t *testing.T) {
	l, m := networkForMachine(t)
	deb, newer, _ := packages(t)
	deb, newer = m.bring(deb), m.bring(newer)
	before, beforeNet := m.files(), l.client.state()

	t.Log("installed without a server it says so and does not run")
	out := m.must("dpkg", "-i", deb)
	for _, want := range []string{"not started", "/etc/reach64/reach64.toml"} {
		if !strings.Contains(out, want) {
			t.Errorf("dpkg -i said %q, want %q in it", out, want)
		}
	}
	m.is("is-enabled", "enabled")
	m.is("is-active", "inactive")
	if out := m.must("systemctl", "list-units", "--failed", "--no-legend"); out != "" {
		t.Errorf("failed units: %s", out)
	}

	t.Log("configured it carries a backup")
	conf := m.configure("")
	start := time.Now()
	m.must("systemctl", "restart", "reach64")
	m.up()
	t.Logf("from the start to the first handshake: %.1f s", time.Since(start).Seconds())
	l.works()
	if out := m.must("systemctl", "status", "reach64"); !strings.Contains(out, "path clat") {
		t.Errorf("systemctl status does not tell the path:\n%s", out)
	}
	score := m.must("systemd-analyze", "security", "--no-pager", "reach64.service")
	t.Logf("systemd-analyze security: %s", strings.TrimSpace(score[strings.LastIndex(strings.TrimSpace(score), "\n")+1:]))

	t.Log("a reload is refused with the place of the mistake, and the old configuration stays")
	m.configure("colour = 1\n")
	if out, err := m.try(10*time.Second, "systemctl", "reload", "reach64"); err == nil {
		t.Errorf("reload of a bad configuration succeeded: %s", out)
	}
	l.works()
	m.configure("")

	t.Log("an upgrade keeps the configuration and a flow that is under way")
	flow := l.flow()
	m.must("dpkg", "-i", newer)
	m.up()
	if out := m.must("reach64", "version"); !strings.Contains(out, "0.0.2") {
		t.Errorf("version after the upgrade: %s", out)
	}
	if got, err := os.ReadFile(filepath.Join(m.root, "/etc/reach64/reach64.toml")); err != nil || string(got) != conf {
		t.Errorf("configuration after the upgrade: %s, %v, want %s", got, err, conf)
	}
	flow.goesOn()

	t.Log("killed, it is started again")
	m.must("systemctl", "kill", "-s", "KILL", "reach64")
	eventually(t, 20*time.Second, "systemd has restarted it", func() error {
		if out, err := m.try(5*time.Second, "systemctl", "show", "-P", "NRestarts", "reach64"); strings.TrimSpace(out) != "1" {
			return fmt.Errorf("NRestarts %q, %v", out, err)
		}
		return nil
	})
	m.up()
	l.works()

	t.Log("it comes up by itself after a reboot")
	m.off()
	m.on()
	m.up()
	l.works()

	t.Log("removed, it leaves configuration and state, and the network as it was")
	m.must("dpkg", "-r", "reach64")
	l.client.unchanged(beforeNet)
	for _, file := range []string{"/etc/reach64/reach64.toml", "/var/lib/reach64/secret"} {
		if _, err := os.Stat(filepath.Join(m.root, file)); err != nil {
			t.Errorf("after remove: %v", err)
		}
	}
	m.must("rm", "/etc/reach64/ca.pem") // the administrator's own
	m.must("dpkg", "-P", "reach64")
	if diff := left(before, m.files()); diff != "" {
		t.Errorf("files after purge (-before +after):\n%s", diff)
	}
	if out, err := m.try(5*time.Second, "systemctl", "list-unit-files", "--no-legend", "reach64*"); strings.TrimSpace(out) != "" {
		t.Errorf("%v, units after purge: %s", err, out)
	}
}

// is wants a word from systemctl about the service.
func (m *machine) is(verb, want string) {
	m.l.t.Helper()
	if out, _ := m.try(5*time.Second, "systemctl", verb, "reach64"); strings.TrimSpace(out) != want {
		m.l.t.Errorf("systemctl %s reach64: %q, want %q", verb, out, want)
	}
}

func TestDebPackageOverTrouble(t *testing.T) {
	l, m := networkForMachine(t)
	deb, newer, _ := packages(t)
	deb, newer = m.bring(deb), m.bring(newer)

	t.Log("without a network it starts, and finds the server when the network comes")
	l.client.ip("link set eth0 down")
	m.configure("")
	m.must("dpkg", "-i", "--force-confold", deb)
	m.is("is-active", "active")
	if st, err := m.status(); err != nil || st.Class != "offline" {
		t.Errorf("class without a network: %s, %v, want offline", st.Class, err)
	}
	l.client.ip("link set eth0 up")
	m.up()

	t.Log("a full disk stops an upgrade, says so, and the old version stays whole")
	m.must("mount", "-t", "tmpfs", "-o", "size=8k", "none", "/usr/share/doc/reach64")
	if out, err := m.try(60*time.Second, "dpkg", "-i", newer); err == nil || !strings.Contains(out, "No space left") {
		t.Errorf("dpkg -i on a full disk: %v, want an error that says so: %s", err, out)
	}
	m.must("umount", "/usr/share/doc/reach64")
	if out := m.must("reach64", "version"); !strings.Contains(out, "0.0.1") {
		t.Errorf("version after an upgrade that failed: %s", out)
	}
	if out := m.must("dpkg-query", "-W", "-f", "${Status} ${Version}", "reach64"); out != "install ok installed 0.0.1" {
		t.Errorf("state after an upgrade that failed: %s", out)
	}
	m.up()

	t.Log("an upgrade over a broken configuration leaves the old service at work, and says what is wrong")
	m.configure("colour = 1\n")
	if out := m.must("dpkg", "-i", newer); !strings.Contains(out, "colour") {
		t.Errorf("dpkg -i said %q, want the name of the bad key", out)
	}
	l.works()

	m.configure("")

	t.Log("a service that does not stop is killed in time, and nothing of it stays")
	pid := strings.TrimSpace(m.must("systemctl", "show", "-P", "MainPID", "reach64"))
	m.must("kill", "-STOP", pid)
	m.must("dpkg", "-r", "reach64")
	if out, err := l.client.try(5*time.Second, "ip", "-4", "addr", "show", "to", "192.0.0.0/29"); err != nil || out != "" {
		t.Errorf("addresses left: %s, %v", out, err)
	}
}

func TestRPMPackage(t *testing.T) {
	l, m := networkForMachine(t)
	_, _, rpm := packages(t)
	rpm = m.bring(rpm)
	m.must("mkdir", "/etc/sysconfig", "/usr/share/licenses") // every rpm system has them
	before, beforeNet := m.files(), l.client.state()
	// No rpm system: nothing that the package needs is in rpm's list.
	out := m.must("rpm", "-i", "--nodeps", rpm)
	if !strings.Contains(out, "not started") {
		t.Errorf("rpm -i said %q, want that it is not started", out)
	}
	m.configure("")
	m.must("systemctl", "enable", "--now", "reach64")
	m.up()
	l.works()
	m.must("rpm", "-e", "reach64")
	l.client.unchanged(beforeNet)
	m.must("rm", "-r", "/etc/reach64") // .rpmsave, and the administrator's own
	if diff := left(before, m.files()); diff != "" {
		t.Errorf("files after rpm -e (-before +after):\n%s", diff)
	}
}

// flow is a download that goes on through the CLAT.
type flow struct {
	l    *lab
	p    *process
	file string
}

// flow starts a download that takes longer than an upgrade: at 200 KB/s.
func (l *lab) flow() *flow {
	l.t.Helper()
	f := &flow{l: l, file: l.file("flow")}
	f.p = l.run("flow", l.client.command(context.Background(), "curl", "-4", "-sS", "--cacert", l.ca, "--limit-rate", "200k",
		"-o", f.file, l.url("/50000000")))
	f.goesOn()
	return f
}

// goesOn waits until more has come.
func (f *flow) goesOn() {
	f.l.t.Helper()
	size := func() int64 {
		if i, err := os.Stat(f.file); err == nil {
			return i.Size()
		}
		return 0
	}
	was := size()
	eventually(f.l.t, 20*time.Second, "the flow goes on", func() error {
		if f.p.ended() {
			f.l.t.Fatalf("the flow broke: %v: %s", f.p.err, f.p.output())
		}
		if size() == was {
			return errors.New("nothing has come")
		}
		return nil
	})
}

// TestServiceOfACopiedBinary: who brings the program alone installs the service by
// its verb.
func TestServiceOfACopiedBinary(t *testing.T) {
	l, m := networkForMachine(t)
	program, err := os.ReadFile(binary(t, "reach64"))
	if err != nil {
		t.Fatal(err)
	}
	before, beforeNet := m.files(), l.client.state()
	const path = "/usr/local/bin/reach64"
	m.write(path, string(program))
	m.must("chmod", "755", path)
	m.configure("")
	m.must(path, "service", "install")
	m.must(path, "service", "start")
	m.up()
	l.works()
	if out := m.must(path, "service", "status"); !strings.Contains(out, "running") {
		t.Errorf("service status: %s", out)
	}
	m.must(path, "service", "restart")
	m.up()
	m.must(path, "service", "stop")
	m.is("is-active", "inactive")
	m.must(path, "service", "uninstall")
	l.client.unchanged(beforeNet)
	m.must("test", "-e", "/etc/reach64/reach64.toml") // it is the administrator's
	m.must(path, "service", "install")
	m.must(path, "service", "start")
	m.up()
	m.must(path, "service", "uninstall", "--purge")
	l.client.unchanged(beforeNet)
	if out := m.must(path, "service", "uninstall", "--purge"); !strings.Contains(out, "no service is installed") {
		t.Errorf("a second purge: %s", out)
	}
	m.must("rm", path)
	if diff := left(before, m.files()); diff != "" {
		t.Errorf("files after service uninstall (-before +after):\n%s", diff)
	}
}
