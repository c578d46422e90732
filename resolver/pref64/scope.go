package pref64

import (
	"net/netip"
	"slices"
	"strings"
)

// Scope are the IPv4 destinations that a prefix serves, as a PCP server may limit
// them (RFC 7225 section 5). The zero value is all of IPv4. It is comparable.
type Scope struct {
	text string // sorted and masked prefixes, separated by ", "
}

// ScopeOf returns the scope of these IPv4 prefixes; none, or 0.0.0.0/0 among them,
// is all of IPv4. What is no IPv4 prefix is left out, so that the caller must not
// come with such alone.
func ScopeOf(list []netip.Prefix) Scope {
	var out []netip.Prefix
	for _, p := range list {
		if !p.IsValid() || !p.Addr().Is4() {
			continue
		}
		if p = p.Masked(); p.Bits() == 0 {
			return Scope{}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Compare(b) })
	var words []string
	for _, p := range slices.Compact(out) {
		words = append(words, p.String())
	}
	return Scope{strings.Join(words, ", ")}
}

// All tells whether s is all of IPv4.
func (s Scope) All() bool { return s.text == "" }

// String returns text such as "10.0.0.0/8, 192.168.0.0/16", empty for all of IPv4.
func (s Scope) String() string { return s.text }

// Prefixes returns the destinations, none for all of IPv4.
func (s Scope) Prefixes() []netip.Prefix {
	if s.All() {
		return nil
	}
	var out []netip.Prefix
	for _, word := range strings.Split(s.text, ", ") {
		out = append(out, netip.MustParsePrefix(word)) // ScopeOf wrote it
	}
	return out
}

// Match returns the length of the longest prefix of s that v4 lies in, and false
// when it lies in none. All of IPv4 matches with 0.
func (s Scope) Match(v4 netip.Addr) (bits int, ok bool) {
	if s.All() {
		return 0, v4.Is4()
	}
	for _, p := range s.Prefixes() {
		if p.Contains(v4) {
			bits, ok = max(bits, p.Bits()), true
		}
	}
	return bits, ok
}
