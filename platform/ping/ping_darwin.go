package ping

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// whole has packets sent in one piece (RFC 3542 section 11.2).
func whole(s syscall.Conn) error {
	return option(s, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
}
