package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// roleVariable makes this test binary play another program, inside a namespace.
const roleVariable = "REACH64_NETNS_ROLE"

// roles are these programs.
var roles = map[string]func(args []string) error{
	"advertise":  playAdvertise,
	"ask":        playAsk,
	"crowd":      playCrowd,
	"datagrams":  playDatagrams,
	"dnssec":     playDNSSEC,
	"echo":       playEcho,
	"inject":     playInject,
	"journalled": playJournalled,
	"modem":      playModem,
	"policy":     playPolicyAgent,
	"portal":     playPortal,
	"replay":     playReplay,
	"serve":      playServe,
	"stub":       playStub,
	"tcpecho":    playTCPEcho,
	"vpn":        playVPN,
	"web":        playWeb,
}

func TestMain(m *testing.M) {
	if play := roles[os.Getenv(roleVariable)]; play != nil {
		if err := play(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, os.Getenv(roleVariable)+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if missing() == nil {
		sweep()
	}
	code := m.Run()
	for _, dir := range []string{binaries.dir, made.dir} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

// missing says why no lab can be built here, nil if one can; programs are needed
// beside those of every lab.
func missing(programs ...string) error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("no TUN devices: %w", err)
	}
	for _, p := range append([]string{"ip", "sh", "tc", "nft", "curl", "ping", "tcpdump"}, programs...) {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("the program %s is missing (test/netns/install-peers.sh installs it)", p)
		}
	}
	return namespaces()
}

// namespaces tries whether a namespace can be made: root in a container often
// may not.
var namespaces = sync.OnceValue(func() error {
	name := fmt.Sprintf("r64-%d-0-probe", os.Getpid())
	if err := ip("netns", "add", name); err != nil {
		return fmt.Errorf("network namespaces cannot be made: %w", err)
	}
	return removeNamespace(name)
})

// need skips the test when a lab with these programs cannot be built here.
func need(t *testing.T, programs ...string) {
	t.Helper()
	err := missing(programs...)
	switch {
	case err == nil:
	case os.Getenv("REACH64_REQUIRE") == "all":
		t.Fatalf("REACH64_REQUIRE=all, but: %v", err)
	default:
		t.Skip(err)
	}
}

// binaries are the programs of this module, built once, when first needed.
var binaries struct {
	once sync.Once
	dir  string
	err  error
}

// programsVariable names a folder where the programs have been built already.
const programsVariable = "REACH64_LAB_PROGRAMS"

// binary returns the path of reach64 or reach64-lab.
func binary(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv(programsVariable); dir != "" {
		return filepath.Join(dir, name)
	}
	binaries.once.Do(func() {
		if binaries.dir, binaries.err = tempDir("bin"); binaries.err != nil {
			return
		}
		// One test runs the program as another user.
		if binaries.err = os.Chmod(binaries.dir, 0o755); binaries.err != nil {
			return
		}
		c := exec.Command("go", "build", "-o", binaries.dir+string(filepath.Separator),
			"github.com/reach64/reach64/cmd/reach64", "github.com/reach64/reach64/cmd/reach64-lab")
		c.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is delivered
		if out, err := c.CombinedOutput(); err != nil {
			binaries.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if binaries.err != nil {
		t.Fatalf("build programs: %v", binaries.err)
	}
	return filepath.Join(binaries.dir, name)
}

// ours are the names of namespaces and temporary folders, with the process id of
// the test that made them.
var ours = regexp.MustCompile(`^r64-(\d+)-\d+-[a-z0-9]+$`)

// tempDir makes a folder of such a name.
func tempDir(role string) (string, error) {
	return os.MkdirTemp("", fmt.Sprintf("r64-%d-*-%s", os.Getpid(), role))
}

// leftovers lists what in dir belongs to tests whose process is gone.
func leftovers(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "look for what dead tests left:", err)
	}
	var names []string
	for _, e := range entries {
		if m := ours.FindStringSubmatch(e.Name()); m != nil && m[1] != strconv.Itoa(os.Getpid()) && dead(m[1]) {
			names = append(names, e.Name())
		}
	}
	return names
}

// dead tells whether a process is gone; one that nobody has waited for is.
func dead(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	_, after, _ := strings.Cut(string(b), ") ")
	return err != nil || strings.HasPrefix(after, "Z")
}

// sweep removes the namespaces and folders of tests whose process is gone, and
// ends what still runs in the namespaces.
func sweep() {
	for _, name := range leftovers("/run/netns") {
		fmt.Fprintln(os.Stderr, "removing the namespace of a dead test:", name)
		if err := removeNamespace(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	for _, dir := range []string{os.TempDir(), "../../artifacts"} {
		for _, name := range leftovers(dir) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
}

// removeNamespace kills the processes in a namespace and removes it. The
// processes of a living test have ended before.
func removeNamespace(name string) error {
	out, err := exec.Command("ip", "netns", "pids", name).Output()
	for _, word := range strings.Fields(string(out)) {
		if pid, perr := strconv.Atoi(word); perr == nil {
			if p, perr := os.FindProcess(pid); perr == nil {
				_ = p.Signal(syscall.SIGKILL) // it may have ended meanwhile
			}
		}
	}
	if out, derr := exec.Command("ip", "netns", "del", name).CombinedOutput(); derr != nil {
		err = errors.Join(err, fmt.Errorf("remove namespace %s: %w: %s", name, derr, out))
	}
	return errors.Join(err, os.RemoveAll(filepath.Join("/etc/netns", name)))
}

func TestSweepKnowsItsOwnNames(t *testing.T) {
	for name, want := range map[string]bool{
		"r64-17-1-client": true, "r64-17-12-router": true, "r64-17-1234567-bin": true,
		"r64demo-17-client": false, "client": false, "r64-x-1-client": false, "my-r64-17-1-client": false,
	} {
		if got := ours.MatchString(name); got != want {
			t.Errorf("%s: is a test's: %v, want %v", name, got, want)
		}
	}
	if got := ours.FindStringSubmatch("r64-17-1-client")[1]; got != "17" {
		t.Errorf("process id in the name: %q, want 17", got)
	}
}
