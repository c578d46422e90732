//go:build unix

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make folder of socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen at socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, fmt.Errorf("open socket to local users: %w", err)
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket: %w", err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("listen at socket: %s is there and is no socket", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	if !refused(err) {
		// Also a service that is too busy to answer lives.
		return fmt.Errorf("listen at socket: somebody listens at %s already", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, fs.ErrNotExist), refused(err):
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, path)
	}
	return nil, fmt.Errorf("connect to control socket: %w", err)
}

// refused tells whether nobody listens at a socket that is there.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func peerOf(c net.Conn) (Peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, fmt.Errorf("read peer of %T: not a unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("read peer: %w", err)
	}
	var p Peer
	if cerr := raw.Control(func(fd uintptr) { p, err = peer(fd) }); cerr != nil {
		return Peer{}, fmt.Errorf("read peer: %w", cerr)
	}
	if err != nil {
		return Peer{}, fmt.Errorf("read peer: %w", err)
	}
	p.Admin = p.UID == 0
	return p, nil
}
