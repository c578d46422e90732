//go:build linux || darwin

package ping

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// option sets a number on a socket.
func option(s syscall.Conn, level, name, value int) error {
	conn, err := s.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) }); cerr != nil {
		return cerr
	}
	return err
}
