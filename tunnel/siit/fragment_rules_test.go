package siit

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

func TestFragmentsThatCannotPass(t *testing.T) { // SIIT-21, SIIT-22, SIIT-31, SIIT-65, 7915-2, 7915-32, 7915-41, SEC-14
	c := small()
	big := func(kind string) []byte {
		return edit(sample(t, c, kind, 0, 64, 1, make([]byte, 2000)), func(p []byte) { clear(p[6:8]) })
	}
	nth := func(p []byte, size, n int) []byte { return fragments4(p, size, false)[n] }
	nth6 := func(p []byte, size, n int) []byte { return fragments6(back(t, oracleTo6(t, c, p)), size, 7)[n] }
	noSum := big("udp")
	noSum[26], noSum[27] = 0, 0
	noSum6 := nth6(big("udp"), 1000, 0)
	noSum6[54], noSum6[55] = 0, 0
	word := func(p []byte, w uint16) []byte { return edit(bytes.Clone(p), func(p []byte) { put16(p[6:], w) }) }
	tests := map[string]struct {
		in   []byte
		want Verdict
	}{
		"first of ICMP":                          {nth(big("icmp"), 1000, 0), FragmentedICMP},
		"last of ICMP":                           {nth(big("icmp"), 1000, 2), FragmentedICMP},
		"first of ICMPv6":                        {nth6(big("icmp"), 1000, 0), FragmentedICMP},
		"last of ICMPv6":                         {nth6(big("icmp"), 1000, 2), FragmentedICMP},
		"first of an ICMP error":                 {edit(nth(big("icmp"), 1000, 0), func(p []byte) { p[20] = 3 }), FragmentedICMP},
		"first of TCP in 8 bytes":                {nth(big("tcp"), 8, 0), TinyFragment},
		"first of TCP in 16 bytes, no checksum":  {nth(big("tcp"), 16, 0), TinyFragment},
		"first of TCP in 24 bytes":               {nth(big("tcp"), 24, 0), OK},
		"second of TCP in 8 bytes":               {nth(big("tcp"), 8, 1), OK},
		"first of UDP in 8 bytes":                {nth(big("udp"), 8, 0), OK},
		"first of TCP in IPv6, 16 bytes":         {nth6(big("tcp"), 16, 0), TinyFragment},
		"first of UDP without checksum":          {nth(noSum, 1000, 0), ZeroChecksum},
		"later ones cannot be told":              {nth(noSum, 1000, 1), OK},
		"first of IPv6 UDP without checksum":     {noSum6, ZeroChecksum},
		"UDP length of a first fragment below 8": {edit(nth(big("udp"), 1000, 0), func(p []byte) { put16(p[24:], 7) }), Malformed},
		"TCP offset below 5 in a first fragment": {edit(nth(big("tcp"), 1000, 0), func(p []byte) { p[32] = 0x40 }), Malformed},
		"not whole units and more follow":        {edit(nth(big("udp"), 1000, 0)[:1019], func(p []byte) { put16(p[2:], 1019) }), BadFragment},
		"nothing in it":                          {edit(nth(big("udp"), 1000, 1)[:20], func(p []byte) { put16(p[2:], 20) }), BadFragment},
		"past the end of a datagram":             {word(nth(big("udp"), 1000, 2), 0x1fff), BadFragment},
		"past the end of a datagram in IPv6":     {func() []byte { p := nth6(big("udp"), 1000, 2); put16(p[42:], 0xfff8); return p }(), BadFragment},
		"not whole units in IPv6":                {func() []byte { p := nth6(big("udp"), 1000, 0)[:1047]; put16(p[4:], 1007); return p }(), BadFragment},
		"past the end of what IPv4 can hold":     {func() []byte { p := nth6(big("udp"), 1000, 2); put16(p[42:], 65520); return p }(), BadFragment},
		"just at the end": {func() []byte {
			p := nth6(big("udp"), 1000, 2)[:48+3]
			put16(p[4:], 8+3)
			put16(p[42:], 65512)
			return p
		}(), OK},
		"reserved bits of a Fragment Header":      {func() []byte { p := nth6(big("udp"), 1000, 1); p[41], p[43] = 0xff, p[43]|6; return p }(), OK},
		"a fragment of GRE":                       {edit(nth(big("udp"), 1000, 0), func(p []byte) { p[9] = 47 }), OK},
		"TTL runs out, first":                     {edit(nth(big("udp"), 1000, 0), func(p []byte) { p[8] = 1 }), AnsweredTTL},
		"TTL runs out, later: not answered":       {edit(nth(big("udp"), 1000, 1), func(p []byte) { p[8] = 1 }), TTLExpired},
		"Hop Limit runs out, later: not answered": {func() []byte { p := nth6(big("udp"), 1000, 1); p[7] = 1; return p }(), TTLExpired},
		"DF=1, too big, later: not answered":      {fragments4(sample(t, c, "udp", 0, 64, 1, make([]byte, 5000)), 1480, true)[1], TooBig},
		"AH behind a Fragment Header":             {extension(func() []byte { p := back(t, oracleTo6(t, c, big("udp"))); p[6] = 51; return p }(), 44, []byte{0, 0, 0, 1, 0, 0, 0, 1}), BadFragment},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { verdict(t, c, tt.in, tt.want) })
	}
}

// Offload state on a fragment cannot be right: its checksum is not in one piece.
func TestFragmentsWithOffloadState(t *testing.T) {
	c := small()
	p := fragments4(edit(sample(t, c, "udp", 0, 64, 1, make([]byte, 2000)), func(p []byte) { clear(p[6:8]) }), 1000, false)[0]
	verdictWith(t, c, vnethdr.Header{Flags: vnethdr.NeedsCsum, CsumStart: 20, CsumOffset: 6}, p, Offload)
	verdictWith(t, c, vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOUDPL4, GSOSize: 100, CsumStart: 20, CsumOffset: 6}, p, Offload)
	verdictWith(t, c, vnethdr.Header{GSOType: vnethdr.GSOUDPL4, GSOSize: 100}, p, Offload)
}

// A device that checked a fragment as far as it goes says so, and no more.
func TestVerifiedFragments(t *testing.T) { // SIIT-88
	c := small()
	whole := sample(t, c, "udp", 0, 64, 1, make([]byte, 2000))
	in := fragments4(edit(whole, func(p []byte) { clear(p[6:8]) }), 1000, false)
	in = append(in, fragments6(back(t, oracleTo6(t, c, whole)), 1000, 7)...)
	for i, p := range in {
		b := NewBatch()
		if _, v := translator(t, c).Translate(b, vnethdr.Header{Flags: vnethdr.DataValid}, p); v != OK {
			t.Fatalf("fragment %d: %v", i, v)
		}
		wholes(t, b)
	}
}

// What a Fragment Header holds may be longer than IPv4 can say.
func TestAtomicFragmentTooLongForIPv4(t *testing.T) { // SIIT-26, SIIT-89
	c := small()
	for size, want := range map[int]Verdict{65515: OK, 65516: BadFragment, 65527: BadFragment} {
		p := make([]byte, 48+size)
		copy(p, extension(back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))), 44, make([]byte, 8)))
		put16(p[4:], uint16(8+size))
		put16(p[52:], uint16(size))
		b := NewBatch()
		if v := translator(t, c).To4(b, vnethdr.Header{}, p); v != want {
			t.Fatalf("%d bytes: %v, want %v", size, v, want)
		}
		for _, p := range wholes(t, b) {
			consistent(t, p)
			if p[1] != 0 {
				t.Errorf("%d bytes: TOS %02x", size, p[1])
			}
		}
	}
}

// A checksum that the host left to a device is completed before the packet is
// cut, since nobody can afterwards.
func TestPartialChecksumIsCompletedBeforeCutting(t *testing.T) { // SIIT-19, SIIT-87
	for _, kind := range []string{"tcp", "udp"} {
		for _, c := range oracleConfigs() {
			c.MTU6, c.MTU4 = 1500, 600
			h, p := super(t, c, kind, 1400, 0)
			h.GSOType = vnethdr.GSONone
			edit(p, func(p []byte) { p[6] &^= 0x40 })
			complete := sample(t, c, kind, 2, 64, 0xc00001bb, p[len(p)-1400:])
			want := oracleTo6(t, c, complete)
			b := NewBatch()
			if v := translator(t, c).To6(b, h, p); v != OK || len(b.Packets()) != 2 {
				t.Fatalf("%v, %d packets", v, len(b.Packets()))
			}
			same(t, kind+" 4to6", want, reassemble(t, wholes(t, b), 1280, 7))

			answer := back(t, oracleTo6(t, c, sample(t, c, kind, 2, 64, 0xc00001bb, p[len(p)-1100:])))
			want = oracleTo4(t, c, answer)
			h.CsumStart = 40
			at := 40 + int(h.CsumOffset)
			put16(answer[at:], ^inet(pseudo(answer, 40, answer[6])))
			b.Reset()
			if v := translator(t, c).To4(b, h, answer); v != OK || len(b.Packets()) != 2 {
				t.Fatalf("%v, %d packets", v, len(b.Packets()))
			}
			four := wholes(t, b)
			same(t, kind+" 6to4", forget(want), forget(reassemble(t, four, 600, take(t, four[0]).ident)))
		}
	}
}

// wholes puts the packets of a batch together and checks that none has offload
// state.
func wholes(t testing.TB, b *Batch) (out [][]byte) {
	for _, p := range b.Packets() {
		if p.Hdr != (vnethdr.Header{}) {
			t.Errorf("offload state %+v", p.Hdr)
		}
		out = append(out, whole(p))
	}
	return out
}

// Segments that have to be fragmented are cut in software first.
func TestSuperPacketsWhoseSegmentsAreFragmented(t *testing.T) { // SIIT-90, SIIT-91
	for _, kind := range []string{"tcp", "udp"} {
		t.Run(kind, func(t *testing.T) {
			c := small()
			h, p := super(t, c, kind, 5000, 1400)
			edit(p, func(p []byte) { p[6] &^= 0x40 })
			b := NewBatch()
			if v := translator(t, c).To6(b, h, p); v != OK {
				t.Fatal(v)
			}
			got, segments := wholes(t, b), cut(h, p)
			for i, s := range segments {
				want := oracleTo6(t, c, s)
				n := 1
				if len(want) > 1280 {
					n = 2
					same(t, fmt.Sprintf("segment %d", i), want, reassemble(t, got[:n], 1280, uint32(7+i)))
				} else {
					same(t, fmt.Sprintf("segment %d", i), want, got[0])
				}
				got = got[n:]
			}
			if len(got) != 0 {
				t.Errorf("%d packets too many", len(got))
			}
			c.MTU4 = 900
			h6, p6 := super6(t, c, kind, 5000, 1100)
			b.Reset()
			if v := translator(t, c).To4(b, h6, p6); v != OK {
				t.Fatal(v)
			}
			got = wholes(t, b)
			for i, s := range cut(h6, p6) {
				want := oracleTo4(t, c, s)
				n := (len(want) + 879) / 880
				if n == 1 {
					same(t, fmt.Sprintf("segment %d", i), forget(want), forget(got[0]))
				} else {
					same(t, fmt.Sprintf("segment %d", i), forget(want), forget(reassemble(t, got[:n], 900, take(t, got[0]).ident)))
				}
				got = got[n:]
			}
		})
	}
}

// CWR belongs to the first segment alone, FIN and PSH to the last.
func TestFlagsOfSegments(t *testing.T) { // SIIT-91, SIIT-92
	c := small()
	h, p := super(t, c, "tcp", 4000, 1400)
	h.GSOType |= vnethdr.GSOECN
	edit(p, func(p []byte) { p[6] &^= 0x40; p[33] |= flagFIN | flagPSH | flagCWR })
	b := NewBatch()
	if v := translator(t, c).To6(b, h, p); v != OK {
		t.Fatal(v)
	}
	var got []byte
	for _, p := range wholes(t, b) {
		if p[6] == protoTCP { // the last segment is small enough
			got = append(got, p[53]&(flagFIN|flagPSH|flagCWR))
		} else if f := take(t, p); f.at == 0 {
			got = append(got, f.body[13]&(flagFIN|flagPSH|flagCWR))
		}
	}
	if want := []byte{flagCWR, 0, flagFIN | flagPSH}; !bytes.Equal(got, want) {
		t.Errorf("flags %x, want %x", got, want)
	}
}
