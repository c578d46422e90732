package wine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// insideVariable tells the process inside the namespaces which folder it may use.
const insideVariable = "REACH64_WINE_INSIDE"

// windows is the machine that all tests share; nil where it cannot be had, and then
// missing says why.
var (
	windows *machine
	missing error
)

// TestMain builds the programs, and then runs the tests in namespaces of their own
// for mounts, network and processes: all that was started there ends with them.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if dir := os.Getenv(insideVariable); dir != "" {
		if windows, missing = start(dir); missing != nil {
			fmt.Fprintln(os.Stderr, "set up Wine:", missing)
			return 1
		}
		return m.Run()
	}
	tree, err := find()
	if err != nil {
		missing = err
		return m.Run() // all skip, or fail where all is required
	}
	dir, err := os.MkdirTemp("", "reach64-wine-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(dir)
	}
	if err == nil {
		err = buildPackages(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c := exec.Command("unshare", append([]string{"--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private", os.Args[0]}, os.Args[1:]...)...)
	c.Env = append(os.Environ(), insideVariable+"="+dir, treeVariable+"="+tree)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			fmt.Fprintln(os.Stderr, err)
		}
		return 1
	}
	return 0
}

// treeVariable tells the process inside where the tree with Wine is.
const treeVariable = "REACH64_WINE_TREE"

// find returns the tree with Wine, or why there is none.
func find() (string, error) {
	if os.Geteuid() != 0 {
		return "", errors.New("not root")
	}
	for _, p := range []string{"unshare", "chroot", "mount", "ip"} {
		if _, err := exec.LookPath(p); err != nil {
			return "", fmt.Errorf("the program %s is missing", p)
		}
	}
	out, err := exec.Command("./install.sh", "--where").Output()
	if err != nil {
		return "", fmt.Errorf("ask install.sh for the tree with Wine: %w", err)
	}
	tree := strings.TrimSpace(string(out))
	if _, err := os.Stat(filepath.Join(tree, "usr/bin/wine-stable")); err != nil {
		return "", fmt.Errorf("no tree with Wine (test/wine/install.sh makes it): %w", err)
	}
	// Overlays and namespaces are what containers often forbid.
	probe := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--propagation", "private", "sh", "-euc", overlayScript, "_", os.TempDir(), tree)
	if out, err := probe.CombinedOutput(); err != nil {
		return "", fmt.Errorf("namespaces and overlays cannot be made: %w: %s", err, out)
	}
	return tree, nil
}

// need skips the test where there is no Wine.
func need(t *testing.T) *machine {
	t.Helper()
	switch {
	case missing == nil:
	case os.Getenv("REACH64_REQUIRE") == "all":
		t.Fatalf("REACH64_REQUIRE=all, but: %v", missing)
	default:
		t.Skip(missing)
	}
	return windows
}
