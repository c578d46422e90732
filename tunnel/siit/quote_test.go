package siit

import (
	"bytes"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// The oracle of errors. A quoted packet must come out as the packet that was
// sent in the other family, as far as it is quoted; so its transport bytes are
// taken from there, and nothing is computed as the package computes it.

// oracleQuote4 is the IPv4 packet that stands for a quoted one of which n bytes
// of upper layer are there. sent is the IPv4 packet that the host sent.
func oracleQuote4(t testing.TB, sent []byte, n int) []byte {
	ip := decode4(t, sent)
	out := &layers.IPv4{Version: 4, IHL: 5, TOS: ip.TOS, Length: uint16(len(sent)), TTL: ip.TTL - 1, Protocol: ip.Protocol, SrcIP: ip.SrcIP, DstIP: ip.DstIP}
	if len(sent) > 1260 {
		out.Flags = layers.IPv4DontFragment
	}
	return append(sumOnly(t, out), sent[20:20+n]...)
}

// oracleQuote6 is the same the other way round; arrived is the IPv6 packet.
func oracleQuote6(t testing.TB, arrived []byte, n int) []byte {
	q := bytes.Clone(arrived[:40+n])
	q[7]-- // the quoted packet had gone through the translator
	return q
}

// sumOnly writes a header with a right checksum and the length it says.
func sumOnly(t testing.TB, l gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	if err := l.SerializeTo(buf, gopacket.SerializeOptions{ComputeChecksums: true}); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

func decode4(t testing.TB, p []byte) *layers.IPv4 {
	ip, ok := gopacket.NewPacket(p, layers.LayerTypeIPv4, gopacket.Lazy).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok {
		t.Fatalf("not IPv4: % x", p)
	}
	return ip
}

// oracleTooBigTo4 is the Fragmentation Needed for a Packet Too Big with mtu from
// a router outside the prefix, as error6 makes it.
func oracleTooBigTo4(t testing.TB, c Config, mtu uint32, sent []byte, n int) []byte {
	said := int64(mtu)
	if said < 1280 {
		said = 1280
	}
	said = min(said-20, int64(c.MTU4), int64(c.MTU6)-20)
	quote := oracleQuote4(t, sent, n)
	quote = quote[:min(len(quote), 576-28)]
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 59, Protocol: layers.IPProtocolICMPv4, SrcIP: []byte{192, 0, 0, 8}, DstIP: c.CLAT4.AsSlice()}
	return serialize(t, ip, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(said)}, gopacket.Payload(quote))
}

// oracleTooBigTo6 is the Packet Too Big for a Fragmentation Needed with mtu, as
// error4 makes it. mtu is not 0.
func oracleTooBigTo6(t testing.TB, c Config, mtu uint16, arrived []byte, n int) []byte {
	said := max(1280, min(int(mtu)+20, c.MTU6, c.MTU4+20))
	quote := oracleQuote6(t, arrived, n)
	quote = quote[:min(len(quote), 1280-48)]
	ip := &layers.IPv6{Version: 6, HopLimit: 63, NextHeader: layers.IPProtocolICMPv6, SrcIP: c.CLAT6.AsSlice(), DstIP: embed(c.Prefix, []byte{192, 0, 2, 33})}
	word := []byte{0, 0, byte(said >> 8), byte(said)}
	return serialize(t, ip, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}, gopacket.Payload(append(word, quote...)))
}

// FuzzErrorsAgainstOracle compares Packet Too Big and Fragmentation Needed byte
// for byte, with quotes cut anywhere.
func FuzzErrorsAgainstOracle(f *testing.F) { // SIIT-57, SIIT-58, SIIT-61, 7915-70, 7915-72, 7915-74
	for kind := range kinds {
		for _, n := range []uint16{8, 9, 17, 18, 20, 21, 100, 528, 529, 1191, 1192, 1193, 65535} {
			f.Add(uint8(kind), uint8(0x2e), uint32(0xc00001bb), uint32(1400), n, bytes.Repeat([]byte("quoted"), 250))
		}
		f.Add(uint8(kind), uint8(0), uint32(1), uint32(0xffffffff), uint16(8), []byte{1})
		f.Add(uint8(kind), uint8(0xff), uint32(1), uint32(1), uint16(9), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, kind, tos uint8, ports, mtu uint32, n uint16, payload []byte) {
		payload = payload[:min(len(payload), 2000)]
		for _, c := range fuzzConfigs(len(payload)) {
			c.MTU6, c.MTU4 = 2500, 2480
			sent := sample(t, c, kinds[int(kind)%len(kinds)], tos, 64, ports, payload)
			n := max(8, min(int(n), len(sent)-20)) // RFC 792: at least 8 bytes
			cutTCP := sent[9] == protoTCP && n == 17
			if cutTCP {
				n = 16 // half a checksum cannot be corrected
			}
			tr, b := translator(t, c), NewBatch()
			six := oracleTo6(t, c, sent)
			if v := tr.To4(b, vnethdr.Header{}, error6(c, router, 2, 0, mtu, six[:40+n])); v != OK {
				t.Fatalf("6to4: %v", v)
			}
			got := only(t, b)
			same(t, "6to4", forget(oracleTooBigTo4(t, c, mtu, sent, n)), forget(got))
			if inet(got[:20]) != 0 || inet(got[28:48]) != 0 || inet(got[20:]) != 0 {
				t.Error("6to4: a checksum is wrong")
			}
			arrived := back(t, six)
			b.Reset()
			said := max(1, uint16(mtu))
			if v := tr.To6(b, vnethdr.Header{}, error4(c, 3, 4, uint32(said), oracleTo4(t, c, arrived)[:20+n])); v != OK {
				t.Fatalf("4to6: %v", v)
			}
			same(t, "4to6", oracleTooBigTo6(t, c, said, arrived, n), only(t, b))
		}
	})
}

func TestQuotedPacketsThatCannotBe4to6(t *testing.T) { // SIIT-13, SIIT-55, SIIT-56, SIIT-59, SIIT-60
	c := small()
	good := oracleTo4(t, c, back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))))
	change := func(f func(p []byte)) []byte { return error4(c, 3, 3, 0, edit(bytes.Clone(good), f)) }
	echo := oracleTo4(t, c, back(t, oracleTo6(t, c, sample(t, c, "icmp", 0, 64, 1, nil))))
	tests := map[string]struct {
		in   []byte
		want Verdict
	}{
		"as it should be":                    {change(func([]byte) {}), OK},
		"an echo reply":                      {error4(c, 3, 3, 0, echo), OK},
		"header checksum of the quote stale": {error4(c, 3, 3, 0, append(append([]byte{}, good[:10]...), append([]byte{1, 2}, good[12:]...)...)), OK},
		"header alone":                       {error4(c, 3, 3, 0, good[:20]), OK},
		"7 bytes of UDP":                     {error4(c, 3, 3, 0, good[:27]), OK},
		"options in the quote are left out":  {error4(c, 3, 3, 0, options(bytes.Clone(good), []byte{1, 1, 1, 0})), OK},
		"not a whole header":                 {error4(c, 3, 3, 0, good[:19]), ICMPQuote},
		"not all options":                    {error4(c, 3, 3, 0, options(bytes.Clone(good), []byte{1, 1, 1, 0})[:22]), ICMPQuote},
		"nothing":                            {error4(c, 3, 3, 0, nil), ICMPQuote},
		"to another host":                    {change(func(p []byte) { p[19] = 9 }), ICMPQuote},
		"from loopback":                      {change(func(p []byte) { p[12] = 127 }), ICMPQuote},
		"a fragment":                         {change(func(p []byte) { p[7] = 1 }), OK},
		"protocol 0":                         {change(func(p []byte) { p[9] = 0 }), ICMPQuote},
		"protocol 43":                        {change(func(p []byte) { p[9] = 43 }), ICMPQuote},
		"protocol 44":                        {change(func(p []byte) { p[9] = 44 }), ICMPQuote},
		"protocol 58":                        {change(func(p []byte) { p[9] = 58 }), ICMPQuote},
		"protocol 60":                        {change(func(p []byte) { p[9] = 60 }), ICMPQuote},
		"protocol 135":                       {change(func(p []byte) { p[9] = 135 }), ICMPQuote},
		"IGMP":                               {change(func(p []byte) { p[9] = 2 }), ICMPQuote},
		"an error":                           {error4(c, 3, 3, 0, edit(bytes.Clone(echo), func(p []byte) { p[20] = 3 })), ICMPQuote},
		"a timestamp request":                {error4(c, 3, 3, 0, edit(bytes.Clone(echo), func(p []byte) { p[20] = 13 })), ICMPQuote},
		"an echo without its checksum":       {error4(c, 3, 3, 0, echo[:23]), ICMPQuote},
		"wrong checksum":                     {func() []byte { p := change(func([]byte) {}); p[22] ^= 1; return p }(), BadChecksum},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { verdict(t, c, tt.in, tt.want) })
	}
}

// verdict translates a packet and compares; what comes out must be whole.
func verdict(t *testing.T, c Config, in []byte, want Verdict) {
	t.Helper()
	b := NewBatch()
	if _, v := translator(t, c).Translate(b, vnethdr.Header{}, in); v != want {
		t.Fatalf("verdict %v, want %v", v, want)
	}
	for _, p := range b.Packets() {
		consistent(t, whole(p))
	}
}

func TestQuotedPacketsThatCannotBe6to4(t *testing.T) { // SIIT-28, SIIT-55, SIIT-60
	c := small()
	good := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, make([]byte, 30)))
	set := func(at int, bs ...byte) []byte { p := bytes.Clone(good); copy(p[at:], bs); return p }
	tests := map[string]struct {
		quote []byte
		want  Verdict
	}{
		"options in the quote are left out": {extension(good, 60, make([]byte, 8)), OK},
		"an atomic fragment":                {extension(good, 44, make([]byte, 8)), OK},
		"no UDP checksum stays none":        {set(46, 0, 0), OK},
		"options cut short":                 {extension(good, 60, make([]byte, 8))[:44], ICMPQuote},
		"length smaller than the options":   {func() []byte { p := extension(good, 60, make([]byte, 8)); p[5] = 4; return p }(), ICMPQuote},
		"IPv4 inside":                       {func() []byte { p := bytes.Clone(good); p[0] = 0x45; return p }(), ICMPQuote},
		"ICMPv4 inside":                     {set(6, 1), ICMPQuote},
		"no next header":                    {set(6, 59), ICMPQuote},
		"longer than IPv4 can say":          {set(4, 0xff, 0xf0), ICMPQuote},
		"to a host outside the prefix":      {set(24, 0x30), ICMPQuote},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { verdict(t, c, error6(c, router, 1, 0, 0, tt.quote), tt.want) })
	}
}

// A quoted transport without a checksum over addresses stays as it is.
func TestQuotedUnknownTransports(t *testing.T) { // 7915-13, SIIT-58
	c := small()
	for _, proto := range []byte{4, 41, 47, 50, 132, 253} {
		sent := edit(sample(t, c, "udp", 0, 64, 1, []byte("anything")), func(p []byte) { p[9] = proto })
		six := each(t, c, [][]byte{sent})[0]
		if got := each(t, c, [][]byte{error6(c, router, 1, 1, 0, six)})[0][28:]; got[9] != proto || !bytes.Equal(got[20:], sent[20:]) {
			t.Errorf("6to4, protocol %d: % x", proto, got)
		}
		arrived := edit(bytes.Clone(sent), func(p []byte) { copy(p[12:], sent[16:20]); copy(p[16:], sent[12:16]) })
		if got := each(t, c, [][]byte{error4(c, 3, 2, 0, arrived)})[0][48:]; got[6] != proto || !bytes.Equal(got[40:], sent[20:]) {
			t.Errorf("4to6, protocol %d: % x", proto, got)
		}
	}
}

// An error of 576 bytes does not pass a smaller IPv4 side.
func TestErrorsFitASmallMTU(t *testing.T) { // 7915-1, SIIT-61
	for _, mtu := range []int{68, 69, 575, 576, 577} {
		c := small()
		c.MTU4 = mtu
		quote := oracleTo6(t, c, sample(t, c, "tcp", 0, 64, 1, make([]byte, 1000)))
		b := NewBatch()
		if v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, router, 3, 0, 0, quote)); v != OK {
			t.Fatal(v)
		}
		p := only(t, b)
		consistent(t, p)
		if want := min(mtu, 576); len(p) != want || inet(p[20:]) != 0 {
			t.Errorf("MTU %d: %d bytes, checksum left over %04x", mtu, len(p), inet(p[20:]))
		}
	}
}
