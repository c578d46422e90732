package sock

import "golang.org/x/sys/unix"

// available is the ioctl for how much there is to read.
const available = unix.SIOCINQ

// reportErrors has the socket tell every ICMPv6 error, not only a refusal.
func reportErrors(fd int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
}

// drainErrors empties the queue of the errors' details, which takes room from what
// is received.
func drainErrors(fd int) {
	var b [1]byte
	for {
		if _, _, _, _, err := unix.Recvmsg(fd, b[:], nil, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
}

// onlyEchoReplies has a raw ICMPv6 socket pass nothing else (RFC 3542 section 3.2).
func onlyEchoReplies(fd int) error {
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	f.Data[129/32] &^= 1 << (129 % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f)
}
