package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// podman is the program with a store of the lab's own.
type podman struct {
	l    *lab
	args []string
	env  []string
}

// newPodman leaves alone what the host has of images, containers and settings. The host's
// control groups, which crun does not take in every form, are replaced by an
// empty tree in the program's own view.
func newPodman(l *lab) *podman {
	l.t.Helper()
	conf := l.write("containers.conf", fmt.Sprintf(`[containers]
cgroups = "disabled"
default_ulimits = ["nofile=4096:4096", "nproc=1000:1000"]
[engine]
runtime = "crun"
lock_type = "file"
cgroup_manager = "cgroupfs"
events_logger = "none"
static_dir = %q
tmp_dir = %q
volume_path = %q
`, l.file("libpod"), l.file("libpod-tmp"), l.file("volumes")))
	return &podman{l, []string{"unshare", "--mount", "--propagation", "private", "sh", "-euc",
		`umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec podman "$@"`, "podman",
		"--root", l.file("store"), "--runroot", l.file("runroot"), "--storage-driver", "vfs"}, append(os.Environ(), "CONTAINERS_CONF="+conf, "HOME="+l.tmp, "TMPDIR="+l.tmp)}
}

func (p *podman) try(limit time.Duration, args ...string) (printed, int, error) {
	c := exec.CommandContext(context.Background(), p.args[0], append(p.args[1:], args...)...)
	c.Env = p.env
	return runFor(limit, c)
}

func (p *podman) must(args ...string) string {
	p.l.t.Helper()
	out, code, err := p.try(time.Minute, args...)
	if err != nil || code != 0 {
		p.l.t.Fatalf("podman %s: exit code %d, %v: %s%s", strings.Join(args, " "), code, err, out.stdout, out.stderr)
	}
	return out.stdout
}

// container runs the image beside the client's programs, as a container of the same pod is, with a root that
// cannot be written and no capability but those of the arguments.
func (p *podman) container(t *testing.T, name string, args ...string) {
	t.Helper()
	all := []string{"run", "--detach", "--name", name, "--network", "ns:/run/netns/" + p.l.client.name, "--dns", lanRouter, "--read-only", "--cap-drop", "all"}
	p.must(append(all, args...)...)
	t.Cleanup(func() { p.must("rm", "--force", "--time", "5", name) })
}

// image builds the recipe in the tarball that `make dist` makes.
func (p *podman) image() {
	t := p.l.t
	t.Helper()
	deb, _, _ := packages(t)
	tarball := filepath.Join(filepath.Dir(deb), "reach64-0.0.1-linux-amd64.tar.gz")
	if out, err := exec.Command("tar", "-xzf", tarball, "-C", p.l.tmp).CombinedOutput(); err != nil {
		t.Fatalf("unpack the tarball: %v: %s", err, out)
	}
	p.must("build", "--tag", "reach64", p.l.file("reach64-0.0.1-linux-amd64"))
}

// TestPackagesMakeAContainer builds the image and runs it as its README says: as the CLAT of what shares its
// network namespace, and without any privilege as a forwarder.
func TestPackagesMakeAContainer(t *testing.T) {
	need(t, "podman", "crun", "unshare", "tar", "curl", "go")
	l := newLab(t, documentation)
	l.embedded("--prefix", ownPrefix)
	l.online()
	before := l.client.state()
	p := newPodman(l)
	p.image()
	if out := p.must("run", "--rm", "--network", "none", "reach64", "version"); !strings.Contains(out, "0.0.1") {
		t.Errorf("version in the container: %s", out)
	}
	p.holds("usr/bin/reach64", "usr/share/doc/reach64/LICENSE", "usr/share/doc/reach64/LICENSES.txt")
	etc := l.file("etc")
	if err := os.Mkdir(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(l.ca)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"ca.pem":       string(ca),
		"reach64.toml": fmt.Sprintf("[[server]]\nname = %q\nport = %d\nca_file = \"/etc/reach64/ca.pem\"\n", documentation, webPort),
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for datapath, more := range map[string][]string{
		// Debian 12's filter of system calls does not know of CAP_BPF yet.
		"bpf":   {"--cap-add", "BPF", "--cap-add", "PERFMON", "--security-opt", "seccomp=unconfined"},
		"relay": nil,
	} {
		t.Run(datapath, func(t *testing.T) {
			p.container(t, "clat", append(more, "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW", "--device", "/dev/net/tun", "--volume", etc+":/etc/reach64:ro",
				"--tmpfs", "/run/reach64", "--tmpfs", "/var/lib/reach64", "reach64")...)
			eventually(t, 30*time.Second, "the servers are reached", func() error { return p.check("clat", "path") })
			if out := p.must("exec", "clat", "/usr/bin/reach64", "status"); !strings.Contains(out, "Datapath   "+datapath) {
				t.Errorf("status in the container, want datapath %s:\n%s", datapath, out)
			}
			l.works()
			p.must("stop", "--time", "10", "clat")
			l.client.unchanged(before)
		})
	}
	t.Run("forward, without privilege", func(t *testing.T) {
		p.container(t, "forward", "--user", "65532:65532", "reach64", "forward", "--listen", "127.0.0.1:9443", "--to", fmt.Sprintf("%s:%d", documentation, webPort))
		eventually(t, 20*time.Second, "the forwarder serves", func() error {
			out, err := l.curl(5*time.Second, "--connect-to", fmt.Sprintf("%s:%d:127.0.0.1:9443", documentation, webPort), l.url("/100"))
			if err == nil && len(out) != 100 {
				err = fmt.Errorf("%d bytes, want 100", len(out))
			}
			return err
		})
	})
}

// check asks a container as an orchestrator's probe does.
func (p *podman) check(name, what string) error {
	out, code, err := p.try(10*time.Second, "exec", name, "/usr/bin/reach64", "status", "--check", what)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		logs, _, lerr := p.try(10*time.Second, "logs", name)
		err = errors.Join(fmt.Errorf("%w: %s%s; %s%s", err, out.stdout, out.stderr, logs.stdout, logs.stderr), lerr)
	}
	return err
}

// holds wants these files in the image and no others.
func (p *podman) holds(want ...string) {
	p.l.t.Helper()
	p.must("create", "--name", "look", "reach64")
	defer p.must("rm", "look")
	p.must("export", "--output", p.l.file("image.tar"), "look")
	out, err := exec.Command("tar", "-tf", p.l.file("image.tar")).Output()
	if err != nil {
		p.l.t.Fatal(err)
	}
	var got []string
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if !strings.HasSuffix(name, "/") {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		p.l.t.Errorf("the image holds %q, want %q", got, want)
	}
}
