package netcfg

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
)

// genModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const genModeNone = 1

// system is the kernel of the network namespace that the thread is in.
type system struct{}

// explain gives the kernel's errors the meaning that package netcfg works with.
func explain(doing string, err error) error {
	var gone netlink.LinkNotFoundError // the library hides the kernel's ENODEV behind it
	switch {
	case err == nil:
		return nil
	case errors.As(err, &gone):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case errors.Is(err, unix.EPERM):
		return &platform.PermissionError{Doing: doing, Need: "CAP_NET_ADMIN", Err: err}
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err // unix.EEXIST is fs.ErrExist
}

func (system) SetDevice(d Device) error {
	link, err := netlink.LinkByIndex(d.Link)
	if err != nil {
		return explain("find device", err)
	}
	// No link-local address: nothing speaks IPv6 on the device but the translator.
	// This is a netlink attribute of the device, not a sysctl.
	if err := netlink.LinkSetIP6AddrGenMode(link, genModeNone); err != nil {
		return explain("keep link-local addresses off the device", err)
	}
	if err := netlink.LinkSetMTU(link, d.MTU); err != nil {
		return explain("set MTU", err)
	}
	return explain("set device up", netlink.LinkSetUp(link))
}

func toAddr(a Addr) *netlink.Addr {
	bits := 32
	if a.Prefix.Addr().Is6() {
		bits = 128
	}
	out := &netlink.Addr{IPNet: &net.IPNet{IP: a.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(a.Prefix.Bits(), bits)}}
	if a.Deprecated {
		// Valid for ever, preferred not at all: never chosen as a source (RFC 6724 rule 3).
		out.Flags = unix.IFA_F_NOPREFIXROUTE
		out.ValidLft, out.PreferedLft = min(math.MaxUint32, math.MaxInt), 0
	}
	return out
}

func (system) AddAddr(a Addr) error {
	link, err := netlink.LinkByIndex(a.Link)
	if err != nil {
		return explain("find link", err)
	}
	return explain("add address", netlink.AddrAdd(link, toAddr(a)))
}

func (system) DelAddr(a Addr) error {
	link, err := netlink.LinkByIndex(a.Link)
	if err != nil {
		return explain("find link", err)
	}
	return explain("remove address", netlink.AddrDel(link, toAddr(Addr{Prefix: a.Prefix})))
}

func toRoute(r Route) *netlink.Route {
	out := &netlink.Route{LinkIndex: r.Link, Priority: r.Metric, MTU: r.MTU, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: r.Dst.Addr().AsSlice(), Mask: net.CIDRMask(r.Dst.Bits(), r.Dst.Addr().BitLen())}}
	if r.Src.IsValid() {
		out.Src = r.Src.AsSlice()
	}
	return out
}

func (system) AddRoute(r Route) error { return explain("add route", netlink.RouteAdd(toRoute(r))) }
func (system) DelRoute(r Route) error { return explain("remove route", netlink.RouteDel(toRoute(r))) }

// routesHaveMetrics: the system tells routes apart by them.
const routesHaveMetrics = true
