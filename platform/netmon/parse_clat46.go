package netmon

import (
	"encoding/binary"
	"net/netip"

	"github.com/reach64/reach64/platform/netstate"
)

// clat46Request is struct if_clat46req of macOS' net/if_private.h: the link's name (16
// bytes), the IPv6 address that the system's own CLAT translates with, and the length of
// its prefix (4 bytes, the processor's order, which is little-endian on both).
type clat46Request [36]byte

// siocgifclat46addr is _IOWR('i', 201, struct if_clat46req).
const siocgifclat46addr = 0xc02469c9

// newCLAT46Request asks for the address of a link.
func newCLAT46Request(link string) (r clat46Request) {
	copy(r[:15], link)
	return r
}

// addr is the answer, not valid when it makes no sense.
func (r clat46Request) addr() netstate.Addr {
	bits := binary.LittleEndian.Uint32(r[32:])
	ip := netip.AddrFrom16([16]byte(r[16:32]))
	if bits > 128 || ip.IsUnspecified() || ip.Is4In6() {
		return netstate.Addr{}
	}
	return netstate.Addr{Prefix: netip.PrefixFrom(ip, int(bits)), CLAT: true}
}
