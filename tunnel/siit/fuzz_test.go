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
func FuzzAgainstOracle(f *testing.F) {
	for kind := range kinds {
		for _, payload := range [][]byte{nil, {1}, []byte("ping"), bytes.Repeat([]byte{0xff}, 1433), bytes.Repeat([]byte{7, 0}, 700)} {
			f.Add(uint8(kind), uint8(0xfd), uint8(64), uint32(0xc00001bb), payload)
		}
	}
	f.Fuzz(func(t *testing.T, kind, tos, ttl uint8, ports uint32, payload []byte) {
		payload = payload[:min(len(payload), 60000)]
		ttl = max(ttl, 2)
		for _, c := range oracleConfigs() {
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

func same(t *testing.T, way string, want, got []byte) {
	t.Helper()
	if !bytes.Equal(want, got) {
		t.Errorf("%s (-oracle +siit):\n%s", way, cmp.Diff(hex.Dump(want), hex.Dump(got)))
	}
}

// FuzzNoPanic feeds anything. Whatever comes out must be whole, and what went in
// must be as before.
func FuzzNoPanic(f *testing.F) {
	for _, s := range []string{"", "45", v1out, v6in,
		"45000020 12344000 4011a676 c0000001 c0000221 13880035 000ccb58 68693634",
		"4502002c 12344000 4006a673 c0000001 c0000221 c00001bb 00000001 00000000 6002ffff 54470000 020405b4",
		"45000038 00000000 4001f97d c0000001 c0000221 03030000 00000000 4500001c 00000000 40110000 c0000221 c0000001 13880035 00080000"} {
		f.Add(unhex(s), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0), uint16(0))
	}
	f.Add(unhex(v1out), uint8(1), uint8(4), uint16(60), uint16(1400), uint16(40), uint16(16))
	f.Fuzz(func(t *testing.T, pkt []byte, flags, gso uint8, hdrLen, size, start, offset uint16) {
		before := bytes.Clone(pkt)
		h := vnethdr.Header{Flags: flags, GSOType: gso, HdrLen: hdrLen, GSOSize: size, CsumStart: start, CsumOffset: offset}
		b := NewBatch()
		_, v := translator(t, vectorConfig()).Translate(b, h, pkt)
		if !bytes.Equal(before, pkt) {
			t.Fatal("the input was changed")
		}
		if want := v.Kind() != Dropped; want != (len(b.Packets()) == 1) {
			t.Fatalf("verdict %v with %d packets", v, len(b.Packets()))
		}
		for _, p := range b.Packets() {
			consistent(t, whole(p))
		}
	})
}

// consistent checks what every IP packet must be.
func consistent(t *testing.T, p []byte) {
	t.Helper()
	switch {
	case len(p) >= 20 && p[0] == 0x45:
		if n := int(p[2])<<8 | int(p[3]); n != len(p) || sum(p[:20]) != 0xffff {
			t.Errorf("IPv4 packet of %d bytes says %d, header sum %04x", len(p), n, sum(p[:20]))
		}
	case len(p) >= 40 && p[0]>>4 == 6:
		if n := int(p[4])<<8 | int(p[5]); n+40 != len(p) {
			t.Errorf("IPv6 packet of %d bytes says %d", len(p), n+40)
		}
	default:
		t.Errorf("neither IPv4 nor IPv6: % x", p)
	}
}
