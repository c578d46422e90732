package siit

import (
	"encoding/binary"
	"net/netip"

	"github.com/reach64/reach64/resolver/nat64"
)

// prefixSum sums the bytes of a prefix that stand before an embedded IPv4
// address. ok is false for lengths at which that address does not stand on even
// bytes in one piece, where no address can be neutral (R6052-14).
func prefixSum(p nat64.Prefix) (s uint32, ok bool) {
	if p.Bits() != 96 && p.Bits() != 32 {
		return 0, false
	}
	a := p.Netip().Addr().As16()
	return sum(a[:p.Bits()/8]), true
}

func isNeutral(clat6 [16]byte, clat4 [4]byte, p nat64.Prefix) bool {
	ps, ok := prefixSum(p)
	six, four := fold(sum(clat6[:])+ps), fold(sum(clat4[:]))
	// 0 and ffff are the same number in one's complement.
	return ok && (six == four || six%0xffff == four%0xffff)
}

// NeutralAddr returns an address in net64 for a CLAT: bytes 8 to 13 are iid, and
// bytes 14 and 15 are chosen so that translating between it and v4, with p on the
// other side, changes no checksum (SIIT-80, SIIT-81). neutral is false when the
// length of p does not allow that; the address can be used all the same. When
// net64 is not IPv6 or v4 is not IPv4 there is none: addr is not valid.
func NeutralAddr(net64 netip.Prefix, iid [6]byte, v4 netip.Addr, p nat64.Prefix) (addr netip.Addr, neutral bool) {
	if !net64.IsValid() || !net64.Addr().Is6() || !v4.Is4() {
		return netip.Addr{}, false
	}
	a, four := net64.Masked().Addr().As16(), v4.As4()
	copy(a[8:14], iid[:])
	ps, neutral := prefixSum(p)
	if neutral {
		adjust := fold(sum(four[:]) + uint32(^fold(sum(a[:])+ps)))
		binary.BigEndian.PutUint16(a[14:], adjust%0xffff)
	} else {
		copy(a[14:], iid[2:4])
	}
	return netip.AddrFrom16(a), neutral
}

// IsReservedIID tells whether the interface identifier of addr is one that no
// host may use: all zero (RFC 4291 section 2.6.1) or reserved by RFC 5453
// (SIIT-82). It is false for what is not IPv6.
func IsReservedIID(addr netip.Addr) bool {
	if !addr.Is6() {
		return false
	}
	a := addr.As16()
	iid := binary.BigEndian.Uint64(a[8:])
	return iid == 0 || iid>>24 == 0x02005eff_fe || iid >= 0xfdffffff_ffffff80 && iid <= 0xfdffffff_ffffffff
}
