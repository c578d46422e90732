package siit

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

func TestUDPWithoutChecksumByConfiguration(t *testing.T) { // SIIT-31, SIIT-32, 7915-41, 7915-43
	c := small()
	in := sample(t, c, "udp", 0, 64, 1, []byte("none"))
	in[26], in[27] = 0, 0
	six := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, []byte("none"))))
	six[46], six[47] = 0, 0
	tests := map[string]struct {
		change func(*Config)
		in     []byte
		want   Verdict
	}{
		"computed":             {func(*Config) {}, in, FilledChecksum},
		"dropped":              {func(c *Config) { c.DropZeroUDP = true }, in, ZeroChecksum},
		"from IPv6: dropped":   {func(*Config) {}, six, ZeroChecksum},
		"from IPv6: forwarded": {func(c *Config) { c.PassZeroUDP = true }, six, OK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := small()
			tt.change(&c)
			b := NewBatch()
			if _, v := translator(t, c).Translate(b, vnethdr.Header{}, tt.in); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			if c.PassZeroUDP {
				if p := only(t, b); p[26] != 0 || p[27] != 0 {
					t.Errorf("no checksum became % x", p[26:28])
				}
			}
		})
	}
}

func TestDSCPCanBeCleared(t *testing.T) { // SIIT-10, SIIT-24, 7915-10, 7915-30
	c := small()
	c.ClearDSCP = true
	tr, b := translator(t, c), NewBatch()
	for tos := range 256 {
		b.Reset()
		in := sample(t, c, "udp", uint8(tos), 64, 1, nil)
		tr.To6(b, vnethdr.Header{}, in)
		if got := binary.BigEndian.Uint32(only(t, b)); got != 0x60000000|uint32(tos&3)<<20 {
			t.Fatalf("TOS %02x became %08x", tos, got)
		}
		answer := back(t, oracleTo6(t, c, in))
		b.Reset()
		tr.To4(b, vnethdr.Header{}, answer)
		if got := only(t, b)[1]; got != uint8(tos&3) {
			t.Fatalf("Traffic Class %02x became %02x", tos, got)
		}
	}
}

func TestProhibitedIsSaid(t *testing.T) { // SIIT-66, 7915-80, 7915-81, 7915-82
	c := vectorConfig()
	c.NonGlobal = nat64.NonGlobalNever
	udp := sample(t, c, "udp", 0, 64, 1, make([]byte, 600))
	six := func(kind string, change func(p []byte)) []byte {
		p := back(t, oracleTo6(t, c, sample(t, c, kind, 0, 64, 1, make([]byte, 1300))))
		change(p)
		return p
	}
	tests := map[string]struct {
		in        []byte
		want      Verdict
		silent    Verdict
		type4, to byte
	}{
		"to where the prefix may not lead": {udp, AnsweredNonGlobal, NotAllowed, 3, 13},
		"an echo request there":            {sample(t, c, "icmp", 0, 64, 1, nil), AnsweredNonGlobal, NotAllowed, 3, 13},
		"an ICMP error there":              {edit(sample(t, c, "icmp", 0, 64, 1, nil), func(p []byte) { p[20] = 3 }), NotAllowed, NotAllowed, 0, 0},
		"protocol that IPv6 knows otherwise": {edit(bytes.Clone(udp), func(p []byte) { p[9] = 43; copy(p[16:], []byte{8, 8, 8, 8}) }),
			AnsweredProtocol, BadProtocol, 3, 13},
		"IGMP":                               {edit(bytes.Clone(udp), func(p []byte) { p[9] = 2; copy(p[16:], []byte{8, 8, 8, 8}) }), BadProtocol, BadProtocol, 0, 0},
		"from where the prefix may not lead": {six("udp", func([]byte) {}), AnsweredNonGlobal, NotAllowed, 1, 1},
		"from outside the prefix":            {six("udp", func(p []byte) { p[0+8] = 0x20 }), AnsweredOutside, OutsidePrefix, 1, 1},
		"ICMPv6 of any kind from outside the prefix": {six("icmp", func(p []byte) { p[8] = 0x20 }), OutsidePrefix, OutsidePrefix, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if _, v := translator(t, c).Translate(b, vnethdr.Header{}, tt.in); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			if tt.want.Kind() == Answered {
				p := only(t, b)
				consistent(t, p)
				at := 20
				if p[0]>>4 == 6 {
					at = 40
				}
				if p[at] != tt.type4 || p[at+1] != tt.to {
					t.Errorf("answer %d/%d, want %d/%d", p[at], p[at+1], tt.type4, tt.to)
				}
			}
			quiet := c
			quiet.Silent = true
			silent(t, quiet, tt.in, tt.silent)
		})
	}
}

// DCCP and UDP-Lite have checksums that cover the addresses; the packets are
// made by hand, since the checksum stands where UDP's stands.
func TestOtherChecksumsThatCoverAddresses(t *testing.T) { // SIIT-35, 7915-40
	for proto, name := range map[byte]string{33: "DCCP", 136: "UDP-Lite"} {
		for _, c := range oracleConfigs() {
			t.Run(name, func(t *testing.T) {
				in := edit(sample(t, c, "udp", 0, 64, 1, []byte("odd bytes")), func(p []byte) {
					p[9] = proto
					clear(p[26:28])
					put16(p[26:], inet(p[12:20], []byte{0, proto, 0, byte(len(p) - 20)}, p[20:]))
				})
				b := NewBatch()
				if v := translator(t, c).To6(b, vnethdr.Header{}, in); v != OK {
					t.Fatal(v)
				}
				six := only(t, b)
				if inet(pseudo(six, 40, proto), six[40:]) != 0 {
					t.Errorf("wrong checksum in % x", six)
				}
				answer := bytes.Clone(six)
				copy(answer[8:], six[24:40])
				copy(answer[24:], six[8:24])
				b.Reset()
				if v := translator(t, c).To4(b, vnethdr.Header{}, answer); v != OK {
					t.Fatal(v)
				}
				if got := only(t, b); !bytes.Equal(got[20:], in[20:]) {
					t.Errorf("came back as % x, was % x", got[20:], in[20:])
				}
			})
		}
	}
}

// Transports without such a checksum pass with their bytes as they are.
func TestUnknownTransportsPassUntouched(t *testing.T) { // SIIT-35, 7915-13
	c := small()
	for proto := range 256 {
		switch byte(proto) {
		case 0, 1, 2, 6, 17, 33, 43, 44, 51, 58, 59, 60, 135, 136:
			continue
		}
		in := edit(sample(t, c, "udp", 0, 64, 1, []byte("anything")), func(p []byte) { p[9] = byte(proto) })
		b := NewBatch()
		if v := translator(t, c).To6(b, vnethdr.Header{}, in); v != OK {
			t.Fatalf("protocol %d: %v", proto, v)
		}
		six := only(t, b)
		if six[6] != byte(proto) || !bytes.Equal(six[40:], in[20:]) {
			t.Errorf("protocol %d became % x", proto, six)
		}
		answer := bytes.Clone(six)
		copy(answer[8:], six[24:40])
		copy(answer[24:], six[8:24])
		b.Reset()
		if v := translator(t, c).To4(b, vnethdr.Header{}, answer); v != OK {
			t.Fatalf("protocol %d back: %v", proto, v)
		}
		if got := only(t, b); got[9] != byte(proto) || !bytes.Equal(got[20:], in[20:]) {
			t.Errorf("protocol %d came back as % x", proto, got)
		}
	}
}
