package siit

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// padTo adds zeros up to a multiple of unit and at least 128 bytes, as RFC 4884
// wants a quoted packet that extensions follow.
func padTo(p []byte, unit int) []byte {
	p = bytes.Clone(p)
	for len(p) < 128 || len(p)%unit != 0 {
		p = append(p, 0)
	}
	return p
}

// oracleExceededTo4 is the Time Exceeded that the host gets for one from a router
// outside the prefix, with extensions when they fit into 576 bytes.
func oracleExceededTo4(t testing.TB, c Config, sent, ext []byte, n int) []byte {
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 59, Protocol: layers.IPProtocolICMPv4, SrcIP: []byte{192, 0, 0, 8}, DstIP: c.CLAT4.AsSlice()}
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(11, 0)}
	quote := oracleQuote4(t, sent, n)
	if padded := padTo(quote, 4); len(ext) > 0 && 28+len(padded)+len(ext) <= 576 {
		icmp.Id = uint16(len(padded) / 4) // the second byte of what gopacket takes for it
		quote = append(padded, ext...)
	}
	return serialize(t, ip, icmp, gopacket.Payload(quote[:min(len(quote), 548)]))
}

// oracleExceededTo6 is the same for a Time Exceeded of the host's.
func oracleExceededTo6(t testing.TB, c Config, arrived, ext []byte, n int) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: 63, NextHeader: layers.IPProtocolICMPv6, SrcIP: c.CLAT6.AsSlice(), DstIP: embed(c.Prefix, []byte{192, 0, 2, 33})}
	word, quote := make([]byte, 4), oracleQuote6(t, arrived, n)
	if padded := padTo(quote, 8); len(ext) > 0 && 48+len(padded)+len(ext) <= 1280 {
		word[0] = byte(len(padded) / 8)
		quote = append(padded, ext...)
	}
	quote = quote[:min(len(quote), 1232)]
	return serialize(t, ip, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(3, 1)}, gopacket.Payload(append(word, quote...)))
}

// FuzzExtensionsAgainstOracle compares Time Exceeded with extensions byte for
// byte, both ways.
func FuzzExtensionsAgainstOracle(f *testing.F) { // SIIT-61 to SIIT-64, 7915-73, SIIT-62
	mpls := unhex("2000cdf4 00080101 00011101")
	for kind := range kinds {
		for _, n := range []uint16{8, 80, 88, 89, 100, 108, 109, 300, 500, 508, 1100, 1192} {
			f.Add(uint8(kind), n, mpls, bytes.Repeat([]byte{0xfd, 2}, 600))
			f.Add(uint8(kind), n, bytes.Repeat(mpls, 30), bytes.Repeat([]byte{0xfd, 2}, 600))
		}
		f.Add(uint8(kind), uint16(8), []byte{1}, []byte("odd"))
		f.Add(uint8(kind), uint16(8), []byte(nil), []byte("none"))
	}
	f.Fuzz(func(t *testing.T, kind uint8, n uint16, ext, payload []byte) {
		payload, ext = payload[:min(len(payload), 1400)], ext[:min(len(ext), 1400)]
		for _, c := range fuzzConfigs(len(payload)) {
			c.MTU6, c.MTU4 = 2500, 2480
			sent := sample(t, c, kinds[int(kind)%len(kinds)], 0, 64, 0xc00001bb, payload)
			n := max(8, min(int(n), len(sent)-20, 900))
			if len(sent)-20 > n {
				n &^= 7 // a quote is cut to whole words, or padded when it ends before
			}
			six := oracleTo6(t, c, sent)
			quote := six[:40+n]
			words := uint32(len(padTo(quote, 8)) / 8)
			if n < len(six)-40 && len(padTo(quote, 8)) != len(quote) {
				return // a packet that was cut has no padding
			}
			tr, b := translator(t, c), NewBatch()
			if v := tr.To4(b, vnethdr.Header{}, error6(c, router, 3, 0, words<<24, append(padTo(quote, 8), ext...))); v != OK {
				t.Fatalf("6to4: %v", v)
			}
			got := only(t, b)
			same(t, "6to4", noIdents(oracleExceededTo4(t, c, sent, ext, n)), noIdents(got))
			if inet(got[:20]) != 0 || inet(got[28:48]) != 0 {
				t.Error("6to4: a header checksum is wrong")
			}
			arrived := back(t, six)
			quote = oracleTo4(t, c, arrived)[:20+n]
			if n < len(six)-40 && len(padTo(quote, 4)) != len(quote) {
				return
			}
			word := uint32(len(padTo(quote, 4))/4) << 16
			b.Reset()
			if v := tr.To6(b, vnethdr.Header{}, error4(c, 11, 1, word, append(padTo(quote, 4), ext...))); v != OK {
				t.Fatalf("4to6: %v", v)
			}
			same(t, "4to6", oracleExceededTo6(t, c, arrived, ext, n), only(t, b))
		}
	})
}

// noIdents clears what follows from Identifications, in an error and its quote.
func noIdents(p []byte) []byte {
	p = bytes.Clone(p)
	for _, at := range []int{4, 10, 22, 32, 38} {
		clear(p[at : at+2])
	}
	return p
}

func TestExtensionsThatCannotStay(t *testing.T) { // SIIT-63, 7915-73
	c := small()
	six := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, []byte("hi64")))
	four := oracleTo4(t, c, back(t, six))
	ext := unhex("2000cdf4 00080101 00011101")
	in6 := func(typ uint8, word uint32, body ...[]byte) []byte {
		return error6(c, router, typ, 0, word, bytes.Join(body, nil))
	}
	in4 := func(typ, code uint8, word uint32) []byte {
		return error4(c, typ, code, word, append(padTo(four, 4), ext...))
	}
	tests := map[string]struct {
		in   []byte
		size int  // of what comes out
		attr byte // its length attribute
	}{
		"Fragmentation Needed becomes Packet Too Big": {in4(3, 4, 32<<16|1400), 48 + 52, 0},
		"Protocol Unreachable":                        {in4(3, 2, 32<<16), 48 + 52, 0},
		"Parameter Problem":                           {in4(12, 0, 8<<24|32<<16), 48 + 52, 0},
		"Port Unreachable keeps it":                   {in4(3, 3, 32<<16), 48 + 128 + 12, 16},
		"attribute past the end":                      {in6(3, 200<<24, padTo(six, 8), ext), 28 + 32, 0},
		"attribute but no extension":                  {in6(3, 16<<24, padTo(six, 8)), 28 + 32, 0},
		"no attribute: it is part of the quote":       {in6(3, 0, padTo(six, 8), ext), 28 + 32, 0},
		"Packet Too Big has no attribute":             {in6(2, 1400, six), 28 + 32, 0},
		"too long: left out whole":                    {in6(1, 16<<24, padTo(six, 8), make([]byte, 421)), 28 + 32, 0},
		"just fits":                                   {in6(1, 16<<24, padTo(six, 8), make([]byte, 420)), 576, 32},
		"attribute of less than 128 bytes":            {in6(1, 7<<24, six, make([]byte, 4), ext), 28 + 128 + 12, 32},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if _, v := translator(t, c).Translate(b, vnethdr.Header{}, tt.in); v != OK {
				t.Fatal(v)
			}
			p := only(t, b)
			consistent(t, p)
			attr := p[25]
			if p[0]>>4 == 6 {
				attr = p[44]
				if p[40] == 2 || p[40] == 4 {
					attr = 0 // it is the MTU or the pointer, see the tables
				}
			}
			if len(p) != tt.size || attr != tt.attr {
				t.Errorf("%d bytes with length attribute %d, want %d and %d", len(p), attr, tt.size, tt.attr)
			}
		})
	}
}

func TestSourcesOfHops(t *testing.T) { // SIIT-70, SIIT-72, 6791-1, 6791-2
	const inPrefix = "2001:db8:64:ff9b::c633:640a" // 198.51.100.10
	pool := netip.MustParsePrefix("203.0.113.64/28")
	tests := map[string]struct {
		pool     netip.Prefix
		routes   []netip.Prefix
		src      string
		hopLimit byte
		want     string
	}{
		"a router without IPv4":                  {netip.Prefix{}, nil, router, 60, "192.0.0.8"},
		"a host of the prefix":                   {pool, nil, inPrefix, 60, "198.51.100.10"},
		"the same, not routed":                   {netip.Prefix{}, []netip.Prefix{netip.MustParsePrefix("198.51.100.11/32")}, inPrefix, 60, "192.0.0.8"},
		"the same with a pool":                   {pool, []netip.Prefix{netip.MustParsePrefix("198.51.100.11/32")}, inPrefix, 60, "203.0.113.69"},
		"next hop":                               {pool, nil, router, 64, "203.0.113.65"},
		"second hop":                             {pool, nil, router, 63, "203.0.113.66"},
		"second hop that begins with 255":        {pool, nil, router, 254, "203.0.113.66"},
		"third hop that begins with 128":         {pool, nil, router, 126, "203.0.113.67"},
		"farther than there are addresses":       {pool, nil, router, 64 - 15, "203.0.113.64"},
		"a pool of one":                          {netip.MustParsePrefix("203.0.113.1/32"), nil, router, 50, "203.0.113.1"},
		"no more than 256 of a large pool":       {netip.MustParsePrefix("10.64.0.0/10"), nil, router, 2, "10.64.0.63"},
		"as far as can be from a sender of 255s": {netip.MustParsePrefix("10.64.0.0/10"), nil, router, 129, "10.64.0.127"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := small()
			c.HopAddrs, c.RouteTo = tt.pool, tt.routes
			in := error6(c, tt.src, 3, 0, 0, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil)))
			in[7] = tt.hopLimit
			b := NewBatch()
			if v := translator(t, c).To4(b, vnethdr.Header{}, in); v != OK {
				t.Fatal(v)
			}
			if got := netip.AddrFrom4([4]byte(only(t, b)[12:16])); got.String() != tt.want {
				t.Errorf("source %v, want %s", got, tt.want)
			}
		})
	}
}

func TestNodeIdentification(t *testing.T) { // 6791-2, 6791-3
	c := small()
	c.NodeID = true
	sent := sample(t, c, "udp", 0, 64, 1, []byte("hi64"))
	six := oracleTo6(t, c, sent)
	structure := unhex("2000 0000 0018 0504 0002 0000 20010db8 ffff0000 00000000 00000001")
	put16(structure[2:], inet(structure))
	tests := map[string]struct {
		in   []byte
		want []byte // extension
	}{
		"Time Exceeded":           {error6(c, router, 3, 0, 0, six), structure},
		"Destination Unreachable": {error6(c, router, 1, 0, 0, six), structure},
		"Packet Too Big has none": {error6(c, router, 2, 0, 1400, six), nil},
		"Parameter Problem":       {error6(c, router, 4, 0, 7, six), nil},
		"a sender with IPv4":      {error6(c, "2001:db8:64:ff9b::c633:640a", 3, 0, 0, six), nil},
		"one that has extensions": {error6(c, router, 3, 0, 16<<24, append(padTo(six, 8), 0x20, 0, 1, 2)), []byte{0x20, 0, 1, 2}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if v := translator(t, c).To4(b, vnethdr.Header{}, tt.in); v != OK {
				t.Fatal(v)
			}
			p := only(t, b)
			consistent(t, p)
			if tt.want == nil {
				if len(p) != 28+len(sent) {
					t.Errorf("%d bytes: % x", len(p), p)
				}
				return
			}
			if p[25] != 32 || binary.BigEndian.Uint16(p[26:]) != 0 || !bytes.Equal(p[28+128:], tt.want) {
				t.Errorf("length attribute %d, extension % x, want % x", p[25], p[min(len(p), 156):], tt.want)
			}
		})
	}
}

// The sender is told whatever the size of the quote, which makes room for it, but
// not at the cost of the 128 bytes that RFC 4884 section 3 wants of the quote.
func TestNodeIdentificationOfLargeQuotes(t *testing.T) { // 6791-2, SIIT-61
	sent := sample(t, small(), "tcp", 0, 64, 1, make([]byte, 1400))
	for _, tt := range []struct{ mtu4, quote, want, attr int }{ // sizes of quoted packets, IPv6 and IPv4, and words
		{1480, 540, 520, 130}, {1480, 541, 520, 130}, {1480, 1232, 520, 130}, {1480, 539, 520, 130}, {1480, 536, 516, 129},
		{400, 1232, 344, 86}, {186, 1232, 128, 32}, {184, 1232, 128, 32}, {183, 1232, 155, 0}, {68, 1232, 40, 0},
	} {
		c := small()
		c.NodeID, c.MTU4 = true, tt.mtu4
		in := error6(c, router, 3, 0, 0, oracleTo6(t, c, sent)[:tt.quote])
		p := each(t, c, [][]byte{in})[0]
		consistent(t, p)
		size := 28 + tt.want
		if tt.attr > 0 {
			size += 28
		}
		if len(p) != size || int(p[25]) != tt.attr || inet(p[20:]) != 0 {
			t.Errorf("MTU %d, %d bytes quoted: %d bytes with attribute %d, want %d with %d", tt.mtu4, tt.quote, len(p), p[25], size, tt.attr)
		}
		if quoted := min(tt.quote-20, tt.want); !bytes.Equal(p[40:28+quoted], sent[12:quoted]) {
			t.Errorf("MTU %d, %d bytes quoted: the quote is not what was sent", tt.mtu4, tt.quote)
		}
	}
}

// A quoted fragment is the fragment that was sent (SIIT-57, 7915-70, 7915-61).
func TestQuotedFragments(t *testing.T) { // SIIT-57, 7915-61, 7915-70
	c := small()
	c.LowestMTU6 = 1280
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			sent := edit(sample(t, c, kind, 0x2e, 64, 1, bytes.Repeat([]byte("big"), 700)), func(p []byte) { clear(p[6:8]) })
			six := each(t, c, [][]byte{sent})
			fours := fragments4(sent, 1232, false) // as the translator cuts
			for i, p := range six {
				b := NewBatch()
				if v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, router, 2, 0, 1400, p)); v != OK {
					t.Fatalf("fragment %d: %v", i, v)
				}
				got, want := only(t, b), edit(bytes.Clone(fours[i]), func(p []byte) { p[8]-- })
				if kind == "icmp" && i == 0 {
					copy(want[22:24], p[50:52]) // a fragment does not show what ICMPv6's checksum covers
				}
				same(t, "6to4", want[:548], got[28:])
				if mtu := binary.BigEndian.Uint16(got[26:]); mtu != 1372 {
					t.Errorf("MTU %d, want 1372: 28 bytes less", mtu)
				}
			}
			// And the other way round: reassembly of what arrived took too long.
			arrived := back(t, oracleTo6(t, c, sent))
			for i, p := range fragments6(arrived, 1232, 7) {
				four := fragments4(edit(oracleTo4(t, c, arrived), func(p []byte) { put16(p[4:], 7); clear(p[6:8]) }), 1232, false)[i]
				b := NewBatch()
				if v := translator(t, c).To6(b, vnethdr.Header{}, error4(c, 11, 1, 0, four[:500])); v != OK {
					t.Fatalf("fragment %d: %v", i, v)
				}
				want := bytes.Clone(p[:528])
				want[7]--
				if kind == "icmp" && i == 0 {
					copy(want[50:52], four[22:24])
				}
				same(t, "4to6", want, only(t, b)[48:])
			}
		})
	}
}
