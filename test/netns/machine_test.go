package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// treePackages are what a small Debian with systemd consists of; rpm is there to
// install the other package with.
const treePackages = "systemd,systemd-sysv,dbus,iproute2,iputils-ping,procps,kmod,ca-certificates,rpm"

// tree is a folder with a small Debian, made once and kept for later runs.
func tree(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/var/cache" // root without a home
	}
	dir := filepath.Join(cache, "reach64-test", "bookworm-1")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	made := fmt.Sprintf("%s.%d", dir, os.Getpid())
	defer os.RemoveAll(made)
	_, _, err = runFor(5*time.Minute, exec.Command("mmdebstrap", "-q", "--variant=minbase", "--include="+treePackages, "bookworm", made))
	if err == nil {
		err = os.Rename(made, dir)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatalf("make a tree with systemd: %v", err)
	}
	return dir
}

// machine is a Debian that systemd has booted in the client's namespace. What
// is written there goes with the lab.
type machine struct {
	l      *lab
	root   string
	nspawn *process
}

// boot boots it. The host's kernel is the machine's too.
func (l *lab) boot() *machine {
	t := l.t
	t.Helper()
	m := &machine{l: l, root: l.file("root")}
	for _, d := range []string{"root", "upper", "work"} {
		if err := os.MkdirAll(l.file(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layers := "lowerdir=" + tree(t) + ",upperdir=" + l.file("upper") + ",workdir=" + l.file("work")
	if out, err := exec.Command("mount", "-t", "overlay", "overlay", "-o", layers, m.root).CombinedOutput(); err != nil {
		t.Fatalf("mount the machine's root: %v: %s", err, out)
	}
	t.Cleanup(m.remove)
	m.write("/etc/resolv.conf", "nameserver "+lanRouter+"\n")
	m.write("/etc/hostname", "endpoint\n")
	m.on()
	return m
}

// on starts it with what its root holds.
func (m *machine) on() {
	m.l.t.Helper()
	// Outside the client's namespace: nspawn goes there by itself.
	c := exec.Command("setsid", "systemd-nspawn", "-q", "-D", m.root, "--boot", "--register=no", "--keep-unit", "--console=passive",
		"--network-namespace-path=/run/netns/"+m.l.client.name, "--bind=/dev/net/tun", "--resolv-conf=off", "--timezone=off",
		"--capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_BPF,CAP_PERFMON", "--system-call-filter=bpf")
	c.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	m.nspawn = m.l.run("machine", c)
	eventually(m.l.t, 60*time.Second, "systemd has booted", func() error {
		out, err := m.try(5*time.Second, "systemctl", "is-system-running")
		if strings.TrimSpace(out) == "running" {
			return nil
		}
		return fmt.Errorf("%q, %v, %s", out, err, m.nspawn.output())
	})
}

// off shuts the machine down; a first process that does not end is killed.
func (m *machine) off() {
	if m.nspawn == nil || m.nspawn.ended() {
		return
	}
	_, _ = m.try(5*time.Second, "systemctl", "poweroff")
	select {
	case <-m.nspawn.done:
	case <-time.After(30 * time.Second):
		m.l.t.Error("the machine did not power off within 30 s")
		_, _ = m.nspawn.end(syscall.SIGKILL, time.Second)
	}
}

// remove shuts it down for good.
func (m *machine) remove() {
	m.off()
	if err := poll(5*time.Second, func() error { return exec.Command("umount", m.root).Run() }); err != nil {
		m.l.t.Errorf("unmount the machine's root: %v", err)
	}
}

// leader is the machine's first process, as the host numbers it.
func (m *machine) leader() (string, error) {
	ours, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", err
	}
	next := []string{strconv.Itoa(m.nspawn.pid())}
	for len(next) > 0 {
		pid := next[0]
		next = next[1:]
		if ns, err := os.Readlink("/proc/" + pid + "/ns/pid"); err == nil && ns != ours {
			return pid, nil
		}
		children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children") // it may have ended
		next = append(next, strings.Fields(string(children))...)
	}
	return "", errors.New("the machine has no first process")
}

// command prepares a program inside the machine.
func (m *machine) command(ctx context.Context, program string, args ...string) (*exec.Cmd, error) {
	leader, err := m.leader()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, "nsenter", append([]string{"-t", leader, "-a", "-r", "-w", program}, args...)...)
	c.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	c.WaitDelay = time.Second
	return c, nil
}

// try runs a program inside, for at most limit, and returns what it printed.
func (m *machine) try(limit time.Duration, program string, args ...string) (string, error) {
	c, err := m.command(context.Background(), program, args...)
	if err != nil {
		return "", err
	}
	out, code, err := runFor(limit, c)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s %s: exit code %d: %s%s", program, strings.Join(args, " "), code, out.stdout, out.stderr)
	}
	return out.stdout + out.stderr, err
}

// must runs a program inside; an error ends the test.
func (m *machine) must(program string, args ...string) string {
	m.l.t.Helper()
	out, err := m.try(60*time.Second, program, args...)
	if err != nil {
		m.l.t.Fatal(err)
	}
	return out
}

// write writes a file of the machine's.
func (m *machine) write(file, text string) {
	m.l.t.Helper()
	path := filepath.Join(m.root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.l.t.Fatal(err)
	}
	_ = os.Remove(path) // a link would lead out of the machine
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.l.t.Fatal(err)
	}
}
