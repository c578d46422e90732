package pref64

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// TestFromAAAA holds the vectors of spec R7050-11 and spec-checked 2.1.
func TestFromAAAA(t *testing.T) {
	tests := []struct {
		name    string
		answers []netip.Addr
		want    []string
		foreign int
	}{
		{"well-known prefix, both addresses", addrs("64:ff9b::c000:aa", "64:ff9b::c000:ab"), []string{"64:ff9b::/96"}, 0},
		{"length 32", addrs("2001:db8:c000:aa::"), []string{"2001:db8::/32"}, 0},
		{"length 40", addrs("2001:db8:1c0:0:aa::"), []string{"2001:db8:100::/40"}, 0},
		{"length 48", addrs("2001:db8:122:c000:0:aa00::"), []string{"2001:db8:122::/48"}, 0},
		{"length 56", addrs("2001:db8:122:3c0:0:aa::"), []string{"2001:db8:122:300::/56"}, 0},
		{"length 64", addrs("2001:db8:122:344:c0:0:aa00::"), []string{"2001:db8:122:344::/64"}, 0},
		{"length 96 from .171 alone", addrs("2001:db8:122:344::c000:ab"), []string{"2001:db8:122:344::/96"}, 0},
		{"three prefixes keep their order", addrs("2001:db8:42::c000:aa", "2001:db8:43::c000:aa", "64:ff9b::c000:aa"),
			[]string{"2001:db8:42::/96", "2001:db8:43::/96", "64:ff9b::/96"}, 0},
		{"ambiguous, alone", addrs("2001:db8:c000:aa::c000:aa"), nil, 1},
		{"ambiguous, settled by .171", addrs("2001:db8:c000:aa::c000:aa", "2001:db8:c000:aa::c000:ab"), []string{"2001:db8:c000:aa::/96"}, 0},
		{"ambiguous, .171 first", addrs("2001:db8:c000:ab::c000:ab", "2001:db8:c000:ab::c000:aa"), []string{"2001:db8:c000:ab::/96"}, 0},
		{"ambiguous both ways", addrs("2001:db8:c000:aa::c000:aa", "2001:db8:c000:aa::c000:ab", "2001:db8:c000:ab::c000:aa"),
			[]string{"2001:db8:c000:aa::/96", "2001:db8::/32"}, 1},
		// Bytes 6 to 9 hold c00000aa as well, where no prefix puts it: .170 is not
		// unique (spec 7050-2, every octet offset).
		{"chance hit at an offset that no prefix uses", addrs("2001:db8:0:c000:aa:0:c000:aa"), nil, 1},
		{"the same with its partner", addrs("2001:db8:0:c000:aa:0:c000:aa", "2001:db8:0:c000:aa:0:c000:ab"), []string{"2001:db8:0:c000:aa::/96"}, 0},
		{".170 twice in the prefix, .171 decides", addrs("c000:aa:c000:aa::c000:ab"), []string{"c000:aa:c000:aa::/96"}, 0},
		{"only where no prefix puts it", addrs("2001:c000:aa::1"), nil, 1},
		{"foreign address", addrs("2001:db8::1"), nil, 1},
		{"foreign beside a good one", addrs("2001:db8::1", "64:ff9b::c000:aa"), []string{"64:ff9b::/96"}, 1},
		{"IPv4-mapped", addrs("::ffff:192.0.0.170"), nil, 1},
		{"IPv4", addrs("192.0.0.170"), nil, 1},
		{"all zero prefix", addrs("::192.0.0.170"), nil, 1},
		{"byte 8 not zero", addrs("2001:db8:0:0:100:0:c000:aa"), nil, 1},
		{"nothing", nil, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			prefixes, foreign := FromAAAA(tt.answers)
			var got []string
			for _, p := range prefixes {
				got = append(got, p.String())
			}
			if d := cmp.Diff(tt.want, got); d != "" || foreign != tt.foreign {
				t.Errorf("foreign %d, want %d\n%s", foreign, tt.foreign, d)
			}
		})
	}
}

// FuzzFromAAAA: what is found embeds a well-known address back into one of the
// answers.
func FuzzFromAAAA(f *testing.F) {
	for _, s := range []string{"64:ff9b::c000:aa", "2001:db8:c000:aa::c000:aa", "2001:db8:122:3c0:0:aa::"} {
		a := netip.MustParseAddr(s).As16()
		f.Add(a[:], a[:])
	}
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, ok1 := netip.AddrFromSlice(x)
		b, ok2 := netip.AddrFromSlice(y)
		if !ok1 || !ok2 {
			return
		}
		prefixes, foreign := FromAAAA([]netip.Addr{a, b})
		if len(prefixes)+foreign > 2 || len(prefixes)+foreign == 0 {
			t.Fatalf("%d prefixes, %d foreign from 2 answers", len(prefixes), foreign)
		}
		for _, p := range prefixes {
			v, ok := p.Extract(a)
			w, ok2 := p.Extract(b)
			if !(ok && isWellKnown(v)) && !(ok2 && isWellKnown(w)) {
				t.Fatalf("%v is in neither %v nor %v", p, a, b)
			}
		}
	})
}

func isWellKnown(a netip.Addr) bool {
	return a == netip.AddrFrom4([4]byte{192, 0, 0, 170}) || a == netip.AddrFrom4([4]byte{192, 0, 0, 171})
}

// TestFromKnown holds examples of spec-checked MSDA-12 and of RFC 6052 section 2.4.
func TestFromKnown(t *testing.T) {
	for _, tt := range []struct{ name, addr, v4, want string }{
		{"DirectAccess", "fd12:3456:789a:7777::a01:203", "10.1.2.3", "fd12:3456:789a:7777::/96"},
		{"probe host", "fd12:3456:789a:7777::7f00:1", "127.0.0.1", "fd12:3456:789a:7777::/96"},
		{"/32", "2001:db8:c000:221::", "192.0.2.33", "2001:db8::/32"},
		{"/48", "2001:db8:122:c000:2:2100::", "192.0.2.33", "2001:db8:122::/48"},
		{"/64", "2001:db8:122:344:c0:2:2100::", "192.0.2.33", "2001:db8:122:344::/64"},
		{"well-known", "64:ff9b::c000:221", "192.0.2.33", "64:ff9b::/96"},
		{"another address", "64:ff9b::c000:222", "192.0.2.33", ""},
		{"in two places", "2001:db8:c000:221::c000:221", "192.0.2.33", ""},
		{"where no prefix puts it", "2001:db8::c000:221:0", "192.0.2.33", ""},
		{"byte 8 not zero", "2001:db8:1:2:100:0:c000:221", "192.0.2.33", ""},
		{"IPv4-mapped", "::ffff:192.0.2.33", "192.0.2.33", ""},
		{"not in IPv6", "192.0.2.33", "192.0.2.33", ""},
		{"not of IPv4", "64:ff9b::c000:221", "::1", ""},
	} {
		p, ok := FromKnown(netip.MustParseAddr(tt.addr), netip.MustParseAddr(tt.v4))
		if p.String() != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %q, %v, want %q", tt.name, p, ok, tt.want)
		}
	}
}
