package siit

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

func TestOffloadThatDoesNotFitIsDropped(t *testing.T) {
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	tests := map[string]struct {
		kind   string
		change func(*vnethdr.Header)
		want   Verdict
	}{
		"as it should be": {"tcp", func(*vnethdr.Header) {}, OK},
		"ECN is kept":     {"tcp", func(h *vnethdr.Header) { h.GSOType |= vnethdr.GSOECN }, OK},
		"SIIT-88 super-packet, complete checksum": {"tcp", func(h *vnethdr.Header) { h.Flags = 0 }, Offload},
		"the other family's type":                 {"tcp", func(h *vnethdr.Header) { h.GSOType = vnethdr.GSOTCPv6 }, Offload},
		"UDP's type on TCP":                       {"tcp", func(h *vnethdr.Header) { h.GSOType = vnethdr.GSOUDPL4 }, Offload},
		"SIIT-85 UFO is not offered":              {"udp", func(h *vnethdr.Header) { h.GSOType = vnethdr.GSOUDP }, Offload},
		"SIIT-92 ECN alone":                       {"tcp", func(h *vnethdr.Header) { h.GSOType = vnethdr.GSOECN }, Offload},
		"segments of no size":                     {"tcp", func(h *vnethdr.Header) { h.GSOSize = 0 }, Offload},
		"checksum begins elsewhere":               {"tcp", func(h *vnethdr.Header) { h.CsumStart = 24 }, Offload},
		"checksum stands elsewhere":               {"tcp", func(h *vnethdr.Header) { h.CsumOffset = 6 }, Offload},
		"SIIT-90 segments too large":              {"tcp", func(h *vnethdr.Header) { h.GSOSize = 1441 }, AnsweredTooBig},
		"segments just fit":                       {"tcp", func(h *vnethdr.Header) { h.GSOSize = 1440 }, OK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h, p := super(t, c, tt.kind, 4000, 1400)
			tt.change(&h)
			b := NewBatch()
			if v := translator(t, c).To6(b, h, p); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			if tt.want == OK && b.Packets()[0].Hdr.GSOType&vnethdr.GSOECN != h.GSOType&vnethdr.GSOECN {
				t.Error("the ECN bit was lost")
			}
		})
	}
}

func TestOffloadThatDoesNotFitIsDropped6to4(t *testing.T) { // SIIT-86, SIIT-88, SIIT-89, SIIT-90
	c := small()
	tests := map[string]struct {
		kind   string
		change func(*vnethdr.Header)
		want   Verdict
	}{
		"as it should be":                 {"tcp", func(*vnethdr.Header) {}, OK},
		"UDP":                             {"udp", func(*vnethdr.Header) {}, OK},
		"ECN is kept":                     {"tcp", func(h *vnethdr.Header) { h.GSOType |= vnethdr.GSOECN }, OK},
		"super-packet, complete checksum": {"tcp", func(h *vnethdr.Header) { h.Flags = 0 }, Offload},
		"the other family's type":         {"tcp", func(h *vnethdr.Header) { h.GSOType = vnethdr.GSOTCPv4 }, Offload},
		"TCP's type on UDP":               {"udp", func(h *vnethdr.Header) { h.GSOType = vnethdr.GSOTCPv6 }, Offload},
		"ECN on UDP":                      {"udp", func(h *vnethdr.Header) { h.GSOType |= vnethdr.GSOECN }, Offload},
		"checksum begins elsewhere":       {"tcp", func(h *vnethdr.Header) { h.CsumStart = 20 }, Offload},
		"segments too large":              {"tcp", func(h *vnethdr.Header) { h.GSOSize = 1441 }, AnsweredTooBig},
		"segments just fit":               {"tcp", func(h *vnethdr.Header) { h.GSOSize = 1440 }, OK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h, p := super6(t, c, tt.kind, 4000, 1400)
			tt.change(&h)
			b := NewBatch()
			if v := translator(t, c).To4(b, h, p); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			if got := b.Packets(); tt.want == OK {
				want := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOTCPv4 | h.GSOType&vnethdr.GSOECN, HdrLen: 40, GSOSize: h.GSOSize, CsumStart: 20, CsumOffset: 16}
				if tt.kind == "udp" {
					want.GSOType, want.HdrLen, want.CsumOffset = vnethdr.GSOUDPL4, 28, 6
				}
				if got[0].Hdr != want {
					t.Errorf("offload state %+v, want %+v", got[0].Hdr, want)
				}
			}
		})
	}
}

// DF goes by the size of one segment on the wire, not of the super-packet.
func TestDontFragmentOfSuperPackets(t *testing.T) { // SIIT-25, SIIT-90
	c := small()
	for gso, want := range map[int]byte{1220: 0, 1221: 0x40, 536: 0, 1440: 0x40} {
		h, p := super6(t, c, "tcp", 8000, gso) // 40 bytes of headers in each segment
		b := NewBatch()
		if v := translator(t, c).To4(b, h, p); v != OK {
			t.Fatal(v)
		}
		if got := only(t, b)[6]; got != want {
			t.Errorf("segments of %d bytes: flags %02x, want %02x", 40+gso, got, want)
		}
	}
	for n, want := range map[int]byte{1232: 0, 1233: 0x40} { // no offload: 28 bytes of headers
		b := NewBatch()
		if v := translator(t, c).To4(b, vnethdr.Header{}, back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, make([]byte, n))))); v != OK {
			t.Fatal(v)
		}
		if got := only(t, b)[6]; got != want {
			t.Errorf("packet of %d bytes: flags %02x, want %02x", 28+n, got, want)
		}
	}
}

// Identification differs from packet to packet where it counts (7915-37), and is
// that of an atomic fragment (SIIT-26).
func TestIdentification(t *testing.T) { // SIIT-26, 7915-37
	c := small()
	tr, b := translator(t, c), NewBatch()
	p := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil)))
	seen := map[uint16]bool{}
	for range 1000 {
		b.Reset()
		if v := tr.To4(b, vnethdr.Header{}, p); v != OK {
			t.Fatal(v)
		}
		seen[binary.BigEndian.Uint16(only(t, b)[4:])] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 packets have %d Identifications", len(seen))
	}
	// An atomic fragment of any size may be fragmented again (7915-31).
	for _, n := range []int{4, 1400} {
		p = back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, make([]byte, n))))
		b.Reset()
		if v := tr.To4(b, vnethdr.Header{}, extension(p, 44, []byte{0, 0, 0, 0, 0xab, 0xcd, 0x12, 0x34})); v != OK {
			t.Fatal(v)
		}
		if got := only(t, b); binary.BigEndian.Uint32(got[4:]) != 0x12340000 || len(got) != 28+n {
			t.Errorf("%d bytes: Identification and flags % x, %d bytes in all", n, got[4:8], len(got))
		}
	}
}

// super6 is super as it comes from the network.
func super6(t testing.TB, c Config, kind string, n, gso int) (vnethdr.Header, []byte) {
	h, p := super(t, c, kind, n, gso)
	b := NewBatch()
	if v := translator(t, c).To6(b, h, p); v != OK {
		t.Fatal(v)
	}
	h, p = b.Packets()[0].Hdr, only(t, b)
	copy(p[8:24], p[24:40])
	copy(p[24:40], c.CLAT6.AsSlice())
	return h, p
}

// Options and extension headers, which are left out, move what offload points at.
func TestOffloadBehindOptions(t *testing.T) { // SIIT-86
	c := small()
	h, p := super(t, c, "tcp", 4000, 1400)
	h.CsumStart, h.HdrLen = 28, 48
	b := NewBatch()
	if v := translator(t, c).To6(b, h, options(p, make([]byte, 8))); v != OK {
		t.Fatal(v)
	}
	if got := b.Packets()[0].Hdr; got.CsumStart != 40 || got.HdrLen != 60 {
		t.Errorf("4to6: %+v", got)
	}
	h, p = super6(t, c, "tcp", 4000, 1400)
	h.CsumStart, h.HdrLen = 48, 68
	b.Reset()
	if v := translator(t, c).To4(b, h, extension(p, 60, make([]byte, 8))); v != OK {
		t.Fatal(v)
	}
	if got := b.Packets()[0].Hdr; got.CsumStart != 20 || got.HdrLen != 40 {
		t.Errorf("6to4: %+v", got)
	}
}

func TestSuperPacketTooLongForIPv4(t *testing.T) { // SIIT-89
	c := small()
	h, p := super6(t, c, "tcp", 65535-20-20, 1400)
	verdictWith(t, c, h, p, OK)
	p = append(p, 0)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	binary.BigEndian.PutUint16(p[56:], binary.BigEndian.Uint16(p[56:])+1) // the pseudo-header's length
	b := NewBatch()
	if v := translator(t, c).To4(b, h, p); v != OK {
		t.Fatal(v)
	}
	got := make([][]byte, 0, 60)
	for _, p := range b.Packets() {
		if p.Hdr != (vnethdr.Header{}) {
			t.Errorf("a segment has offload state %+v", p.Hdr)
		}
		got = append(got, whole(p))
	}
	alike(t, translator(t, c), translator(t, c).To4, cut(h, p), got)
}

func TestSegmentsOfICMPAreDropped(t *testing.T) { // SIIT-86, SIIT-92
	c := small()
	echo := sample(t, c, "icmp", 0, 64, 1, nil)
	six := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))
	for name, p := range map[string][]byte{
		"echo request": echo,
		"echo reply":   back(t, oracleTo6(t, c, echo)),
		"4to6 error":   error4(c, 3, 3, 0, oracleTo4(t, c, back(t, six))),
		"6to4 error":   error6(c, router, 1, 0, 0, six),
	} {
		for _, gso := range []uint8{vnethdr.GSOTCPv4, vnethdr.GSOTCPv6, vnethdr.GSOUDP, vnethdr.GSOUDPL4, vnethdr.GSOECN} {
			t.Run(fmt.Sprintf("%s, type %d", name, gso), func(t *testing.T) {
				verdictWith(t, c, vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: gso, GSOSize: 100, CsumStart: 20, CsumOffset: 2}, p, Offload)
			})
		}
	}
}

func verdictWith(t *testing.T, c Config, h vnethdr.Header, p []byte, want Verdict) {
	t.Helper()
	if _, v := translator(t, c).Translate(NewBatch(), h, p); v != want {
		t.Errorf("verdict %v, want %v", v, want)
	}
}
