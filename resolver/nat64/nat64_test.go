package nat64

import (
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
