package siit

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// checkedConfig is the set-up of spec-checked section 9.
func checkedConfig() Config {
	return Config{Prefix: nat64.MustParse("2001:db8:64::/96"), CLAT4: netip.MustParseAddr("192.0.0.5"),
		CLAT6: netip.MustParseAddr("2001:db8:1:2:464:0:c1a7:5"), MTU4: 1480, MTU6: 1500}
}

const (
	t8in = "60000000 00242b3d 20010db8 00640000 00000000 c6336407 20010db8 00010002 04640000 c1a70005 11020001 00000000 00000000 00000000 00000000 00000000 00099c40 000c52a1 61626364"
	t9in = `60000000 00943a40 20010db8 ffff0000 00000000 00000001 20010db8 00010002 04640000 c1a70005 030059ba 10000000
	        60000000 000c1101 20010db8 00010002 04640000 c1a70005 20010db8 00640000 00000000 c6336407 829a829b 000cd8a5 74726163
	        00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
	        2000cdf4 00080101 00011101`
)

// The vectors of spec-checked section 9, which were computed from scratch.
func TestCheckedVectors(t *testing.T) { // 7915-33, 7915-31, 7915-42, SIIT-62
	tests := map[string]struct {
		in, out string
		verdict Verdict
		modulo  bool // but for Identification and what follows from it
	}{
		"T1 IPv4 options": {
			in:  "46000024 00010000 40118d87 c0000005 c6336407 01010100 9c400009 000cb485 61626364",
			out: "60000000 000c113f 20010db8 00010002 04640000 c1a70005 20010db8 00640000 00000000 c6336407 9c400009 000c52a1 61626364"},
		"T2 Hop-by-Hop and Destination Options": {modulo: true,
			in:  "6b900000 001c003d 20010db8 00640000 00000000 c6336407 20010db8 00010002 04640000 c1a70005 3c000104 00000000 11000104 00000000 00099c40 000c52a1 61626364",
			out: "45b90020 00000000 3c1193d4 c6336407 c0000005 00099c40 000cb485 61626364"},
		"T3 middle fragment": {
			in:  "60000000 00182c3d 20010db8 00640000 00000000 c6336407 20010db8 00010002 04640000 c1a70005 110005c9 abcd1234 00010203 04050607 08090a0b 0c0d0e0f",
			out: "45000024 123420b9 3c11619c c6336407 c0000005 00010203 04050607 08090a0b 0c0d0e0f"},
		"T4 Port Unreachable of the host": {
			in:  "45c0003c 00070000 40018fba c0000005 c6336407 0303e75a 00000000 45000020 00000000 3911978d c6336407 c0000005 00099c40 000cb485 61626364",
			out: "6c000000 003c3a3f 20010db8 00010002 04640000 c1a70005 20010db8 00640000 00000000 c6336407 01044138 00000000 60000000 000c1139 20010db8 00640000 00000000 c6336407 20010db8 00010002 04640000 c1a70005 00099c40 000c52a1 61626364"},
		"T5 Packet Too Big about a fragment": {modulo: true,
			in:  "60000000 00583a40 20010db8 ffff0000 00000000 00000001 20010db8 00010002 04640000 c1a70005 020022dd 00000578 60000000 04d82c3c 20010db8 00010002 04640000 c1a70005 20010db8 00640000 00000000 c6336407 11000001 00001234 9c400009 05c81111 00000000 00000000 00000000 00000000 00000000 00000000",
			out: "45000050 00000000 3f01fb9f c0000008 c0000005 0304e298 0000055c 450004e4 12342000 3c115d95 c0000005 c6336407 9c400009 05c872f5 00000000 00000000 00000000 00000000 00000000 00000000"},
		"T6 UDP checksum that would be 0": {
			in:  "4500001e 00024000 4011508d c0000005 c6336407 9c400009 000a61e4 176c",
			out: "60000000 000a113f 20010db8 00010002 04640000 c1a70005 20010db8 00640000 00000000 c6336407 9c400009 000affff 176c"},
		"T8 Routing header with segments left": {verdict: AnsweredRouting, in: t8in,
			out: "60000000 00543a40 20010db8 00010002 04640000 c1a70005 20010db8 00640000 00000000 c6336407 040012da 0000002b" + t8in},
		"T9 Time Exceeded with an extension": {in: t9in, modulo: true,
			out: "450000a8 00000000 3f01fb47 c0000008 c0000005 0b00df3d 00200000 45000020 00000000 0111cf8d c0000005 c6336407 829a829b 000c3a8a 74726163" +
				strings.Repeat("00", 96) + "2000cdf4 00080101 00011101"},
		"T10 Time Exceeded about an echo request": {modulo: true,
			in:  "60000000 003a3a40 20010db8 ffff0000 00000000 00000001 20010db8 00010002 04640000 c1a70005 0300413d 00000000 60000000 000a3a01 20010db8 00010002 04640000 c1a70005 20010db8 00640000 00000000 c6336407 8000b0f7 12340001 7069",
			out: "4500003a 00000000 3f01fbb5 c0000008 c0000005 0b00f4ff 00000000 4500001e 00000000 0101cf9f c0000005 c6336407 08007561 12340001 7069"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if _, v := translator(t, checkedConfig()).Translate(b, vnethdr.Header{}, unhex(tt.in)); v != tt.verdict {
				t.Fatalf("verdict %v, want %v", v, tt.verdict)
			}
			if tt.out == "" {
				if len(b.Packets()) != 0 {
					t.Errorf("%d packets came out", len(b.Packets()))
				}
				return
			}
			got, want := only(t, b), unhex(tt.out)
			if tt.modulo {
				if inet(got[:20]) != 0 {
					t.Errorf("header checksum of % x is wrong", got[:20])
				}
				got, want = forget(got), forget(want)
			}
			if d := cmp.Diff(hex.EncodeToString(want), hex.EncodeToString(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCheckedNeutralAddress(t *testing.T) { // 1624-3, 7757-3, 1624-4
	c := checkedConfig()
	got, neutral := NeutralAddr(netip.MustParsePrefix("2001:db8:1:2::/64"), [6]byte(unhex("04640000c1a7")), c.CLAT4, c.Prefix)
	if want := netip.MustParseAddr("2001:db8:1:2:464:0:c1a7:9e20"); got != want || !neutral {
		t.Errorf("got %v, %v; want %v", got, neutral, want)
	}
	if translator(t, c).Neutral() {
		t.Error("an arbitrary address passes as neutral")
	}
	c.CLAT6 = got
	if !translator(t, c).Neutral() {
		t.Error("the address does not pass as neutral")
	}
}
