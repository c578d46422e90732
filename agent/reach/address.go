package reach

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
)

// pool is 192.0.0.0/29 in the order in which we take addresses: .1 and .2 last,
// since they are DS-Lite's (RFC 6333) and most other CLATs', .0 never (spec 7335-3).
var pool = []netip.Addr{
	netip.AddrFrom4([4]byte{192, 0, 0, 3}), netip.AddrFrom4([4]byte{192, 0, 0, 4}),
	netip.AddrFrom4([4]byte{192, 0, 0, 5}), netip.AddrFrom4([4]byte{192, 0, 0, 6}),
	netip.AddrFrom4([4]byte{192, 0, 0, 7}), netip.AddrFrom4([4]byte{192, 0, 0, 1}),
	netip.AddrFrom4([4]byte{192, 0, 0, 2}),
}

// FreeIPv4 returns the first address of 192.0.0.0/29 that no link has (RFC 7335).
func FreeIPv4(s netstate.Snapshot) netip.Addr {
	for _, a := range pool {
		if !slices.ContainsFunc(s.Links, func(l netstate.Link) bool {
			return slices.ContainsFunc(l.Addrs, func(x netstate.Addr) bool { return x.Prefix.Addr() == a })
		}) {
			return a
		}
	}
	return pool[0]
}

// unique is fc00::/7, RFC 4193.
var unique = netip.MustParsePrefix("fc00::/7")

// ChooseNet64 returns the /64 of the uplink to take the CLAT's address from: by
// the source address selection rules 6 (label) and 8 (longest match) of RFC
// 6724 against the prefix, preferred addresses before deprecated ones (spec
// CLATON-5, CLAT-5). own is our address of before, which does not count.
func ChooseNet64(l netstate.Link, p nat64.Prefix, own netip.Addr) (netip.Prefix, bool) {
	var best netip.Prefix
	bestScore := -1
	for _, a := range l.Global6() {
		ip := a.Prefix.Addr()
		if a.Prefix.Bits() != 64 || ip == own {
			continue
		}
		score := commonBits(ip, p.Netip().Addr())
		if unique.Contains(ip) == unique.Contains(p.Netip().Addr()) {
			score += 1000
		}
		if a.Autoconf {
			score += 2000
		}
		if !a.Deprecated {
			score += 4000
		}
		if score > bestScore {
			best, bestScore = a.Prefix.Masked(), score
		}
	}
	return best, bestScore >= 0
}

func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range 8 {
		if d := x[i] ^ y[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d)
		}
	}
	return 64
}

// InterfaceID derives bytes 8 to 13 of the CLAT's IPv6 address as RFC 7217
// does: stable in one network, different in another. try counts duplicates.
func InterfaceID(secret []byte, c CLAT, try uint32) [6]byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("reach64 clat"))
	mac.Write([]byte(c.Name))
	mac.Write(c.Net64.Addr().AsSlice())
	mac.Write(c.Prefix.Netip().Addr().AsSlice())
	mac.Write(binary.BigEndian.AppendUint32(nil, try))
	var id [6]byte
	copy(id[:], mac.Sum(nil))
	return id
}
