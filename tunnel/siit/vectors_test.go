package siit

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// unhex reads hexadecimal digits with white space anywhere.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// vectorConfig is the set-up of spec section 2.10: not neutral, and with the
// documentation address 192.0.2.33 under the well-known prefix allowed.
func vectorConfig() Config {
	return Config{Prefix: nat64.WellKnown(), CLAT4: netip.MustParseAddr("192.0.0.1"), CLAT6: netip.MustParseAddr("2001:db8:1:2:c1a7:0:0:1"),
		MTU4: 1480, MTU6: 1500, NonGlobal: nat64.NonGlobalAlways}
}

func translator(t testing.TB, c Config) *Translator {
	t.Helper()
	tr, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// whole puts a packet of a batch together.
func whole(p Packet) []byte { return append(append([]byte(nil), p.Head...), p.Tail...) }

// only returns the only packet in a batch.
func only(t testing.TB, b *Batch) []byte {
	t.Helper()
	if len(b.Packets()) != 1 {
		t.Fatalf("%d packets came out, want 1", len(b.Packets()))
	}
	return whole(b.Packets()[0])
}

// forget clears Identification and header checksum of an IPv4 packet, and of
// the packet that an ICMP error quotes, where only they may differ.
func forget(p []byte) []byte {
	p = bytes.Clone(p)
	clear(p[4:6])
	clear(p[10:12])
	if p[9] == 1 && p[20] == 3 {
		clear(p[22:24])
		clear(p[32:34])
		clear(p[38:40])
	}
	return p
}

const (
	v1out = "60000000 000c113f 20010db8 00010002 c1a70000 00000001 0064ff9b 00000000 00000000 c0000221 13880035 000c9bf5 68693634"
	v6in  = `60000000 00503aff 20010db8 ffff0000 00000000 00000001 20010db8 00010002 c1a70000 00000001 020074a8 00000578
	         60000000 0020063c 20010db8 00010002 c1a70000 00000001 0064ff9b 00000000 00000000 c0000221
	         c00001bb 00000001 00000000 6002ffff 24dc0000 020405b4 00000000 00000000`
)

func TestSpecVectors(t *testing.T) { // SIIT-14, 7757-1, 7757-2
	tests := map[string]struct {
		clat6   string
		in, out string
		modulo  bool // but for Identification and what follows from it
	}{
		"V1 UDP":                  {in: "45000020 12344000 4011a676 c0000001 c0000221 13880035 000ccb58 68693634", out: v1out},
		"V2 UDP without checksum": {in: "45000020 12340000 4011e676 c0000001 c0000221 13880035 000c0000 68693634", out: v1out},
		"V3 TCP SYN with ECT": {in: "4502002c 12344000 4006a673 c0000001 c0000221 c00001bb 00000001 00000000 6002ffff 54470000 020405b4",
			out: "60200000 0018063f 20010db8 00010002 c1a70000 00000001 0064ff9b 00000000 00000000 c0000221 c00001bb 00000001 00000000 6002ffff 24e40000 020405b4"},
		"V4 echo request": {in: "45000020 12340000 4001e686 c0000001 c0000221 08006d60 abcd0001 70696e67",
			out: "60000000 000c3a3f 20010db8 00010002 c1a70000 00000001 0064ff9b 00000000 00000000 c0000221 80004393 abcd0001 70696e67"},
		"V5 echo reply": {in: "60000000 000c3a32 0064ff9b 00000000 00000000 c0000221 20010db8 00010002 c1a70000 00000001 81004293 abcd0001 70696e67",
			out: "45000020 00000000 310107bb c0000221 c0000001 00007560 abcd0001 70696e67", modulo: true},
		"V6 Packet Too Big from a router outside the prefix": {in: v6in,
			out: `45000050 00000000 fe013ca3 c0000008 c0000001 030479e1 00000564
			      45000034 00000000 3c06fca1 c0000001 c0000221
			      c00001bb 00000001 00000000 6002ffff 543f0000 020405b4 00000000 00000000`, modulo: true},
		"V7 neutral address": {clat6: "2001:db8:1:2:2c1:a700:0:e883", in: "45000020 12344000 4011a676 c0000001 c0000221 13880035 000ccb58 68693634",
			out: "60000000 000c113f 20010db8 00010002 02c1a700 0000e883 0064ff9b 00000000 00000000 c0000221 13880035 000ccb58 68693634"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := vectorConfig()
			if tt.clat6 != "" {
				c.CLAT6 = netip.MustParseAddr(tt.clat6)
			}
			b := NewBatch()
			if _, v := translator(t, c).Translate(b, vnethdr.Header{}, unhex(tt.in)); v.Kind() != Translated {
				t.Fatalf("verdict %v", v)
			}
			got, want := only(t, b), unhex(tt.out)
			if tt.modulo {
				if sum(got[:20]) != 0xffff {
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

// SIIT-91a: a super-packet of three segments with a partial checksum.
func TestSpecVectorSuperPacket(t *testing.T) { // SIIT-91a, SIIT-87
	c := vectorConfig()
	in := make([]byte, 4336)
	copy(in, unhex("450010f0 12344000 40060000 c0000001 c0000221 c00001bb 00000001 00000001 8010ffff 93050000"))
	put16(in[10:], ^fold(sum(in[:20])))
	b := NewBatch()
	h := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOTCPv4, HdrLen: 52, GSOSize: 1428, CsumStart: 20, CsumOffset: 16}
	if v := translator(t, c).To6(b, h, in); v != OK {
		t.Fatalf("verdict %v", v)
	}
	got := only(t, b)
	want := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOTCPv6, HdrLen: 72, GSOSize: 1428, CsumStart: 40, CsumOffset: 16}
	if d := cmp.Diff(want, b.Packets()[0].Hdr); d != "" {
		t.Error(d)
	}
	if n := int(got[4])<<8 | int(got[5]); n != 4316 {
		t.Errorf("Payload Length = %d, want 4316", n)
	}
	if check := got[56:58]; !bytes.Equal(check, []byte{0xc2, 0x68}) {
		t.Errorf("checksum field = %x, want c268", check)
	}
	if n := len(b.Packets()[0].Head); n != 60 {
		t.Errorf("%d bytes were written, want the headers alone", n)
	}
}

func put16(b []byte, v uint16) { b[0], b[1] = byte(v>>8), byte(v) }

func TestNeutralAddresses(t *testing.T) { // SIIT-83, SIIT-80, SIIT-81, SIIT-84
	tests := map[string]struct{ prefix, iid, want string }{
		"well-known prefix":   {"64:ff9b::/96", "02c1a7000000", "2001:db8:1:2:2c1:a700:0:e883"},
		"length 32":           {"2001:db8::/32", "02c1a7000000", "2001:db8:1:2:2c1:a700:0:baca"},
		"prefix of one's own": {"2001:db8:64:ff9b::/96", "3d2a9f107654", "2001:db8:1:2:3d2a:9f10:7654:11fd"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, v4 := nat64.MustParse(tt.prefix), netip.MustParseAddr("192.0.0.1")
			got, neutral := NeutralAddr(netip.MustParsePrefix("2001:db8:1:2::/64"), [6]byte(unhex(tt.iid)), v4, p)
			if got != netip.MustParseAddr(tt.want) || !neutral {
				t.Errorf("got %v, %v; want %s", got, neutral, tt.want)
			}
			c := vectorConfig()
			c.Prefix, c.CLAT6 = p, got
			if p.Bits() == 96 && !translator(t, c).Neutral() {
				t.Error("the translator does not see that it is neutral")
			}
		})
	}
	if _, neutral := NeutralAddr(netip.MustParsePrefix("2001:db8:1:2::/64"), [6]byte{1}, netip.MustParseAddr("192.0.0.1"), nat64.MustParse("2001:db8:122::/48")); neutral {
		t.Error("length 48 cannot be neutral (R6052-14)")
	}
	four, six := netip.MustParseAddr("192.0.0.1"), netip.MustParsePrefix("2001:db8:1:2::/64")
	for name, none := range map[string]struct {
		net64 netip.Prefix
		v4    netip.Addr
	}{"no network": {netip.Prefix{}, four}, "an IPv4 network": {netip.PrefixFrom(four, 24), four}, "no address": {six, netip.Addr{}}, "an IPv6 address": {six, six.Addr()}} {
		if got, neutral := NeutralAddr(none.net64, [6]byte{1}, none.v4, nat64.WellKnown()); got.IsValid() || neutral {
			t.Errorf("%s: %v, %v", name, got, neutral)
		}
	}
}

func TestReservedInterfaceIdentifiers(t *testing.T) { // SIIT-82
	tests := map[string]bool{
		"2001:db8::":                    true,
		"2001:db8::200:5eff:fe00:0":     true,
		"2001:db8::200:5eff:fe00:5213":  true,
		"2001:db8::200:5eff:feff:ffff":  true,
		"2001:db8::fdff:ffff:ffff:ff80": true,
		"2001:db8::fdff:ffff:ffff:ffff": true,
		"2001:db8::fdff:ffff:ffff:ff7f": false,
		"2001:db8::200:5eff:fd00:0":     false,
		"2001:db8:1:2:2c1:a700:0:e883":  false,
	}
	for addr, want := range tests {
		if got := IsReservedIID(netip.MustParseAddr(addr)); got != want {
			t.Errorf("IsReservedIID(%s) = %v", addr, got)
		}
	}
	if IsReservedIID(netip.Addr{}) || IsReservedIID(netip.MustParseAddr("192.0.2.1")) {
		t.Error("what is not IPv6 has an interface identifier")
	}
}

func TestIncrementalUpdate(t *testing.T) { // 1624-1, SIIT-29
	if got := update(0xdd2f, change(0x5555, 0x3285)); got != 0 {
		t.Errorf("update = %04x, want 0000", got)
	}
}
