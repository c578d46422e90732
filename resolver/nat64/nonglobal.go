package nat64

import (
	"fmt"
	"net/netip"
)

// NonGlobal says what to do with IPv4 addresses that are not globally reachable
// under the Well-Known Prefix. RFC 6052 section 3.1 forbids them; many NAT64s
// carry private ones all the same (spec R6052-9).
type NonGlobal uint8

// The policies. The zero value is the default.
const (
	NonGlobalPrivate NonGlobal = iota // RFC 1918 and 100.64.0.0/10 pass
	NonGlobalNever                    // RFC 6052 to the letter
	NonGlobalAlways                   // everything is left to the NAT64
)

var nonGlobalNames = [...]string{"private", "never", "always"}

// String returns the word used in the configuration.
func (n NonGlobal) String() string { return nonGlobalNames[n] }

// ParseNonGlobal reads private, never or always.
func ParseNonGlobal(s string) (NonGlobal, error) {
	for i, name := range nonGlobalNames {
		if s == name {
			return NonGlobal(i), nil
		}
	}
	return 0, fmt.Errorf("%q is none of private, never, always", s)
}

// private are RFC 1918 and RFC 6598, which draft-ietf-v6ops-nat64-wkp-1918 allows.
var private = prefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")

// special are the other blocks that are not globally reachable, spec R6052-10.
var special = prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4")

// never are the blocks that no NAT64 can serve under any prefix, spec SEC-11.
var never = prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")

// octets are the first octets of IPv4 addresses of which some are in one of lists.
func octets(lists ...[]netip.Prefix) (m [256]bool) {
	for _, list := range lists {
		for _, p := range list {
			first := p.Masked().Addr().As4()[0]
			for o := int(first); o < int(first)+1<<max(0, 8-p.Bits()); o++ {
				m[o] = true
			}
		}
	}
	return m
}

// Addresses with other first octets need no search: neverOctets under any prefix,
// specialOctets under the well-known one.
var neverOctets, specialOctets = octets(never), octets(never, private, special)

// anycast are the two addresses inside 192.0.0.0/24 that are globally reachable.
var anycast = prefixes("192.0.0.9/32", "192.0.0.10/32")

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func in(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// IsPrivate tells whether v4 is RFC 1918 or RFC 6598 (100.64.0.0/10) space.
func IsPrivate(v4 netip.Addr) bool { return in(private, v4) }

// IsGlobal tells whether v4 is globally reachable, by the list of spec R6052-10.
func IsGlobal(v4 netip.Addr) bool {
	return in(anycast, v4) || !in(private, v4) && !in(special, v4)
}

// Allows tells whether v4 may be reached through p under this policy. It is
// false for addresses that no NAT64 can serve, such as loopback and multicast.
func (n NonGlobal) Allows(p Prefix, v4 netip.Addr) bool {
	switch {
	case v4.Is4() && (!specialOctets[v4.As4()[0]] || !p.IsWellKnown() && !neverOctets[v4.As4()[0]]):
		return true
	case !v4.Is4() || in(never, v4):
		return false
	case !p.IsWellKnown() || n == NonGlobalAlways || IsGlobal(v4):
		return true
	default:
		return n == NonGlobalPrivate && IsPrivate(v4)
	}
}

// Blocks is Allows as a table, for a program that cannot call it: an IPv4 address
// may be reached unless the longest block that holds it says false.
func (n NonGlobal) Blocks(p Prefix) map[netip.Prefix]bool {
	out := make(map[netip.Prefix]bool)
	if p.IsWellKnown() && n != NonGlobalAlways {
		for _, b := range special {
			out[b] = false
		}
		for _, b := range private {
			out[b] = n == NonGlobalPrivate
		}
		for _, b := range anycast {
			out[b] = true
		}
	}
	for _, b := range never {
		out[b] = false
	}
	return out
}
