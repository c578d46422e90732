package siit

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// inet is the checksum of RFC 1071 in its plainest form, so that what the
// package writes is not judged by the package's own arithmetic. It is 0 over
// bytes that hold their valid checksum.
func inet(parts ...[]byte) uint16 {
	b := bytes.Join(parts, nil)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	s := 0
	for i := 0; i < len(b); i += 2 {
		s += int(b[i])<<8 | int(b[i+1])
		s = s%0x10000 + s/0x10000
	}
	return ^uint16(s)
}

// pseudo is the IPv6 pseudo-header of a packet whose upper layer begins at at,
// RFC 8200 section 8.1.
func pseudo(p []byte, at int, next byte) []byte {
	n := len(p) - at
	return append(bytes.Clone(p[8:40]), 0, byte(n>>16), byte(n>>8), byte(n), 0, 0, 0, next)
}

// small is the configuration with usual MTUs.
func small() Config {
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	return c
}

func TestAnswersToTheHost(t *testing.T) { // SIIT-66, SIIT-69, 7915-74, 7915-85
	c := small()
	udp := func(n int) []byte { return sample(t, c, "udp", 0x2e, 64, 1, make([]byte, n)) }
	ttl := func(p []byte) []byte { return edit(p, func(p []byte) { p[8] = 1 }) }
	tests := map[string]struct {
		in   []byte
		want Verdict
		head [3]uint32 // type, code, last four bytes of the ICMP header
		size int
	}{
		"TTL ran out, small packet is quoted whole": {ttl(udp(10)), AnsweredTTL, [3]uint32{11, 0, 0}, 28 + 38},
		"TTL ran out, large packet is cut":          {ttl(udp(1000)), AnsweredTTL, [3]uint32{11, 0, 0}, 576},
		"one byte less than is cut":                 {ttl(udp(520)), AnsweredTTL, [3]uint32{11, 0, 0}, 576},
		"an echo request may be answered":           {ttl(sample(t, c, "icmp", 0, 64, 1, nil)), AnsweredTTL, [3]uint32{11, 0, 0}, 28 + 28},
		"too big":                                   {udp(1453), AnsweredTooBig, [3]uint32{3, 4, 1480}, 576},
		"an echo request that is too big":           {sample(t, c, "icmp", 0, 64, 1, make([]byte, 1453)), AnsweredTooBig, [3]uint32{3, 4, 1480}, 576},
		"source route":                              {options(udp(4), []byte{131, 7, 4, 10, 0, 0, 1, 0}), AnsweredSourceRoute, [3]uint32{3, 5, 0}, 28 + 40},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if v := translator(t, c).To6(b, vnethdr.Header{}, tt.in); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			p := only(t, b)
			if got := [3]uint32{uint32(p[20]), uint32(p[21]), binary.BigEndian.Uint32(p[24:])}; got != tt.head {
				t.Errorf("type, code and rest are %v, want %v", got, tt.head)
			}
			if len(p) != tt.size || int(binary.BigEndian.Uint16(p[2:])) != tt.size {
				t.Errorf("%d bytes, want %d", len(p), tt.size)
			}
			if p[1] != 0xc0 || p[8] != 64 || p[9] != 1 || [4]byte(p[12:16]) != [4]byte{192, 0, 0, 8} || [4]byte(p[16:20]) != c.CLAT4.As4() {
				t.Errorf("header % x", p[:20])
			}
			if inet(p[:20]) != 0 || inet(p[20:]) != 0 {
				t.Error("a checksum is wrong")
			}
			if !bytes.HasPrefix(tt.in, p[28:]) {
				t.Error("the quote is not the packet")
			}
		})
	}
}

func TestAnswersToTheNetwork(t *testing.T) { // SIIT-66, SIIT-69, SIIT-27, 7915-74
	c := small()
	udp := func(n int) []byte {
		return back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, make([]byte, n))))
	}
	ttl := func(p []byte) []byte { p[7] = 1; return p }
	routing := []byte{0, 0, 0, 1, 0, 0, 0, 0}
	tests := map[string]struct {
		in   []byte
		want Verdict
		head [3]uint32
		size int
	}{
		"Hop Limit ran out, small packet":      {ttl(udp(10)), AnsweredTTL, [3]uint32{3, 0, 0}, 48 + 58},
		"Hop Limit ran out, just quoted whole": {ttl(udp(1184)), AnsweredTTL, [3]uint32{3, 0, 0}, 1280},
		"Hop Limit ran out, cut":               {ttl(udp(1185)), AnsweredTTL, [3]uint32{3, 0, 0}, 1280},
		"an echo may be answered":              {ttl(back(t, oracleTo6(t, c, sample(t, c, "icmp", 0, 64, 1, nil)))), AnsweredTTL, [3]uint32{3, 0, 0}, 48 + 48},
		"too big":                              {udp(1453), AnsweredTooBig, [3]uint32{2, 0, 1500}, 1280},
		"routing header first":                 {extension(udp(4), 43, routing), AnsweredRouting, [3]uint32{4, 0, 43}, 48 + 60},
		"routing header second":                {extension(extension(udp(4), 43, routing), 60, append([]byte{0, 1}, make([]byte, 14)...)), AnsweredRouting, [3]uint32{4, 0, 59}, 48 + 76},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if v := translator(t, c).To4(b, vnethdr.Header{}, tt.in); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			p := only(t, b)
			if got := [3]uint32{uint32(p[40]), uint32(p[41]), binary.BigEndian.Uint32(p[44:])}; got != tt.head {
				t.Errorf("type, code and rest are %v, want %v", got, tt.head)
			}
			if len(p) != tt.size || int(binary.BigEndian.Uint16(p[4:])) != tt.size-40 {
				t.Errorf("%d bytes, want %d", len(p), tt.size)
			}
			if p[6] != 58 || p[7] != 64 || netip.AddrFrom16([16]byte(p[8:24])) != c.CLAT6 || !bytes.Equal(p[24:40], tt.in[8:24]) {
				t.Errorf("header % x", p[:40])
			}
			if inet(pseudo(p, 40, 58), p[40:]) != 0 {
				t.Error("the checksum is wrong")
			}
			if !bytes.HasPrefix(tt.in, p[48:]) {
				t.Error("the quote is not the packet")
			}
		})
	}
}

func TestErrorsAreNeverAnswered4to6(t *testing.T) { // SIIT-67, 7915-83, SEC-13
	c := small()
	for _, typ := range []byte{3, 4, 5, 11, 12} {
		in := edit(sample(t, c, "icmp", 0, 64, 1, nil), func(p []byte) { p[20] = typ })
		late := edit(bytes.Clone(in), func(p []byte) { p[8] = 1 })
		silent(t, c, late, TTLExpired)
		silent(t, c, options(in, []byte{131, 7, 4, 10, 0, 0, 1, 0}), SourceRouted)
	}
	silent(t, c, edit(sample(t, c, "icmp", 0, 1, 1, nil)[:20], func(p []byte) { p[3], p[8] = 20, 1 }), TTLExpired)
	silent(t, c, edit(sample(t, c, "udp", 0, 64, 1, make([]byte, 40)), func(p []byte) { p[6], p[7], p[8] = 0, 1, 1 }), TTLExpired)
}

func TestErrorsAreNeverAnswered6to4(t *testing.T) { // SIIT-67, 7915-83, SEC-13
	c := small()
	echo := back(t, oracleTo6(t, c, sample(t, c, "icmp", 0, 64, 1, nil)))
	routing := []byte{0, 0, 0, 1, 0, 0, 0, 0}
	// Errors, and what only concerns one link: redirect, neighbours, listeners.
	for _, typ := range []byte{1, 2, 3, 4, 5, 127, 130, 131, 132, 133, 134, 135, 136, 137, 143} {
		in := bytes.Clone(echo)
		in[40] = typ
		silent(t, c, extension(in, 43, routing), SourceRouted)
		if typ >= 128 {
			in[7] = 1
			silent(t, c, in, TTLExpired)
		}
	}
	udp := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil)))
	for _, src := range []string{"::", "::1", "ff02::1", "::ffff:192.0.2.33", "fe80::1"} { // SIIT-5, SIIT-6
		in, a := extension(udp, 43, routing), netip.MustParseAddr(src).As16()
		copy(in[8:], a[:])
		silent(t, c, in, SourceRouted)
	}
	for _, src := range [][4]byte{{0, 0, 0, 1}, {127, 0, 0, 1}, {224, 0, 0, 251}, {255, 255, 255, 255}, c.CLAT4.As4()} { // SIIT-6
		in := extension(udp, 43, routing)
		copy(in[20:], src[:])
		silent(t, c, in, Martian)
	}
}

// silent checks that a packet is dropped for the reason given and that nothing
// comes out.
func silent(t *testing.T, c Config, in []byte, want Verdict) {
	t.Helper()
	b := NewBatch()
	if _, v := translator(t, c).Translate(b, vnethdr.Header{}, in); v != want || len(b.Packets()) != 0 {
		t.Errorf("verdict %v with %d packets, want %v and none, for % x", v, len(b.Packets()), want, in[:min(60, len(in))])
	}
}
