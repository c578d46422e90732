package netns

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPackagesSatisfyTheirCheckers(t *testing.T) {
	need(t, "lintian", "rpmlint", "shellcheck", "unshare", "go")
	deb, _, rpm := packages(t)
	scripts, err := filepath.Glob("../../installer/linux/*-p*")
	scripts = append(scripts, "../../installer/darwin/preinstall", "../../installer/darwin/postinstall")
	if err != nil || len(scripts) != 8 {
		t.Fatalf("scripts: %q, %v, want three for deb and rpm each, two for pkg", scripts, err)
	}
	for name, c := range map[string]*exec.Cmd{
		"lintian":    exec.Command("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", deb),
		"rpmlint":    rpmlint(t, rpm),
		"shellcheck": exec.Command("shellcheck", append([]string{"-s", "sh"}, scripts...)...),
	} {
		out, code, err := runFor(time.Minute, c)
		if err != nil || code != 0 || strings.Contains(out.stdout, " W: ") {
			t.Errorf("%s: exit code %d, %v:\n%s%s", name, code, err, out.stdout, out.stderr)
		}
	}
}

// TestPackagesForManagementTools lists what is in the archive of policy.
func TestPackagesForManagementTools(t *testing.T) {
	need(t, "bsdtar", "go")
	deb, _, _ := packages(t)
	out, code, err := runFor(time.Minute, exec.Command("bsdtar", "-tf", filepath.Join(filepath.Dir(deb), "reach64-0.0.1-policy.zip")))
	if err != nil || code != 0 {
		t.Fatalf("list archive: exit code %d, %v: %s", code, err, out.stderr)
	}
	got := strings.Fields(strings.ReplaceAll(out.stdout, "reach64-0.0.1-policy/", ""))
	slices.Sort(got)
	want := strings.Fields(`LICENSE PolicyDefinitions/en-US/reach64.adml PolicyDefinitions/reach64.admx
		container/Containerfile container/README.md container/daemonset.yaml container/sidecar.yaml
		examples/ansible/reach64.yml examples/ansible/templates/reach64.toml.j2 examples/intune/detect.ps1 examples/intune/path.ps1 examples/jamf/path.sh
		macOS/com.github.reach64.schema.json macOS/reach64.mobileconfig rollout.md`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestExamplesSatisfyTheirCheckers: what administrators are given to start from.
func TestExamplesSatisfyTheirCheckers(t *testing.T) {
	need(t, "shellcheck", "yamllint", "ansible-lint", "ansible-playbook")
	home := "HOME=" + t.TempDir() // for their caches
	for name, args := range map[string][]string{
		"shellcheck": {"shellcheck", "-s", "sh", "installer/rollout/jamf/path.sh"},
		"yamllint": {"yamllint", "--strict", "-d", "{extends: default, rules: {line-length: {max: 150}, comments: {min-spaces-from-content: 1}}}",
			"installer/rollout", "installer/container"},
		"ansible-lint": {"ansible-lint", "--offline", "--nocolor", "--profile", "production", "installer/rollout/ansible/reach64.yml"},
		"the syntax":   {"ansible-playbook", "--syntax-check", "-i", "localhost,", "installer/rollout/ansible/reach64.yml"},
	} {
		c := exec.Command(args[0], args[1:]...)
		c.Dir, c.Env = "../..", append(os.Environ(), home, "LC_ALL=C.UTF-8")
		if out, code, err := runFor(time.Minute, c); err != nil || code != 0 {
			t.Errorf("%s: exit code %d, %v:\n%s%s", name, code, err, out.stdout, out.stderr)
		}
	}
}

// rpmlint looks into a package on a copy of the root that goes with it: it unpacks
// to where the package's files belong.
func rpmlint(t *testing.T, rpm string) *exec.Cmd {
	t.Helper()
	conf, err := filepath.Abs("../../installer/linux/rpmlint.toml")
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command("unshare", "-m", "sh", "-euc", `mount -t tmpfs none /mnt
		mkdir /mnt/upper /mnt/work /mnt/root
		mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
		mount --rbind /dev /mnt/root/dev
		cp "$1" "$2" /mnt/root/mnt/
		exec chroot /mnt/root rpmlint -c "/mnt/$(basename "$1")" "/mnt/$(basename "$2")"`, "sh", conf, rpm)
}

func TestPackagesAreReproducible(t *testing.T) {
	need(t, "go")
	deb, _, rpm := packages(t)
	again := filepath.Join(made.dir, "again")
	c := exec.Command("go", "run", "./installer/dist", "-version", "0.0.1", "-out", again, "-only", "linux/amd64")
	c.Dir = "../.."
	if out, code, err := runFor(5*time.Minute, c); err != nil || code != 0 {
		t.Fatalf("make packages again: exit code %d, %v: %s%s", code, err, out.stdout, out.stderr)
	}
	for _, first := range []string{deb, rpm, filepath.Join(filepath.Dir(deb), "SHA256SUMS")} {
		a, err := os.ReadFile(first)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(again, filepath.Base(first)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %d and %d bytes, not the same", filepath.Base(first), len(a), len(b))
		}
		if len(a) > 15e6 {
			t.Errorf("%s has %d bytes, want at most 15 MB", filepath.Base(first), len(a))
		}
	}
}
