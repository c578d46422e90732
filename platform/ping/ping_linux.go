package ping

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// whole has packets sent in one piece up to the device's MTU: the path MTU that the
// kernel knows does not count, and nothing is fragmented.
func whole(s syscall.Conn) error {
	return option(s, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
}
