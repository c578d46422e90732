package icmp6

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/windows"
)

// allNodes is ff02::1, RFC 4291 section 2.7.1.
var allNodes = netip.MustParseAddr("ff02::1")

// controlCapacity is the size of the buffer for what is said of one packet, in bytes.
const controlCapacity = 256

// need is what opening the socket needs.
const need = "the rights of an administrator"

func denied(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, windows.WSAEACCES)
}

// missing: Wine has no such sockets, a Windows without IPv6 none of its family, and an
// old one may not know an option. All but advertisements works without them.
func missing(err error) bool {
	return slices.ContainsFunc([]error{windows.WSAEPROTONOSUPPORT, windows.WSAEAFNOSUPPORT, windows.WSAENOPROTOOPT, windows.WSAEINVAL, windows.WSAEOPNOTSUPP},
		func(e error) bool { return errors.Is(err, e) })
}

// ask has Windows tell link, destination and hop limit of each message. It has no filter
// for types, and does not say whether it verifies checksums, so both is ours.
func (c *Conn) ask() error { return askControl(c.c) }

func askControl(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = errors.Join(windows.SetsockoptInt(windows.Handle(fd), levelIPv6, optionPacketIn, 1), windows.SetsockoptInt(windows.Handle(fd), levelIPv6, optionHopLimit, 1))
	})
	return errors.Join(err, set)
}

// filter has nothing to set: callers look at the type.
func filter(*ipv6.PacketConn, ipv6.ICMPType) error { return nil }

// read returns one message with its source, of whatever type.
func (c *Conn) read(buf []byte) (int, netip.Addr, how, error) {
	control := make([]byte, controlCapacity)
	n, size, _, from, err := c.c.ReadMsgIP(buf, control)
	if err != nil {
		return 0, netip.Addr{}, how{}, err
	}
	return n, source(from), fromControl(control[:size]), nil
}

// send joins all nodes' group on the link, since a raw socket hears of a group only
// what it has joined, and sends a message to its routers.
func (c *Conn) send(msg []byte, link *net.Interface, src netip.Addr) error {
	joined := c.p.JoinGroup(link, &net.IPAddr{IP: allNodes.AsSlice()})
	if errors.Is(joined, windows.WSAEINVAL) || errors.Is(joined, windows.WSAEADDRINUSE) {
		joined = nil // it has before
	}
	if joined != nil {
		return fmt.Errorf("join %s: %w", allNodes, joined)
	}
	_, _, err := c.c.WriteMsgIP(msg, toControl(src, link.Index), &net.IPAddr{IP: allRouters.AsSlice(), Zone: strconv.Itoa(link.Index)})
	return err
}
