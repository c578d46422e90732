package sock

import "golang.org/x/sys/unix"

// available is the ioctl for how much there is to read: FIONREAD.
const available = 0x4004667f

// reportErrors: a connected socket tells its errors anyway.
func reportErrors(int) error { return nil }

// drainErrors: there is no queue of errors.
func drainErrors(int) {}

// onlyEchoReplies has a raw ICMPv6 socket pass nothing else (RFC 3542 section 3.2).
func onlyEchoReplies(fd int) error {
	var f unix.ICMPv6Filter // of which a set bit passes
	f.Filt[129/32] |= 1 << (129 % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMP6_FILTER, &f)
}
