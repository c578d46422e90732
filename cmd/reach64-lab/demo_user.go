package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// unshare starts a program as root of new user, network and mount namespaces. It
// takes no privilege where the kernel allows user namespaces.
var unshare = []string{"unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c"}

// prepare gives `ip netns` a folder that it may write to.
const prepare = "mount -t tmpfs none /run && "

// inUserNamespace plays the demo in network namespaces inside a user namespace. ok
// is false when that cannot be had here; then it has said why.
func inUserNamespace(ctx context.Context, out io.Writer, args []string) (code int, ok bool) {
	if err := canUserNamespace(ctx); err != nil {
		fmt.Fprintf(out, "User namespaces cannot be used here (%v).\n", err)
		return 0, false
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintf(out, "User namespaces cannot be used here (find this program: %v).\n", err)
		return 0, false
	}
	fmt.Fprintf(out, "Not root: the demo plays in user and network namespaces of uid %d.\n\n", os.Getuid())
	c := exec.CommandContext(ctx, unshare[0], append(unshare[1:], prepare+`exec "$0" demo "$@"`, self)...)
	c.Args = append(c.Args, args...)
	c.Stdout, c.Stderr = out, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) } // it cleans up after itself
	c.WaitDelay = 20 * time.Second
	err = c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(out, "play the demo in a user namespace:", err)
		return exitFailed, true
	}
	return c.ProcessState.ExitCode(), true
}

// canUserNamespace tries all that the demo needs there.
func canUserNamespace(ctx context.Context) error {
	for _, p := range []string{"unshare", "mount", "ip"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("the program %s is missing", p)
		}
	}
	c := exec.CommandContext(ctx, unshare[0], append(unshare[1:],
		prepare+"ip netns add r64 && ip netns exec r64 true && ip -n r64 link add v0 type veth peer name v1 && ip -n r64 tuntap add mode tun name t0")...)
	if text, err := c.CombinedOutput(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}
