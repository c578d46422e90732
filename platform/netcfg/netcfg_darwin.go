package netcfg

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
)

// system is this machine.
type system struct{}

// routesHaveMetrics: macOS knows none.
const routesHaveMetrics = false

// explain gives the errors of macOS the meaning that package netcfg works with.
func explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &platform.PermissionError{Doing: doing, Need: "root", Err: err}
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err // unix.EEXIST is fs.ErrExist
}

// linkName is the name of a link, by which macOS is asked for changes.
func linkName(index int) (string, error) {
	l, err := net.InterfaceByIndex(index)
	if err != nil {
		return "", fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return l.Name, nil
}

// request makes one request of a link over a socket.
func request(number uint, arg unsafe.Pointer) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	//lint:ignore SA1019 the library has no wrapper for these requests
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(number), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// SetDevice sets the MTU. The device goes up with its first address.
func (system) SetDevice(d Device) error {
	name, err := linkName(d.Link)
	if err != nil {
		return err
	}
	req := unix.IfreqMTU{MTU: int32(d.MTU)}
	copy(req.Name[:len(req.Name)-1], name)
	return explain("set MTU", request(unix.SIOCSIFMTU, unsafe.Pointer(&req)))
}

// aliasRequest is struct ifaliasreq of net/if.h: a link's name, an address, the
// address at the other end, a mask.
type aliasRequest struct {
	name            [16]byte
	addr, dst, mask unix.RawSockaddrInet4
}

// removeRequest is struct ifreq with an address.
type removeRequest struct {
	name [16]byte
	addr unix.RawSockaddrInet4
}

func sockaddr(ip netip.Addr) unix.RawSockaddrInet4 {
	return unix.RawSockaddrInet4{Len: unix.SizeofSockaddrInet4, Family: unix.AF_INET, Addr: ip.As4()}
}

// AddAddr adds an IPv4 address to a point-to-point link. The datapath of macOS needs
// no IPv6 address.
func (system) AddAddr(a Addr) error {
	if !a.Prefix.Addr().Is4() {
		return platform.Unsupported("adding an IPv6 address")
	}
	name, err := linkName(a.Link)
	if err != nil {
		return err
	}
	mask, _ := netip.AddrFromSlice(net.CIDRMask(a.Prefix.Bits(), 32))
	req := aliasRequest{addr: sockaddr(a.Prefix.Addr()), dst: sockaddr(a.Prefix.Addr()), mask: sockaddr(mask)}
	copy(req.name[:len(req.name)-1], name)
	return explain("add address", request(unix.SIOCAIFADDR, unsafe.Pointer(&req)))
}

func (system) DelAddr(a Addr) error {
	if !a.Prefix.Addr().Is4() {
		return platform.Unsupported("removing an IPv6 address")
	}
	name, err := linkName(a.Link)
	if err != nil {
		return err
	}
	req := removeRequest{addr: sockaddr(a.Prefix.Addr())}
	copy(req.name[:len(req.name)-1], name)
	return explain("remove address", request(unix.SIOCDIFADDR, unsafe.Pointer(&req)))
}

func (system) AddRoute(r Route) error { return explain("add route", tell(unix.RTM_ADD, r)) }
func (system) DelRoute(r Route) error { return explain("remove route", tell(unix.RTM_DELETE, r)) }

// tell sends one message about a route over a link to the kernel, whose answer is
// that of write (route(4)).
func tell(kind int, r Route) error {
	m, err := routeMessage(kind, r)
	if err != nil {
		return err
	}
	b, err := m.Marshal()
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, b); err != nil {
		return err
	}
	return nil
}

func routeMessage(kind int, r Route) (*route.RouteMessage, error) {
	name, err := linkName(r.Link)
	if err != nil {
		return nil, err
	}
	m := &route.RouteMessage{Version: unix.RTM_VERSION, Type: kind, Flags: unix.RTF_UP | unix.RTF_STATIC, Index: r.Link, ID: uintptr(os.Getpid()), Seq: 1,
		Addrs: make([]route.Addr, unix.RTAX_MAX)}
	m.Addrs[unix.RTAX_GATEWAY] = &route.LinkAddr{Index: r.Link, Name: name}
	mask := net.CIDRMask(r.Dst.Bits(), r.Dst.Addr().BitLen())
	if r.Dst.Addr().Is4() {
		m.Addrs[unix.RTAX_DST], m.Addrs[unix.RTAX_NETMASK] = &route.Inet4Addr{IP: r.Dst.Addr().As4()}, &route.Inet4Addr{IP: [4]byte(mask)}
	} else {
		m.Addrs[unix.RTAX_DST], m.Addrs[unix.RTAX_NETMASK] = &route.Inet6Addr{IP: r.Dst.Addr().As16()}, &route.Inet6Addr{IP: [16]byte(mask)}
	}
	if r.Dst.IsSingleIP() {
		m.Flags |= unix.RTF_HOST
		m.Addrs[unix.RTAX_NETMASK] = nil
	}
	return m, nil
}
