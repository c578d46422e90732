package bundle

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/reach64/reach64/resolver/nat64"
)

// TestPacketsNameNothing: addresses in headers, in quoted packets, in options and in
// payloads.
func TestPacketsNameNothing(t *testing.T) {
	a := NewAnonymizer(true)
	a.Prefix(nat64.MustParse("2001:db8:64:ff9b::/96"))
	const clat6, behind = "20010db8000100001a2b3cfffe4d5e6f", "20010db80064ff9b00000000c633640a"
	tests := map[string]struct{ in, want string }{
		"TCP over IPv4": {"4500002c000040004006000" + "0c0000003c633640a" + "c35001bb0000000100000002501000000000000068656c6c6f",
			"4500002c0000400040060000c0000003c6120002c35001bb000000010000000250100000" + "00000000"},
		"TCP over IPv6": {"60000000" + "00190640" + clat6 + behind + "c35001bb00000001000000025010000000000000" + "68656c6c6f",
			"60000000" + "00190640" + "3fff0001000000010000000000000001" + "3fff64010000000000000000c6120002" + "c35001bb0000000100000002501000000" + "0000000"},
		"DNS":           {"60000000" + "00191140" + clat6 + behind + "c3500035001900000102030405060708", "60000000" + "00191140" + "3fff0001000000010000000000000001" + "3fff64010000000000000000c6120002" + "c350003500190000"},
		"ICMPv6 error":  {"60000000" + "00303a40" + behind + clat6 + "0100123400000000" + "6000000000000640" + clat6 + behind, "60000000" + "00303a40" + "3fff64010000000000000000c6120002" + "3fff0001000000010000000000000001" + "01001234"},
		"IPv4 options":  {"4700001c0000000040010000c0000003c633640a0707c633640a00000800" + "f7ff0000", "4700001c0000000040010000c0000003c612000200000000000000000800" + "f7ff"},
		"second piece":  {"4500001c0000200140110000c0000003c633640a" + "6a616e65", "4500001c0000200140110000c0000003c6120002"},
		"other":         {"60000000" + "00043b40" + clat6 + behind + "6a616e65", "60000000" + "00043b40" + "3fff0001000000010000000000000001" + "3fff64010000000000000000c6120002"},
		"no IP":         {"0806000108000604", ""},
		"nothing":       {"", ""},
		"IPv4, cut off": {"45000028", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in, err := hex.DecodeString(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(a.Packet(in)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			for _, secret := range [][]byte{{198, 51, 100, 10}, {0x1a, 0x2b, 0x3c, 0xff, 0xfe}, []byte("jane"), []byte("hello")} {
				if bytes.Contains(a.Packet(in), secret) {
					t.Errorf("%x is in %x", secret, a.Packet(in))
				}
			}
		})
	}
}

// FuzzPacket: no address of the packet is in what is left of it, unless it stays
// everywhere, and nothing panics.
func FuzzPacket(f *testing.F) {
	for _, s := range []string{"4500002c0000400040060000c0000003c633640ac35001bb", "6000000000193b4020010db8000100001a2b3cfffe4d5e6f20010db80064ff9b00000000c633640a00"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, ip []byte) {
		a := NewAnonymizer(true)
		out := a.Packet(ip)
		if len(out) > len(ip) || len(out) > 100 {
			t.Fatalf("%d bytes of %d", len(out), len(ip))
		}
		if len(out) >= 20 && out[0]>>4 == 4 {
			dst := netip.AddrFrom4([4]byte(ip[16:]))
			if got := netip.AddrFrom4([4]byte(out[16:])); got != a.Addr(dst) {
				t.Errorf("%s became %s, elsewhere %s", dst, got, a.Addr(dst))
			}
		}
	})
}
