package siit

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// every is the code of a row that holds for all codes.
const every = -1

// rows4 is SIIT-40 with the corrections of 7915 section 8.6, by ICMPv4 type and
// code; what is not in it is dropped.
var rows4 = map[[2]int][2]int{
	{0, 0}: {129, 0}, {8, 0}: {128, 0},
	{3, 0}: {1, 0}, {3, 1}: {1, 0}, {3, 2}: {4, 1}, {3, 3}: {1, 4}, {3, 4}: {2, 0}, {3, 5}: {1, 0}, {3, 6}: {1, 0}, {3, 7}: {1, 0},
	{3, 8}: {1, 0}, {3, 9}: {1, 1}, {3, 10}: {1, 1}, {3, 11}: {1, 0}, {3, 12}: {1, 0}, {3, 13}: {1, 1}, {3, 15}: {1, 1},
	{11, every}: {3, every}, {12, 0}: {4, 0}, {12, 2}: {4, 0},
}

// rows6 is SIIT-41 with the corrections of 7915 section 8.7.
var rows6 = map[[2]int][2]int{
	{128, 0}: {8, 0}, {129, 0}: {0, 0},
	{1, 0}: {3, 1}, {1, 1}: {3, 10}, {1, 2}: {3, 1}, {1, 3}: {3, 1}, {1, 4}: {3, 3},
	{2, every}: {3, 4}, {3, every}: {11, every}, {4, 0}: {12, 0}, {4, 1}: {3, 2},
}

// row finds the row for a type and code.
func row(rows map[[2]int][2]int, typ, code int) (to [2]int, ok bool) {
	if to, ok = rows[[2]int{typ, code}]; ok {
		return to, true
	}
	if to, ok = rows[[2]int{typ, every}]; ok && to[1] == every {
		to[1] = code
	}
	return to, ok
}

func TestEveryICMPv4TypeAndCode(t *testing.T) { // SIIT-40
	c := small()
	quote := oracleTo4(t, c, back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))))
	allTypes(t, rows4, func(b *Batch, typ, code uint8) (Verdict, func() [2]int) {
		v := translator(t, c).To6(b, vnethdr.Header{}, error4(c, typ, code, 0, quote))
		return v, func() [2]int {
			p := only(t, b)
			if inet(pseudo(p, 40, 58), p[40:]) != 0 {
				t.Errorf("type %d code %d: the checksum is wrong", typ, code)
			}
			return [2]int{int(p[40]), int(p[41])}
		}
	})
}

func TestEveryICMPv6TypeAndCode(t *testing.T) { // SIIT-41
	c := small()
	quote := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))
	allTypes(t, rows6, func(b *Batch, typ, code uint8) (Verdict, func() [2]int) {
		v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, "2001:db8:64:ff9b::c000:221", typ, code, 0, quote))
		return v, func() [2]int {
			p := only(t, b)
			if inet(p[20:]) != 0 || inet(p[:20]) != 0 {
				t.Errorf("type %d code %d: a checksum is wrong", typ, code)
			}
			return [2]int{int(p[20]), int(p[21])}
		}
	})
}

// allTypes compares all types and codes with the rows of a table.
func allTypes(t *testing.T, rows map[[2]int][2]int, translate func(b *Batch, typ, code uint8) (Verdict, func() [2]int)) {
	b := NewBatch()
	for typ := range 256 {
		for code := range 256 {
			b.Reset()
			want, ok := row(rows, typ, code)
			v, got := translate(b, uint8(typ), uint8(code))
			switch {
			case !ok && (v != ICMPType || len(b.Packets()) != 0):
				t.Fatalf("type %d code %d: %v, want %v", typ, code, v, ICMPType)
			case ok && v != OK:
				t.Fatalf("type %d code %d: %v, want it translated", typ, code, v)
			case ok && got() != want:
				t.Fatalf("type %d code %d became %v, want %v", typ, code, got(), want)
			}
		}
	}
}

func TestEveryPointer4to6(t *testing.T) { // SIIT-42, 7915 section 8.8, SIIT-44
	c := small()
	quote := oracleTo4(t, c, back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))))
	want := map[int]uint32{0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6, 12: 8, 13: 8, 14: 8, 15: 8, 16: 24, 17: 24, 18: 24, 19: 24}
	for ptr := range 256 {
		b := NewBatch()
		v := translator(t, c).To6(b, vnethdr.Header{}, error4(c, 12, 0, uint32(ptr)<<24, quote))
		if to, ok := want[ptr]; !ok && v != ICMPType || ok && (v != OK || binary.BigEndian.Uint32(only(t, b)[44:]) != to) {
			t.Errorf("pointer %d: %v, want %d, %v", ptr, v, to, ok)
		}
	}
}

func TestEveryPointer6to4(t *testing.T) { // SIIT-43, 7915 section 8.8, SIIT-44
	c := small()
	quote := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))
	want := map[uint32]uint32{0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8}
	for i := uint32(8); i < 24; i++ {
		want[i], want[i+16] = 12, 16
	}
	for _, ptr := range append(upTo(300), 0x100, 0x0c000000, 0xffffffff) {
		b := NewBatch()
		v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, router, 4, 0, ptr, quote))
		if to, ok := want[ptr]; !ok && v != ICMPType || ok && (v != OK || binary.BigEndian.Uint32(only(t, b)[24:]) != to<<24) {
			t.Errorf("pointer %d: %v, want %d, %v", ptr, v, to, ok)
		}
	}
}

func upTo(n uint32) (out []uint32) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

func TestMTUInFragmentationNeeded(t *testing.T) { // 7915-60, SIIT-50, SIIT-52
	tests := []struct{ mtu6, mtu4, said, quoted, want int }{
		{1500, 1480, 1400, 1480, 1420},
		{1500, 1480, 1480, 1480, 1500},
		{1500, 1480, 1481, 1480, 1500}, // bounded by our own IPv6 side
		{9000, 1480, 8000, 1480, 1500}, // bounded by our own IPv4 side
		{1500, 1480, 1260, 1480, 1280},
		{1500, 1480, 1259, 1480, 1280}, // never below 1280
		{1500, 1480, 1, 1480, 1280},
		{1500, 1480, 65535, 1480, 1500},
		{1280, 1260, 1400, 1480, 1280},
		{65535, 65515, 65535, 9000, 65535},
		{65535, 65515, 0, 65515, 32020}, // no MTU said: plateaus
		{65535, 65515, 0, 32000, 17934},
		{65535, 65515, 0, 9000, 8186},
		{65535, 65515, 0, 8166, 4372},
		{65535, 65515, 0, 2002, 1512},
		{65535, 65515, 0, 1500, 1512},
		{1500, 1480, 0, 1500, 1500},
		{65535, 65515, 0, 1493, 1512},
		{65535, 65515, 0, 1492, 1280},
		{65535, 65515, 0, 28, 1280},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			c := oracleConfigs()[0]
			c.MTU6, c.MTU4 = tt.mtu6, tt.mtu4
			quote := oracleTo4(t, c, back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))))
			binary.BigEndian.PutUint16(quote[2:], uint16(tt.quoted))
			b := NewBatch()
			if v := translator(t, c).To6(b, vnethdr.Header{}, error4(c, 3, 4, uint32(tt.said), quote)); v != OK {
				t.Fatal(v)
			}
			if got := binary.BigEndian.Uint32(only(t, b)[44:]); got != uint32(tt.want) {
				t.Errorf("MTU %d, want %d", got, tt.want)
			}
		})
	}
}

func TestMTUInPacketTooBig(t *testing.T) { // 7915-61, 7915-62, SIIT-51, SEC-12
	tests := []struct {
		mtu6, mtu4 int
		said       uint32
		atomic     bool // the quoted packet has a Fragment Header
		want       uint32
	}{
		{1500, 1480, 1400, false, 1380},
		{1500, 1480, 1500, false, 1480},
		{1500, 1480, 1501, false, 1480},
		{1500, 1480, 9000, false, 1480},
		{9000, 1480, 4000, false, 1480}, // bounded by our own IPv4 side
		{1500, 8980, 4000, false, 1480}, // bounded by our own IPv6 side
		{1500, 1480, 1281, false, 1261},
		{1500, 1480, 1280, false, 1260},
		{1500, 1480, 1279, false, 1260}, // never less than 1280
		{1500, 1480, 68, false, 1260},
		{1500, 1480, 0, false, 1260},
		{1500, 1480, 0xffffffff, false, 1480}, // 32 bits
		{65535, 65515, 0x10005dc, false, 65515},
		{1500, 1480, 1400, true, 1372},
		{1500, 1480, 1280, true, 1252},
		{1500, 1480, 600, true, 1252},
		{1500, 1480, 9000, true, 1480},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			c := oracleConfigs()[0]
			c.MTU6, c.MTU4 = tt.mtu6, tt.mtu4
			quote := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))
			if tt.atomic {
				quote = extension(quote, 44, make([]byte, 8))
			}
			b := NewBatch()
			if v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, router, 2, 0, tt.said, quote)); v != OK {
				t.Fatal(v)
			}
			if got := binary.BigEndian.Uint32(only(t, b)[24:]); got != tt.want {
				t.Errorf("MTU %d, want %d", got, tt.want)
			}
		})
	}
}

func TestTrafficClassIsKept(t *testing.T) { // SIIT-10, SIIT-24: all 8 bits, ECN among them
	c := small()
	for tos := range 256 {
		b, tr := NewBatch(), translator(t, c)
		in := sample(t, c, "udp", uint8(tos), 64, 1, nil)
		if v := tr.To6(b, vnethdr.Header{}, in); v != OK {
			t.Fatal(v)
		}
		six := only(t, b)
		if got := binary.BigEndian.Uint32(six); got != 0x60000000|uint32(tos)<<20 {
			t.Errorf("TOS %02x: first word %08x", tos, got)
		}
		answer := back(t, six)
		answer[1], answer[2], answer[3] = answer[1]|0x0f, 0xff, 0xff // a flow label, which is lost
		b.Reset()
		if v := tr.To4(b, vnethdr.Header{}, answer); v != OK || only(t, b)[1] != uint8(tos) {
			t.Errorf("Traffic Class %02x: %v, TOS %02x", tos, v, b.Packets()[0].Head[1])
		}
		b.Reset()
		if v := tr.To4(b, vnethdr.Header{}, error6(c, router, 1, 0, 0, six)); v != OK || only(t, b)[29] != uint8(tos) {
			t.Errorf("Traffic Class %02x in a quote: %v", tos, v)
		}
	}
}
