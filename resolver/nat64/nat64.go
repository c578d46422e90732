// Package nat64 is the NAT64 prefix (Pref64) as a value: which prefixes are
// legal, how an IPv4 address is put into one, and how it is taken out again.
//
// It follows RFC 6052. It does not discover prefixes (resolver/discover), rank
// them (resolver/pref64) or translate packets (tunnel/siit).
//
// A Prefix that exists is valid: New and Parse are the only ways to make one,
// and the zero value stands for 'no prefix'. Prefix is comparable and may be a
// map key.
package nat64

import (
	"errors"
	"fmt"
	"net/netip"
)

// Prefix is a NAT64 prefix: an IPv6 prefix of length 32, 40, 48, 56, 64 or 96
// whose bits 64 to 71 are zero (RFC 6052 section 2.2). The zero value is no
// prefix.
type Prefix struct {
	p netip.Prefix
}

// errNotPrefix is the cause when a text or a value is not a NAT64 prefix.
var errNotPrefix = errors.New("not a NAT64 prefix")

// wellKnown is 64:ff9b::/96, RFC 6052 section 2.1.
var wellKnown = Prefix{netip.MustParsePrefix("64:ff9b::/96")}

// WellKnown returns 64:ff9b::/96, the Well-Known Prefix of RFC 6052 section 2.1.
func WellKnown() Prefix { return wellKnown }

// New returns p as a NAT64 prefix. Bits beyond the length are cleared. It
// refuses other lengths than those of RFC 6052 section 2.2, IPv4, zones, a /96
// with a non-zero byte 8, and prefixes that cannot be a NAT64's: multicast,
// link-local, IPv4-mapped, and ::/96 (spec R6052-1, R6052-5, R8781-6).
func New(p netip.Prefix) (Prefix, error) {
	if !p.IsValid() || !p.Addr().Is6() {
		return Prefix{}, fmt.Errorf("%w: %v is not an IPv6 prefix", errNotPrefix, p)
	}
	switch p.Bits() {
	case 32, 40, 48, 56, 64, 96:
	default:
		return Prefix{}, fmt.Errorf("%w: %v has length %d, want 32, 40, 48, 56, 64 or 96", errNotPrefix, p, p.Bits())
	}
	p = p.Masked()
	a := p.Addr().As16()
	switch {
	case a[8] != 0:
		return Prefix{}, fmt.Errorf("%w: %v has a non-zero byte 8 (bits 64 to 71 must be zero)", errNotPrefix, p)
	case p.Addr().IsMulticast(), p.Addr().IsLinkLocalUnicast(), p.Addr().Is4In6(), p.Addr().IsUnspecified():
		return Prefix{}, fmt.Errorf("%w: %v is not a global or unique local prefix", errNotPrefix, p)
	}
	return Prefix{p}, nil
}

// Parse reads text such as "64:ff9b::/96".
func Parse(s string) (Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return Prefix{}, fmt.Errorf("%w: %q: want an IPv6 prefix such as 64:ff9b::/96", errNotPrefix, s)
	}
	return New(p)
}

// MustParse is Parse for constants and tests; it panics on bad text.
func MustParse(s string) Prefix {
	p, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return p
}

// IsValid tells whether p is a prefix at all.
func (p Prefix) IsValid() bool { return p.p.IsValid() }

// IsWellKnown tells whether p is 64:ff9b::/96.
func (p Prefix) IsWellKnown() bool { return p == wellKnown }

// Bits returns the length, 0 for no prefix.
func (p Prefix) Bits() int {
	if !p.IsValid() {
		return 0
	}
	return p.p.Bits()
}

// Netip returns p as a netip.Prefix, masked.
func (p Prefix) Netip() netip.Prefix { return p.p }

// Contains tells whether v6 lies in p. It does not check the format; Extract does.
func (p Prefix) Contains(v6 netip.Addr) bool { return p.IsValid() && p.p.Contains(v6) }

// String returns the canonical text, "" for no prefix.
func (p Prefix) String() string {
	if !p.IsValid() {
		return ""
	}
	return p.p.String()
}

// MarshalText writes the canonical text, empty for no prefix.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Prefix) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*p = Prefix{}
		return nil
	}
	q, err := Parse(string(b))
	if err != nil {
		return err
	}
	*p = q
	return nil
}

// layout gives the places of the four IPv4 bytes in the address, RFC 6052
// section 2.2. Byte 8 is the 'u' octet and is never used.
func layout(bits int) [4]int {
	switch bits {
	case 32:
		return [4]int{4, 5, 6, 7}
	case 40:
		return [4]int{5, 6, 7, 9}
	case 48:
		return [4]int{6, 7, 9, 10}
	case 56:
		return [4]int{7, 9, 10, 11}
	case 64:
		return [4]int{9, 10, 11, 12}
	default:
		return [4]int{12, 13, 14, 15}
	}
}

// Embed synthesizes: it returns the IPv6 address that stands for v4 in p, with
// zero 'u' octet and suffix (RFC 6052 section 2.2). Without a prefix, or when
// v4 is not IPv4, it returns the zero Addr.
func (p Prefix) Embed(v4 netip.Addr) netip.Addr {
	if !p.IsValid() || !v4.Is4() {
		return netip.Addr{}
	}
	a, b := p.p.Addr().As16(), v4.As4()
	for i, at := range layout(p.p.Bits()) {
		a[at] = b[i]
	}
	return netip.AddrFrom16(a)
}

// Extract returns the IPv4 address inside v6. It is false when v6 is not in p
// or has a non-zero 'u' octet. A non-zero suffix is ignored (spec R6052-4).
func (p Prefix) Extract(v6 netip.Addr) (netip.Addr, bool) {
	if !p.IsValid() || !v6.Is6() || v6.Zone() != "" || !p.p.Contains(v6) {
		return netip.Addr{}, false
	}
	a := v6.As16()
	if a[8] != 0 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, at := range layout(p.p.Bits()) {
		b[i] = a[at]
	}
	return netip.AddrFrom4(b), true
}
