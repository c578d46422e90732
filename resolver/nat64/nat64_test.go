package nat64

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// TestEmbedAndExtract holds the vectors of RFC 6052 section 2.4 and the others
// of spec R6052-7 and 6052-12.
func TestEmbedAndExtract(t *testing.T) {
	tests := []struct{ prefix, v4, text, bytes string }{
		{"2001:db8::/32", "192.0.2.33", "2001:db8:c000:221::", "20010db8 c0000221 00000000 00000000"},
		{"2001:db8:100::/40", "192.0.2.33", "2001:db8:1c0:2:21::", "20010db8 01c00002 00210000 00000000"},
		{"2001:db8:122::/48", "192.0.2.33", "2001:db8:122:c000:2:2100::", "20010db8 0122c000 00022100 00000000"},
		{"2001:db8:122:300::/56", "192.0.2.33", "2001:db8:122:3c0:0:221::", "20010db8 012203c0 00000221 00000000"},
		{"2001:db8:122:344::/64", "192.0.2.33", "2001:db8:122:344:c0:2:2100::", "20010db8 01220344 00c00002 21000000"},
		{"2001:db8:122:344::/96", "192.0.2.33", "2001:db8:122:344::192.0.2.33", "20010db8 01220344 00000000 c0000221"},
		{"64:ff9b::/96", "192.0.2.33", "64:ff9b::192.0.2.33", "0064ff9b 00000000 00000000 c0000221"},
		{"2001:db8:100::/40", "198.51.100.2", "2001:db8:1c6:3364:2::", "20010db8 01c63364 00020000 00000000"},
		{"2001:db8:122::/48", "10.1.2.3", "2001:db8:122:a01:2:300::", "20010db8 01220a01 00020300 00000000"},
	}
	for _, tt := range tests {
		t.Run(tt.prefix+" "+tt.v4, func(t *testing.T) {
			p, v4, v6 := MustParse(tt.prefix), netip.MustParseAddr(tt.v4), netip.MustParseAddr(tt.text)
			if raw := v6.As16(); hex.EncodeToString(raw[:]) != strings.ReplaceAll(tt.bytes, " ", "") {
				t.Fatalf("the vector's text and bytes differ: %x", raw)
			}
			if got := p.Embed(v4); got != v6 {
				t.Errorf("Embed = %v, want %v", got, v6)
			}
			if got, ok := p.Extract(v6); !ok || got != v4 {
				t.Errorf("Extract = %v, %v; want %v", got, ok, v4)
			}
		})
	}
}

func TestExtractIgnoresTheSuffixButNotByte8(t *testing.T) { // R6052-4
	p := MustParse("2001:db8::/32")
	if got, ok := p.Extract(netip.MustParseAddr("2001:db8:c000:221::ffff")); !ok || got != netip.MustParseAddr("192.0.2.33") {
		t.Errorf("with a suffix: %v, %v", got, ok)
	}
	for name, addr := range map[string]string{"byte 8 is not zero": "2001:db8:c000:221:100::", "another prefix": "2001:db9:c000:221::", "IPv4": "192.0.2.33", "with a zone": "2001:db8:c000:221::%eth0"} {
		if got, ok := p.Extract(netip.MustParseAddr(addr)); ok {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestWhatIsNoPrefix(t *testing.T) { // R6052-1, R6052-5, R8781-6
	for name, text := range map[string]string{
		"length 0": "::/0", "length 33": "2001:db8::/33", "length 95": "64:ff9b::/95", "length 128": "64:ff9b::1/128",
		"byte 8 is not zero": "2001:db8:0:0:100::/96", "multicast": "ff02::/96", "link-local": "fe80::/64", "IPv4-mapped": "::ffff:0:0/96",
		"unspecified": "::/96", "IPv4": "192.0.2.0/32", "no length": "64:ff9b::", "nothing": "", "junk": "x/96",
	} {
		if p, err := Parse(text); err == nil {
			t.Errorf("%s: %q became %v", name, text, p)
		}
	}
	if _, err := New(netip.Prefix{}); err == nil {
		t.Error("the zero prefix was taken")
	}
}

func TestSamePrefix(t *testing.T) { // R6052-6
	if MustParse("2001:db8::1/32") != MustParse("2001:db8::/32") {
		t.Error("bits beyond the length count")
	}
	if MustParse("2001:db8::/32") == MustParse("2001:db8::/40") {
		t.Error("the length does not count")
	}
	if (Prefix{}).IsValid() || (Prefix{}).String() != "" || (Prefix{}).Embed(netip.MustParseAddr("192.0.2.1")).IsValid() {
		t.Error("the zero value is not 'no prefix'")
	}
}

func TestText(t *testing.T) {
	for _, want := range []Prefix{{}, WellKnown(), MustParse("2001:db8:122:300::/56")} {
		b, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		got := WellKnown()
		if err := got.UnmarshalText(b); err != nil || got != want {
			t.Errorf("%q became %v, %v", b, got, err)
		}
	}
}

func TestNonGlobal(t *testing.T) { // R6052-8, R6052-9, R6052-10, SEC-11
	own, wkp := MustParse("2001:db8:64:ff9b::/96"), WellKnown()
	tests := []struct {
		addr                        string
		private, never, always, nsp bool // under the well-known prefix by policy; under another prefix
	}{
		{"8.8.8.8", true, true, true, true},
		{"10.1.2.3", true, false, true, true},
		{"172.31.255.255", true, false, true, true},
		{"172.32.0.1", true, true, true, true},
		{"100.64.0.1", true, false, true, true},
		{"192.168.1.1", true, false, true, true},
		{"198.51.100.10", false, false, true, true},
		{"192.88.99.1", false, false, true, true},
		{"192.0.0.9", true, true, true, true},
		{"192.0.0.11", false, false, true, true},
		{"127.0.0.1", false, false, false, false},
		{"169.254.1.1", false, false, false, false},
		{"0.1.2.3", false, false, false, false},
		{"224.0.0.1", false, false, false, false},
		{"255.255.255.255", false, false, false, false},
		{"2001:db8::1", false, false, false, false},
	}
	for _, tt := range tests {
		a := netip.MustParseAddr(tt.addr)
		got := [4]bool{NonGlobalPrivate.Allows(wkp, a), NonGlobalNever.Allows(wkp, a), NonGlobalAlways.Allows(wkp, a), NonGlobalNever.Allows(own, a)}
		if want := [4]bool{tt.private, tt.never, tt.always, tt.nsp}; got != want {
			t.Errorf("%s: %v, want %v", tt.addr, got, want)
		}
	}
	for _, word := range []string{"private", "never", "always"} {
		if n, err := ParseNonGlobal(word); err != nil || n.String() != word {
			t.Errorf("%s: %v, %v", word, n, err)
		}
	}
	if _, err := ParseNonGlobal("sometimes"); err == nil {
		t.Error("an unknown word was taken")
	}
}

func TestTextThatIsNoPrefixChangesNothing(t *testing.T) {
	for _, text := range []string{"64:ff9b::/95", "192.0.2.0/24", "x", " "} {
		got := MustParse("2001:db8::/32")
		err := got.UnmarshalText([]byte(text))
		if err == nil || got != MustParse("2001:db8::/32") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%q: error %q does not say what was read", text, err)
		}
	}
}

func TestTextForms(t *testing.T) { // R6052-12
	for text, want := range map[string]string{
		"64:ff9b::/96":                   "64:ff9b::/96",
		"64:FF9B:0:0:0:0:0.0.0.0/96":     "64:ff9b::/96",
		"64:ff9b::192.0.2.33/96":         "64:ff9b::/96", // R6052-6
		"64:ff9b:1:fffe::/96":            "64:ff9b:1:fffe::/96",
		"2001:db8:0:0:1::/96":            "2001:db8:0:0:1::/96", // R6052-5
		"fd00:64::/32":                   "fd00:64::/32",
		"2001:db8:122:344:ffff::1/64":    "2001:db8:122:344::/64", // byte 8 lies beyond the length
		"2001:db8:1ff:ffff:ffff::/40":    "2001:db8:100::/40",
		"2001:0db8:0122:0300:0:0:0:1/56": "2001:db8:122:300::/56",
	} {
		p, err := Parse(text)
		if err != nil || p.String() != want || p.Netip() != netip.MustParsePrefix(want) || p.Bits() != netip.MustParsePrefix(want).Bits() {
			t.Errorf("%q became %v, %v; want %s", text, p, err, want)
		}
		if p.IsWellKnown() != (want == "64:ff9b::/96") {
			t.Errorf("%q: IsWellKnown = %v", text, p.IsWellKnown())
		}
	}
}

func TestEveryLengthIsTakenOrRefused(t *testing.T) { // R6052-1
	legal := map[int]bool{32: true, 40: true, 48: true, 56: true, 64: true, 96: true}
	for bits := range 129 {
		_, err := New(netip.PrefixFrom(netip.MustParseAddr("2001:db8::"), bits))
		if (err == nil) != legal[bits] {
			t.Errorf("length %d: %v", bits, err)
		}
	}
}

func TestEmbedTakesIPv4Alone(t *testing.T) {
	for _, text := range []string{"2001:db8::1", "::ffff:192.0.2.33"} {
		if got := WellKnown().Embed(netip.MustParseAddr(text)); got.IsValid() {
			t.Errorf("%s became %v", text, got)
		}
	}
	if got := WellKnown().Embed(netip.Addr{}); got.IsValid() {
		t.Errorf("no address became %v", got)
	}
	if (Prefix{}).Contains(netip.MustParseAddr("64:ff9b::1")) || (Prefix{}).Bits() != 0 || (Prefix{}).IsWellKnown() {
		t.Error("no prefix contains something")
	}
	if _, ok := (Prefix{}).Extract(netip.MustParseAddr("64:ff9b::1")); ok {
		t.Error("no prefix gives an address")
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	MustParse("64:ff9b::/95")
}

// The first and the last address of each block of R6052-10, and their neighbours.
func TestEdgesOfNonGlobalBlocks(t *testing.T) {
	const global, private, special = "global", "private", "special"
	tests := []struct{ first, last, kind, before, after string }{
		{"0.0.0.0", "0.255.255.255", special, "", global},
		{"10.0.0.0", "10.255.255.255", private, global, global},
		{"100.64.0.0", "100.127.255.255", private, global, global},
		{"127.0.0.0", "127.255.255.255", special, global, global},
		{"169.254.0.0", "169.254.255.255", special, global, global},
		{"172.16.0.0", "172.31.255.255", private, global, global},
		{"192.0.0.0", "192.0.0.8", special, global, global},
		{"192.0.0.9", "192.0.0.10", global, special, special},
		{"192.0.0.11", "192.0.0.255", special, global, global},
		{"192.0.2.0", "192.0.2.255", special, global, global},
		{"192.88.99.0", "192.88.99.255", special, global, global},
		{"192.168.0.0", "192.168.255.255", private, global, global},
		{"198.18.0.0", "198.19.255.255", special, global, global},
		{"198.51.100.0", "198.51.100.255", special, global, global},
		{"203.0.113.0", "203.0.113.255", special, global, global},
		{"224.0.0.0", "255.255.255.255", special, global, ""},
	}
	kind := func(a netip.Addr) string {
		switch {
		case IsPrivate(a) && !IsGlobal(a):
			return private
		case IsGlobal(a):
			return global
		}
		return special
	}
	for _, tt := range tests {
		first, last := netip.MustParseAddr(tt.first), netip.MustParseAddr(tt.last)
		for a, want := range map[netip.Addr]string{first: tt.kind, last: tt.kind, first.Prev(): tt.before, last.Next(): tt.after} {
			if a.IsValid() && kind(a) != want {
				t.Errorf("%v is %s, want %s", a, kind(a), want)
			}
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("64:ff9b::/96", uint32(0xc0000221))
	f.Add("2001:db8::/32", uint32(0xffffffff))
	f.Fuzz(func(t *testing.T, text string, v4 uint32) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		want := netip.AddrFrom4([4]byte{byte(v4 >> 24), byte(v4 >> 16), byte(v4 >> 8), byte(v4)})
		v6 := p.Embed(want)
		if got, ok := p.Extract(v6); !ok || got != want || !p.Contains(v6) {
			t.Errorf("%v in %v is %v, out again %v, %v", want, p, v6, got, ok)
		}
		if q, err := Parse(p.String()); err != nil || q != p {
			t.Errorf("%v does not read what it writes: %v, %v", p, q, err)
		}
	})
}

// TestBlocksSayTheSame looks at both ends of every block, what lies beside them, and
// at the middle of every /16.
func TestBlocksSayTheSame(t *testing.T) { // R6052-9, SEC-11
	for _, n := range []NonGlobal{NonGlobalPrivate, NonGlobalNever, NonGlobalAlways} {
		for _, p := range []Prefix{WellKnown(), MustParse("2001:db8:64:ff9b::/96"), MustParse("2001:db8::/32")} {
			blocks := n.Blocks(p)
			var look []uint32
			for i := range uint32(1 << 16) {
				look = append(look, i<<16|0x8001)
			}
			for b := range blocks {
				four := b.Addr().As4()
				first := binary.BigEndian.Uint32(four[:])
				last := first + uint32(uint64(1)<<(32-b.Bits())-1)
				look = append(look, first-1, first, last, last+1)
			}
			for _, v := range look {
				a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, v)))
				longest, allowed := -1, true
				for b, yes := range blocks {
					if b.Contains(a) && b.Bits() > longest {
						longest, allowed = b.Bits(), yes
					}
				}
				if want := n.Allows(p, a); allowed != want {
					t.Fatalf("%v under %v by %v: blocks say %v, Allows %v", a, p, n, allowed, want)
				}
			}
		}
	}
}
