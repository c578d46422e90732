package siit

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// otherPrefixes are prefixes of all lengths but 96.
var otherPrefixes = [...]string{"2001:db8::/32", "2001:db8:100::/40", "2001:db8:122::/48", "2001:db8:122:300::/56", "2001:db8:122:344::/64"}

// fuzzConfigs are oracleConfigs and one with a prefix of another length.
func fuzzConfigs(pick int) []Config {
	c := oracleConfigs()[0]
	c.Prefix, c.CLAT6 = nat64.MustParse(otherPrefixes[pick%len(otherPrefixes)]), netip.MustParseAddr("2001:db9:1:2:c1a7::1")
	return append(oracleConfigs(), c)
}

// The two pairs of addresses of the oracle's tests: neutral and not.
func oracleConfigs() []Config {
	plain := Config{Prefix: nat64.MustParse("2001:db8:64:ff9b::/96"), CLAT4: netip.MustParseAddr("192.0.0.1"),
		CLAT6: netip.MustParseAddr("2001:db8:1:2:c1a7:0:0:1"), MTU4: 65515, MTU6: 65535}
	neutral := plain
	neutral.CLAT6 = netip.MustParseAddr("2001:db8:1:2:3d2a:9f10:7654:11fd")
	return []Config{plain, neutral}
}

var kinds = []string{"tcp", "udp", "icmp"}

// FuzzAgainstOracle compares byte for byte, both ways.
func FuzzAgainstOracle(f *testing.F) { // SIIT-29, SIIT-30, SIIT-34, 7915-40, 7915-44, 1624-2, R6052-2, R6052-14
	for kind := range kinds {
		for _, payload := range [][]byte{nil, {1}, []byte("ping"), bytes.Repeat([]byte{0xff}, 1433), bytes.Repeat([]byte{7, 0}, 700)} {
			f.Add(uint8(kind), uint8(0xfd), uint8(64), uint32(0xc00001bb), payload)
		}
	}
	f.Fuzz(func(t *testing.T, kind, tos, ttl uint8, ports uint32, payload []byte) {
		payload = payload[:min(len(payload), 60000)]
		ttl = max(ttl, 2)
		for _, c := range fuzzConfigs(len(payload)) {
			tr, b := translator(t, c), NewBatch()
			in := sample(t, c, kinds[int(kind)%len(kinds)], tos, ttl, ports, payload)
			if v := tr.To6(b, vnethdr.Header{}, in); v != OK {
				t.Fatalf("4to6: %v for % x", v, in)
			}
			six := only(t, b)
			same(t, "4to6", oracleTo6(t, c, in), six)
			answer := back(t, six)
			b.Reset()
			if v := tr.To4(b, vnethdr.Header{}, answer); v != OK {
				t.Fatalf("6to4: %v for % x", v, answer)
			}
			four := only(t, b)
			same(t, "6to4", forget(oracleTo4(t, c, answer)), forget(four))
			if sum(four[:20]) != 0xffff {
				t.Errorf("6to4: header checksum of % x is wrong", four[:20])
			}
		}
	})
}

func same(t testing.TB, way string, want, got []byte) {
	t.Helper()
	if !bytes.Equal(want, got) {
		t.Errorf("%s (-oracle +siit):\n%s", way, cmp.Diff(hex.Dump(want), hex.Dump(got)))
	}
}

// FuzzNoPanic feeds anything. Whatever comes out must be whole, and what went in
// must be as before.
func FuzzNoPanic(f *testing.F) { // SIIT-9
	for _, s := range []string{"", "45", v1out, v6in,
		"45000020 12344000 4011a676 c0000001 c0000221 13880035 000ccb58 68693634",
		"4502002c 12344000 4006a673 c0000001 c0000221 c00001bb 00000001 00000000 6002ffff 54470000 020405b4",
		"45000038 00000000 4001f97d c0000001 c0000221 03030000 00000000 4500001c 00000000 40110000 c0000221 c0000001 13880035 00080000"} {
		f.Add(unhex(s), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0), uint16(0))
	}
	f.Add(unhex(v1out), uint8(1), uint8(4), uint16(60), uint16(1400), uint16(40), uint16(16))
	for _, s := range []string{t8in, t9in} {
		f.Add(unhex(s), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0), uint16(0))
	}
	c := vectorConfig()
	udp := sample(f, c, "udp", 0, 64, 1, make([]byte, 1440))
	late := edit(bytes.Clone(udp), func(p []byte) { p[8] = 1 })
	cut := edit(bytes.Clone(udp), func(p []byte) { p[6] = 0 })
	six := oracleTo6(f, c, udp)
	for _, p := range [][]byte{udp, late, cut, error4(c, 11, 1, 0, oracleTo4(f, c, back(f, six))), error6(c, router, 3, 0, 0, six),
		back(f, six), edit(back(f, six), func(p []byte) { p[7] = 1 }), fragments6(back(f, six), 800, 9)[0], oracleTo4(f, c, back(f, six))} {
		f.Add(p, uint8(0), uint8(0), uint16(0), uint16(0), uint16(0), uint16(0))
	}
	h, p := super(f, small(), "tcp", 3000, 1400)
	f.Add(p, h.Flags, h.GSOType, h.HdrLen, h.GSOSize, h.CsumStart, h.CsumOffset)
	h, p = super6(f, small(), "udp", 3000, 1400)
	f.Add(p, h.Flags, h.GSOType, h.HdrLen, h.GSOSize, h.CsumStart, h.CsumOffset)
	f.Fuzz(func(t *testing.T, pkt []byte, flags, gso uint8, hdrLen, size, start, offset uint16) {
		h := vnethdr.Header{Flags: flags, GSOType: gso, HdrLen: hdrLen, GSOSize: size, CsumStart: start, CsumOffset: offset}
		anything(t, h, pkt)
		anything(t, h, dress(bytes.Clone(pkt[:min(len(pkt), 65535)])))
	})
}

// anything translates with a new batch, and out of a larger buffer with a batch
// that holds what was written before: it must come out the same.
func anything(t *testing.T, h vnethdr.Header, pkt []byte) {
	t.Helper()
	before, b := bytes.Clone(pkt), NewBatch()
	_, v := translator(t, vectorConfig()).Translate(b, h, pkt)
	if !bytes.Equal(before, pkt) {
		t.Fatal("the input was changed")
	}
	if want := v.Kind() != Dropped; want != (len(b.Packets()) > 0) || v.Kind() == Answered && len(b.Packets()) > 1 {
		t.Fatalf("verdict %v with %d packets", v, len(b.Packets()))
	}
	used := NewBatch()
	for i := range used.heads {
		used.heads[i] = 0xa5 // not a zero of the checksum
	}
	larger := append(bytes.Clone(pkt), bytes.Repeat([]byte{0x5a}, 200)...)
	if _, w := translator(t, vectorConfig()).Translate(used, h, larger[:len(pkt)]); w != v {
		t.Fatalf("verdict %v, and out of a larger buffer %v", v, w)
	}
	for i, p := range b.Packets() {
		out := whole(p)
		consistent(t, out)
		if !bytes.Equal(out, whole(used.Packets()[i])) {
			t.Errorf("with a batch and a buffer that were used before:\n% x\nwant\n% x", whole(used.Packets()[i]), out)
		}
		if p.Hdr.Flags&vnethdr.NeedsCsum != 0 && int(p.Hdr.CsumStart)+int(p.Hdr.CsumOffset)+2 > len(out) {
			t.Errorf("checksum at %d+%d of %d bytes", p.Hdr.CsumStart, p.Hdr.CsumOffset, len(out))
		}
		if v.Kind() == Answered && (p.Hdr != vnethdr.Header{} || out[0]>>4 != pkt[0]>>4) {
			t.Errorf("answer of version %d with offload state %+v", out[0]>>4, p.Hdr)
		}
	}
}

// dress gives a packet the addresses, the lengths and the checksums without
// which it would not come far, and leaves all else to chance.
func dress(p []byte) []byte {
	c := vectorConfig()
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		put16(p[2:], uint16(len(p)))
		copy(p[12:], c.CLAT4.AsSlice())
		if at := int(p[0]&15) * 4; p[9] == protoICMP && len(p) >= at+8 && p[at] != 8 {
			if len(p) >= at+28 {
				copy(p[at+24:], c.CLAT4.AsSlice())
			}
			clear(p[at+2 : at+4])
			put16(p[at+2:], inet(p[at:]))
		}
		edit(p, func([]byte) {})
	case len(p) >= 41 && p[0]>>4 == 6:
		put16(p[4:], uint16(len(p)-40))
		copy(p[24:], c.CLAT6.AsSlice())
		if p[6] == protoICMPv6 && len(p) >= 48 && p[40] < 128 {
			if len(p) >= 88 {
				copy(p[56:], c.CLAT6.AsSlice())
			}
			clear(p[42:44])
			put16(p[42:], inet(pseudo(p, 40, protoICMPv6), p[40:]))
		}
	}
	return p
}

// consistent checks what every IP packet must be.
func consistent(t testing.TB, p []byte) {
	t.Helper()
	switch {
	case len(p) >= 20 && p[0] == 0x45:
		if n := int(p[2])<<8 | int(p[3]); n != len(p) || inet(p[:20]) != 0 {
			t.Errorf("IPv4 packet of %d bytes says %d, header sum %04x", len(p), n, inet(p[:20]))
		}
		if part := p[6]&0x3f != 0 || p[7] != 0; !part && p[9] == protoICMP && p[20] != 0 && p[20] != 8 && (len(p) > 576 || inet(p[20:]) != 0) {
			t.Errorf("ICMPv4 error of %d bytes, sum %04x", len(p), inet(p[20:]))
		}
	case len(p) >= 40 && p[0]>>4 == 6:
		if n := int(p[4])<<8 | int(p[5]); n+40 != len(p) {
			t.Errorf("IPv6 packet of %d bytes says %d", len(p), n+40)
		}
		if p[6] == protoICMPv6 && p[40] < 128 && (len(p) > 1280 || inet(pseudo(p, 40, protoICMPv6), p[40:]) != 0) {
			t.Errorf("ICMPv6 error of %d bytes, sum %04x", len(p), inet(pseudo(p, 40, protoICMPv6), p[40:]))
		}
	default:
		t.Errorf("neither IPv4 nor IPv6: % x", p)
	}
}
