package siit

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// error6 is an ICMPv6 error from a router that quotes a packet of ours.
func error6(c Config, src string, typ, code uint8, word uint32, quote []byte) []byte {
	p := make([]byte, 48, 48+len(quote))
	p[0] = 0x60
	binary.BigEndian.PutUint16(p[4:], uint16(8+len(quote)))
	p[6], p[7] = 58, 60
	a, d := netip.MustParseAddr(src).As16(), c.CLAT6.As16()
	copy(p[8:], a[:])
	copy(p[24:], d[:])
	p[40], p[41] = typ, code
	binary.BigEndian.PutUint32(p[44:], word)
	p = append(p, quote...)
	binary.BigEndian.PutUint16(p[42:], ^fold(pseudo6(p[8:40], len(p)-40, 58)+sum(p[40:])))
	return p
}

// error4 is an ICMPv4 error that the host sends about a packet it received.
func error4(c Config, typ, code uint8, word uint32, quote []byte) []byte {
	p := make([]byte, 28, 28+len(quote))
	p[0], p[8], p[9] = 0x45, 64, 1
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(quote)))
	copy(p[12:], c.CLAT4.AsSlice())
	copy(p[16:], []byte{192, 0, 2, 33})
	p[20], p[21] = typ, code
	binary.BigEndian.PutUint32(p[24:], word)
	p = append(p, quote...)
	binary.BigEndian.PutUint16(p[22:], ^fold(sum(p[20:])))
	return edit(p, func([]byte) {})
}

const router = "2001:db8:ffff::1" // outside the prefix

func TestICMPv6ErrorsByTheTable(t *testing.T) { // SIIT-41, SIIT-43
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	sent := sample(t, c, "udp", 0, 64, 0x13880035, []byte("hi64"))
	quote := oracleTo6(t, c, sent)
	tests := map[string]struct {
		typ, code uint8
		word      uint32
		want      [3]uint32 // type, code, last four bytes of the ICMPv4 header
		verdict   Verdict
	}{
		"no route":                    {1, 0, 0, [3]uint32{3, 1, 0}, OK},
		"prohibited":                  {1, 1, 0, [3]uint32{3, 10, 0}, OK},
		"beyond scope":                {1, 2, 0, [3]uint32{3, 1, 0}, OK},
		"address unreachable":         {1, 3, 0, [3]uint32{3, 1, 0}, OK},
		"port unreachable":            {1, 4, 0, [3]uint32{3, 3, 0}, OK},
		"source policy":               {1, 5, 0, [3]uint32{}, ICMPType},
		"too big, 1400":               {2, 0, 1400, [3]uint32{3, 4, 1380}, OK},
		"too big, below 1280":         {2, 0, 600, [3]uint32{3, 4, 1260}, OK},
		"too big, larger than ours":   {2, 0, 9000, [3]uint32{3, 4, 1480}, OK},
		"too big, absurd":             {2, 0, 0xffffffff, [3]uint32{3, 4, 1480}, OK},
		"hop limit exceeded":          {3, 0, 0, [3]uint32{11, 0, 0}, OK},
		"reassembly time":             {3, 1, 0, [3]uint32{11, 1, 0}, OK},
		"erroneous field: hop limit":  {4, 0, 7, [3]uint32{12, 0, 8 << 24}, OK},
		"erroneous field: source":     {4, 0, 23, [3]uint32{12, 0, 12 << 24}, OK},
		"erroneous field: dest":       {4, 0, 24, [3]uint32{12, 0, 16 << 24}, OK},
		"erroneous field: length":     {4, 0, 5, [3]uint32{12, 0, 2 << 24}, OK},
		"erroneous field: flow label": {4, 0, 2, [3]uint32{}, ICMPType},
		"erroneous field: payload":    {4, 0, 40, [3]uint32{}, ICMPType},
		"unknown next header":         {4, 1, 6, [3]uint32{3, 2, 0}, OK},
		"unknown option":              {4, 2, 40, [3]uint32{}, ICMPType},
		"unknown error":               {100, 0, 0, [3]uint32{}, ICMPType},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, router, tt.typ, tt.code, tt.word, quote)); v != tt.verdict {
				t.Fatalf("verdict %v, want %v", v, tt.verdict)
			}
			if tt.verdict != OK {
				return
			}
			p := only(t, b)
			consistent(t, p)
			got := [3]uint32{uint32(p[20]), uint32(p[21]), binary.BigEndian.Uint32(p[24:])}
			if got != tt.want || sum(p[20:]) != 0xffff || [4]byte(p[12:16]) != dummy {
				t.Errorf("got %v from % d, checksum %04x; want %v", got, p[12:16], sum(p[20:]), tt.want)
			}
			// What is quoted is the packet that the host sent, but for TTL and DF.
			inner := p[28:]
			if !bytes.Equal(inner[20:], sent[20:]) || !bytes.Equal(inner[12:20], sent[12:20]) || inner[8] != 63 || sum(inner[:20]) != 0xffff {
				t.Errorf("quoted % x\nsent   % x", inner, sent)
			}
		})
	}
}

func TestICMPv4ErrorsByTheTable(t *testing.T) { // SIIT-40, SIIT-42, 7915-60
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	arrived := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 0x13880035, make([]byte, 1000))))
	quote := oracleTo4(t, c, arrived)
	tests := map[string]struct {
		typ, code uint8
		word      uint32
		want      [3]uint32
		verdict   Verdict
	}{
		"net unreachable":         {3, 0, 0, [3]uint32{1, 0, 0}, OK},
		"host unreachable":        {3, 1, 0, [3]uint32{1, 0, 0}, OK},
		"protocol unreachable":    {3, 2, 0, [3]uint32{4, 1, 6}, OK},
		"port unreachable":        {3, 3, 0, [3]uint32{1, 4, 0}, OK},
		"fragmentation needed":    {3, 4, 1400, [3]uint32{2, 0, 1420}, OK},
		"small MTU":               {3, 4, 576, [3]uint32{2, 0, 1280}, OK},
		"no MTU: plateau 1006":    {3, 4, 0, [3]uint32{2, 0, 1280}, OK},
		"MTU larger than ours":    {3, 4, 9000, [3]uint32{2, 0, 1500}, OK},
		"source route failed":     {3, 5, 0, [3]uint32{1, 0, 0}, OK},
		"net prohibited":          {3, 9, 0, [3]uint32{1, 1, 0}, OK},
		"host prohibited":         {3, 10, 0, [3]uint32{1, 1, 0}, OK},
		"TOS":                     {3, 12, 0, [3]uint32{1, 0, 0}, OK},
		"admin prohibited":        {3, 13, 0, [3]uint32{1, 1, 0}, OK},
		"precedence violation":    {3, 14, 0, [3]uint32{}, ICMPType},
		"precedence cutoff":       {3, 15, 0, [3]uint32{1, 1, 0}, OK},
		"unknown code":            {3, 16, 0, [3]uint32{}, ICMPType},
		"time exceeded":           {11, 1, 0, [3]uint32{3, 1, 0}, OK},
		"parameter problem: TTL":  {12, 0, 8 << 24, [3]uint32{4, 0, 7}, OK},
		"parameter problem: dest": {12, 2, 16 << 24, [3]uint32{4, 0, 24}, OK},
		"parameter problem: ID":   {12, 0, 4 << 24, [3]uint32{}, ICMPType},
		"missing option":          {12, 1, 0, [3]uint32{}, ICMPType},
		"source quench":           {4, 0, 0, [3]uint32{}, ICMPType},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if v := translator(t, c).To6(b, vnethdr.Header{}, error4(c, tt.typ, tt.code, tt.word, quote)); v != tt.verdict {
				t.Fatalf("verdict %v, want %v", v, tt.verdict)
			}
			if tt.verdict != OK {
				return
			}
			p := only(t, b)
			consistent(t, p)
			got := [3]uint32{uint32(p[40]), uint32(p[41]), binary.BigEndian.Uint32(p[44:])}
			if got != tt.want || fold(pseudo6(p[8:40], len(p)-40, 58)+sum(p[40:])) != 0xffff {
				t.Errorf("got %v, want %v, or a wrong checksum", got, tt.want)
			}
			inner := p[48:]
			if !bytes.Equal(inner[40:], arrived[40:]) || !bytes.Equal(inner[8:40], arrived[8:40]) || inner[7] != 54 {
				t.Errorf("quoted % x\narrived % x", inner[:60], arrived[:60])
			}
		})
	}
}

func TestLikelyMTUs(t *testing.T) { // 7915-60, the plateau table, 7915-63, SIIT-52
	c := vectorConfig()
	c.MTU6, c.MTU4 = 65535, 65515
	for length, want := range map[int]uint32{9000: 8186, 1500: 1512, 1492: 1280, 1400: 1280} {
		if got := translator(t, c).mtuTo6(0, length); got != want {
			t.Errorf("quoted packet of %d bytes: MTU %d, want %d", length, got, want)
		}
	}
}

func TestQuotesThatAreNotOurs(t *testing.T) { // SIIT-56, SIIT-59, SIIT-60, SIIT-73, 7915-71, SEC-10, SEC-12, SECU-5
	c := oracleConfigs()[0]
	good := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))
	change := func(at int, b byte) []byte { p := bytes.Clone(good); p[at] = b; return p }
	badSum := error6(c, router, 1, 0, 0, good)
	badSum[42] ^= 1
	tests := map[string]struct {
		in   []byte
		want Verdict
	}{
		"from another host":          {error6(c, router, 1, 0, 0, change(23, 0x99)), ICMPQuote},
		"to outside the prefix":      {error6(c, router, 1, 0, 0, change(24, 0x30)), ICMPQuote},
		"no whole header quoted":     {error6(c, router, 1, 0, 0, good[:39]), ICMPQuote},
		"header and 8 bytes suffice": {error6(c, router, 1, 0, 0, good[:48]), OK},
		"header alone suffices":      {error6(c, router, 1, 0, 0, good[:40]), OK},
		"an error that quotes an error": {error6(c, router, 1, 0, 0, func() []byte {
			p := error6(c, router, 1, 0, 0, good)
			copy(p[8:24], good[8:24])
			copy(p[24:40], good[24:40])
			return p
		}()), ICMPQuote},
		"wrong checksum (SIIT-36)": {badSum, BadChecksum},
		"SIIT-6 from nowhere":      {error6(c, "::", 1, 0, 0, good), Martian},
		"SIIT-6 from multicast":    {error6(c, "ff02::1", 1, 0, 0, good), Martian},
		"quotes a fragment":        {error6(c, router, 1, 0, 0, extension(good, 44, []byte{0, 0, 0, 1, 0, 0, 0, 1})), OK},
		"Hop Limit 1":              {func() []byte { p := error6(c, router, 1, 0, 0, good); p[7] = 1; return p }(), TTLExpired},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if v := translator(t, c).To4(NewBatch(), vnethdr.Header{}, tt.in); v != tt.want {
				t.Errorf("verdict %v, want %v", v, tt.want)
			}
		})
	}
}

func TestSourceOfErrorsWithHostRoutesAlone(t *testing.T) { // SIIT-72
	c := oracleConfigs()[0]
	c.RouteTo = []netip.Prefix{netip.MustParsePrefix("198.51.100.10/32")}
	quote := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))
	for src, want := range map[string][4]byte{
		"2001:db8:64:ff9b::c633:640a": {198, 51, 100, 10}, // routed
		"2001:db8:64:ff9b::c633:6401": dummy,              // an IPv4 router, not routed
		router:                        dummy,
	} {
		b := NewBatch()
		if v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, src, 3, 0, 0, quote)); v != OK {
			t.Fatalf("from %s: %v", src, v)
		}
		if got := [4]byte(only(t, b)[12:16]); got != want {
			t.Errorf("from %s: source %v, want %v", src, got, want)
		}
	}
}

func TestQuotedEcho(t *testing.T) { // SIIT-58
	c := oracleConfigs()[0]
	sent := sample(t, c, "icmp", 0, 64, 0xabcd0001, []byte("ping!"))
	b := NewBatch()
	if v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, router, 3, 0, 0, oracleTo6(t, c, sent))); v != OK {
		t.Fatal(v)
	}
	if got := only(t, b)[48:]; !bytes.Equal(got, sent[20:]) {
		t.Errorf("quoted % x, sent % x", got, sent[20:])
	}
}
