package ipc

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A service that does not come to accept has a full queue, and connecting fails
// with another error than for a dead one. Its socket must stay.
func TestBusyServiceKeepsItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if l, err := Listen(path); err == nil {
		_ = l.Close()
		t.Error("took the socket of a living service")
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Errorf("the living service's socket: %v", err)
	}
}
