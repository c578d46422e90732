package wine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is the path of this module.
const module = "github.com/reach64/reach64/"

// tested are the packages whose tests run under Wine.
var tested = []string{
	"agent", "agent/config", "agent/control", "cmd/reach64",
	"platform/directaccess", "platform/icmp6", "platform/ipc", "platform/journal", "platform/lock", "platform/netcfg", "platform/netmon",
	"platform/osinfo", "platform/paths", "platform/policy", "platform/sock", "platform/svc", "platform/tun",
	"resolver/discover", "resolver/dns64", "resolver/dnsq", "resolver/portal", "resolver/probe", "resolver/system",
	"tunnel/clat", "tunnel/dial", "tunnel/forward", "tunnel/relay", "test/scenario", "test/vnet", "test/vnet/endpoint",
}

// A change replaces a text in a file, of the standard library or of this module.
type change struct{ file, old, with string }

var changes = []change{
	{"net/fd_windows.go", "windows.SIO_UDP_NETRESET, (*byte)(unsafe.Pointer(&flag)), size, nil, 0, &ret, nil, 0)\n\t\tif err != nil {",
		"windows.SIO_UDP_NETRESET, (*byte)(unsafe.Pointer(&flag)), size, nil, 0, &ret, nil, 0)\n\t\tif err != nil && err != syscall.Errno(10045) {"},
	{"net/interface_windows.go", "windows.GAA_FLAG_INCLUDE_PREFIX | ", ""},
	// Wine hands the option to Linux, which wants the other byte order.
	{"../../platform/sock/sock_windows.go", "ipv6UnicastIf, ifi.Index)", "ipv6UnicastIf, networkOrder(ifi.Index))"},
	// Wine says of a TUN device of Linux, which plays DirectAccess' tunnel, that it is PPP.
	{"../../platform/directaccess/tunnel.go", "a.IfType != ifTypeTunnel", "a.IfType != ifTypeTunnel && a.IfType != 23"},
}

// overlay writes the changed files below dir and returns the file for go build
// -overlay. It goes by the text, so that another version of Go either fits or is an
// error. instead are pairs of files: one of this module, and another that takes its place.
func overlay(dir string, instead ...string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the standard library: %w", err)
	}
	replace := make(map[string]string)
	for i, c := range changes {
		from := filepath.Join(strings.TrimSpace(string(root)), "src", filepath.FromSlash(c.file))
		if strings.HasPrefix(c.file, "../") {
			if from, err = filepath.Abs(c.file); err != nil {
				return "", fmt.Errorf("find %s: %w", c.file, err)
			}
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", fmt.Errorf("read what is to be changed: %w", err)
		}
		if n := bytes.Count(text, []byte(c.old)); n != 1 {
			return "", fmt.Errorf("change %s: %q is there %d times, want once", from, c.old, n)
		}
		to := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(c.file)))
		if err := os.WriteFile(to, bytes.Replace(text, []byte(c.old), []byte(c.with), 1), 0o600); err != nil {
			return "", fmt.Errorf("write changed file: %w", err)
		}
		replace[from] = to
	}
	for pair := range slices.Chunk(instead, 2) {
		from, err := filepath.Abs(pair[0])
		if err != nil {
			return "", fmt.Errorf("find %s: %w", pair[0], err)
		}
		if replace[from], err = filepath.Abs(pair[1]); err != nil {
			return "", fmt.Errorf("find %s: %w", pair[1], err)
		}
	}
	doc, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("write overlay: %w", err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		return "", fmt.Errorf("write overlay: %w", err)
	}
	return file, nil
}

// build puts the programs for Windows, the tests of the packages, and reach64-lab for
// this system into dir/programs.
func build(dir string) error {
	over, err := overlay(dir)
	if err != nil {
		return err
	}
	out := filepath.Join(dir, "programs") + string(filepath.Separator)
	if err := os.Mkdir(out, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	tests := []string{"test", "-c", "-trimpath", "-overlay", over, "-o", out}
	for _, p := range tested {
		tests = append(tests, module+p)
	}
	for _, args := range [][]string{
		append([]string{"GOOS=windows"}, tests...),
		{"GOOS=windows", "build", "-trimpath", "-buildvcs=false", "-overlay", over, "-ldflags", "-X main.version=" + testVersion, "-o", out, module + "cmd/reach64", module + "cmd/reach64-lab"},
		{"", "build", "-trimpath", "-buildvcs=false", "-o", out, module + "cmd/reach64-lab"},
	} {
		c := exec.Command("go", args[1:]...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if args[0] != "" {
			c.Env = append(c.Env, args[0], "GOARCH=amd64")
		}
		if text, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w: %s", strings.Join(args[1:], " "), err, text)
		}
	}
	return nil
}

// testVersion is the version that reach64.exe is stamped with.
const testVersion = "9.8.7-wine"
