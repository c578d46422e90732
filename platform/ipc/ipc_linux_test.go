package ipc

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
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

// An ordinary user may connect, and is no administrator.
func TestOrdinaryUserIsNoAdministrator(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to play another user")
	}
	folder, err := os.MkdirTemp("", "r64ipc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "run", "x.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const uid, gid = 65534, 65533
	dialled := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the other identity is the thread's, which ends with this
		for _, set := range [][4]uintptr{{unix.SYS_SETRESGID, gid, gid, gid}, {unix.SYS_SETRESUID, uid, uid, uid}} {
			if _, _, errno := unix.RawSyscall(set[0], set[1], set[2], set[3]); errno != 0 {
				dialled <- errno
				return
			}
		}
		c, err := Dial(context.Background(), path)
		dialled <- err
		if err == nil {
			_ = c.Close()
		}
	}()
	if err := <-dialled; err != nil {
		t.Fatalf("connect as an ordinary user: %v", err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p, err := PeerOf(server)
	if want := (Peer{UID: uid, GID: gid, PID: os.Getpid()}); err != nil || p != want {
		t.Errorf("peer = %+v, %v, want %+v", p, err, want)
	}
}
