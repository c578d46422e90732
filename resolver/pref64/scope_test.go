package pref64

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func scope(list ...string) Scope {
	var ps []netip.Prefix
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ScopeOf(ps)
}

func TestScope(t *testing.T) {
	tests := []struct {
		name, want string
		s          Scope
		match      map[string]int // -1: not served
	}{
		{"no list is all", "", scope(), map[string]int{"192.0.2.1": 0, "2001:db8::1": -1}},
		{"a default route is all", "", scope("10.0.0.0/8", "0.0.0.0/0"), map[string]int{"192.0.2.1": 0}},
		{"one", "10.0.0.0/8", scope("10.0.0.0/8"), map[string]int{"10.1.2.3": 8, "11.0.0.0": -1, "2001:db8::1": -1}},
		{"the longest matches", "10.0.0.0/8, 10.1.0.0/16", scope("10.1.0.0/16", "10.0.0.0/8"), map[string]int{"10.1.2.3": 16, "10.2.0.0": 8}},
		{"host bits, and the same twice", "10.0.0.0/8", scope("10.1.2.3/8", "10.0.0.0/8"), nil},
		{"IPv6 does not count", "10.0.0.0/8", scope("2001:db8::/32", "10.0.0.0/8"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.s.String() != tt.want || tt.s.All() != (tt.want == "") {
				t.Errorf("got %q, want %q", tt.s, tt.want)
			}
			for ip, want := range tt.match {
				bits, ok := tt.s.Match(netip.MustParseAddr(ip))
				if !ok {
					bits = -1
				}
				if bits != want {
					t.Errorf("%s: %d, want %d", ip, bits, want)
				}
			}
			if d := cmp.Diff(tt.s, ScopeOf(tt.s.Prefixes()), cmp.Comparer(func(a, b Scope) bool { return a == b })); d != "" {
				t.Error(d)
			}
		})
	}
}
