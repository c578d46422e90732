package wine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// overlayScript puts a copy of the tree $2 that lives in memory at $1.
const overlayScript = `mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"`

// machine is one Windows: Wine in a copy of the tree.
type machine struct {
	root string // of the copy
}

// limit is how long a program may take.
const limit = 3 * time.Minute

// start makes the machine in the namespaces that this process is in, with the
// programs of dir in its folder C:\programs, and the module in C:\source.
func start(dir string) (*machine, error) {
	m := &machine{root: filepath.Join(dir, "machine", "root")}
	if err := os.Mkdir(filepath.Dir(m.root), 0o755); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	setUp := exec.Command("sh", "-euc", overlayScript+`
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mkdir "$1/root/windows/drive_c/programs" "$1/root/windows/drive_c/source"
mount --bind "$3" "$1/root/windows/drive_c/programs"
mount --bind --options ro ../.. "$1/root/windows/drive_c/source"
chroot "$1/root" x86_64-w64-mingw32-gcc -shared -O1 -Wall -o /windows/drive_c/programs/wintun.dll /windows/drive_c/source/test/wine/testdata/wintun.c -liphlpapi -lws2_32
ip link set lo up`, "_", filepath.Dir(m.root), os.Getenv(treeVariable), filepath.Join(dir, "programs"))
	if out, err := setUp.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	// The server of Wine stays, so that not each program has to wait for its start.
	// It keeps what it is given as output, so that is no pipe.
	if err := m.command(context.Background(), "", "wineserver", "--persistent").Run(); err != nil {
		return nil, fmt.Errorf("start wineserver: %w", err)
	}
	// No desktop: nothing here draws.
	if err := m.command(context.Background(), "", "wine", "reg", "add", `HKCU\Software\Wine\Drivers`, "/v", "Graphics", "/d", "null").Run(); err != nil {
		return nil, fmt.Errorf("set up Wine: %w", err)
	}
	// Services of Wine end with the last program that is none. This one waits for input
	// until the namespace for processes ends.
	idle := m.command(context.Background(), "", "wine", "cmd")
	if _, err := idle.StdinPipe(); err != nil {
		return nil, fmt.Errorf("set up Wine: %w", err)
	}
	if err := idle.Start(); err != nil {
		return nil, fmt.Errorf("set up Wine: %w", err)
	}
	return m, m.connect(dir)
}

// command is a program of the tree in a folder of drive C:, "" its root.
func (m *machine) command(ctx context.Context, folder string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "chroot", append([]string{m.root, "env", "-i", "-C", "/windows/drive_c/" + folder,
		"PATH=/usr/bin:/bin", "HOME=/root", "WINEPREFIX=/windows", "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml="}, args...)...)
	c.WaitDelay = time.Second // a child may keep the pipes
	return c
}

// result is what a program left.
type result struct {
	code        int
	out, errout string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.out, r.errout)
}

// wine runs a Windows program in a folder of drive C: and waits for it.
func (m *machine) wine(t *testing.T, folder string, args ...string) result {
	t.Helper()
	return m.run(t, folder, append([]string{"wine"}, args...)...)
}

// run runs a program of the tree.
func (m *machine) run(t *testing.T, folder string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit) // also when the test ends
	defer cancel()
	c := m.command(ctx, folder, args...)
	// Files and no pipes, which processes of Wine that stay would keep.
	out, errout := output(t), output(t)
	c.Stdout, c.Stderr = out, errout
	err := c.Run()
	r := result{c.ProcessState.ExitCode(), text(t, out), text(t, errout)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("run %s: %v, %v: %v", strings.Join(args, " "), err, ctx.Err(), r)
	}
	return r
}

// output is a file for what a program prints.
func output(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(os.TempDir(), "reach64-wine-output-")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(f.Name()) // it lives while it is open
	return f
}

// text is what was printed, with \n at the ends of lines.
func text(t *testing.T, f *os.File) string {
	t.Helper()
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Error(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// reach64 runs a verb and wants this exit code.
func (m *machine) reach64(t *testing.T, code int, args ...string) result {
	t.Helper()
	r := m.wine(t, "", append([]string{`C:\programs\reach64.exe`}, args...)...)
	if r.code != code {
		t.Fatalf("reach64 %s, want exit code %d: %v", strings.Join(args, " "), code, r)
	}
	return r
}

// write makes a file in a folder of drive C: and returns its Windows path.
func (m *machine) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	file := filepath.Join(m.root, "windows/drive_c", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return `C:\` + strings.ReplaceAll(name, "/", `\`)
}

// remove takes a file of drive C: away.
func (m *machine) remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(m.root, "windows/drive_c", filepath.FromSlash(name))); err != nil {
		t.Error(err)
	}
}
