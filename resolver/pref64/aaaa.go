package pref64

import (
	"net/netip"
	"slices"

	"github.com/reach64/reach64/resolver/nat64"
)

// wellKnown are the two addresses of ipv4only.arpa, RFC 7050 section 2.2, in the
// order in which they are searched for.
var wellKnown = [2][4]byte{{192, 0, 0, 170}, {192, 0, 0, 171}}

// layouts are the legal prefix lengths with the places of the embedded IPv4
// bytes, RFC 6052 section 2.2. Byte 8 is never used.
var layouts = [...]struct {
	bits int
	at   [4]int
}{
	{32, [4]int{4, 5, 6, 7}},
	{40, [4]int{5, 6, 7, 9}},
	{48, [4]int{6, 7, 9, 10}},
	{56, [4]int{7, 9, 10, 11}},
	{64, [4]int{9, 10, 11, 12}},
	{96, [4]int{12, 13, 14, 15}},
}

// FromAAAA finds the prefixes in the AAAA answers for ipv4only.arpa (RFC 7050
// section 3), each once, in the order received. Foreign counts the addresses
// that hold neither well-known IPv4 address where one may be, or hold them so
// that the prefix cannot be told for certain; nothing is guessed (spec 7050-5).
//
// An address is settled first by its partner, the answer that differs from it
// only by .170 against .171 in one legal place (spec R7050-5). Alone, it is
// searched for .170 at every byte, and for .171 when .170 stands in more than one
// place (spec 7050-2).
func FromAAAA(addrs []netip.Addr) (prefixes []nat64.Prefix, foreign int) {
	for _, a := range addrs {
		p, ok := fromOne(a, addrs)
		if !ok {
			foreign++
		} else if !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes, foreign
}

func fromOne(a netip.Addr, all []netip.Addr) (nat64.Prefix, bool) {
	if !a.Is6() || a.Is4In6() {
		return nat64.Prefix{}, false
	}
	if p, ok := paired(a, all); ok {
		return p, true
	}
	for _, w := range wellKnown {
		legal, count := occurrences(a.As16(), w)
		if count == 1 && len(legal) == 1 {
			return prefixAt(a, legal[0])
		}
		if count == 1 {
			break // once, but where no prefix puts it
		}
	}
	return nat64.Prefix{}, false
}

// occurrences returns the legal prefix lengths under which w is embedded in b, and
// at how many places it stands: the legal ones, and runs of bytes at any offset,
// those that are both counted once.
func occurrences(b [16]byte, w [4]byte) (legal []int, count int) {
	runs := make(map[int]bool)
	for at := 0; at+4 <= len(b); at++ {
		if [4]byte(b[at:at+4]) == w {
			runs[at] = true
		}
	}
	count = len(runs)
	for _, l := range layouts {
		if !embeds(b, l.at, w) {
			continue
		}
		if b[8] == 0 {
			legal = append(legal, l.bits)
		}
		if contiguous := l.at[3] == l.at[0]+3; !contiguous {
			count++
		}
	}
	return legal, count
}

func embeds(b [16]byte, at [4]int, w [4]byte) bool {
	for i, place := range at {
		if b[place] != w[i] {
			return false
		}
	}
	return true
}

// paired settles an address by its partner: one other answer that is equal but
// for the last byte of a well-known address in a legal place.
func paired(a netip.Addr, all []netip.Addr) (found nat64.Prefix, ok bool) {
	x := a.As16()
	for _, l := range layouts {
		for i, w := range wellKnown {
			if x[8] != 0 || !embeds(x, l.at, w) {
				continue
			}
			y := x
			y[l.at[3]] = wellKnown[1-i][3]
			if !slices.Contains(all, netip.AddrFrom16(y)) {
				continue
			}
			if ok {
				return nat64.Prefix{}, false // two partners: still not unique
			}
			if found, ok = prefixAt(a, l.bits); !ok {
				return nat64.Prefix{}, false
			}
		}
	}
	return found, ok
}

func prefixAt(a netip.Addr, bits int) (nat64.Prefix, bool) {
	p, err := nat64.New(netip.PrefixFrom(a.WithZone(""), bits))
	return p, err == nil
}

// FromKnown finds the prefix of an address that should hold v4. It is false when v4
// stands in no legal place, or in more than one place: nothing is guessed (spec
// 7050-2).
func FromKnown(a, v4 netip.Addr) (nat64.Prefix, bool) {
	if !a.Is6() || a.Is4In6() || !v4.Is4() {
		return nat64.Prefix{}, false
	}
	legal, count := occurrences(a.As16(), v4.As4())
	if count != 1 || len(legal) != 1 {
		return nat64.Prefix{}, false
	}
	return prefixAt(a, legal[0])
}
