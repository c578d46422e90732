package netns

import (
	"bytes"
	endian "encoding/binary"
	"fmt"
	"net/netip"
)

// sample is one packet of the corpus, with a name of its own.
type sample struct {
	name  string
	bytes []byte
}

// Addresses of the corpus.
var (
	clat4, peer4 = netip.MustParseAddr(diffCLAT4).As4(), netip.MustParseAddr("198.51.100.7").As4()
	clat6, peer6 = netip.MustParseAddr(diffCLAT6).As16(), netip.MustParseAddr("2001:db8:64::c633:6407").As16()
	alien6       = netip.MustParseAddr("2001:db8:ffff::1").As16()
)

// inet is the checksum of RFC 1071.
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

func put16(b []byte, v uint16) { endian.BigEndian.PutUint16(b, v) }

// seal writes the header checksum of an IPv4 packet.
func seal(p []byte) []byte {
	clear(p[10:12])
	put16(p[10:], inet(p[:int(p[0]&15)*4]))
	return p
}

// v4 is a packet from the host, DF set.
func v4(proto byte, body []byte) []byte {
	p := append(make([]byte, 20), body...)
	p[0], p[6], p[8], p[9] = 0x45, 0x40, 64, proto
	put16(p[2:], uint16(len(p)))
	put16(p[4:], 0x1234)
	copy(p[12:], clat4[:])
	copy(p[16:], peer4[:])
	return seal(p)
}

// v6 is a packet from the network.
func v6(next byte, body []byte) []byte {
	p := append(make([]byte, 40), body...)
	p[0], p[6], p[7] = 0x60, next, 60
	put16(p[4:], uint16(len(body)))
	copy(p[8:], peer6[:])
	copy(p[24:], clat6[:])
	return p
}

// sum4 and sum6 write the transport checksum at an offset of the body.
func sum4(p []byte, at int) []byte {
	body := p[20:]
	put16(body[at:], 0)
	put16(body[at:], inet(p[12:20], []byte{0, p[9], byte(len(body) >> 8), byte(len(body))}, body))
	return p
}

func sum6(p []byte, at int) []byte {
	body := p[40:]
	put16(body[at:], 0)
	put16(body[at:], inet(p[8:40], []byte{0, 0, byte(len(body) >> 8), byte(len(body)), 0, 0, 0, p[6]}, body))
	return p
}

func udp(n int) []byte {
	b := make([]byte, 8+n)
	put16(b, 5000)
	put16(b[2:], 53)
	put16(b[4:], uint16(8+n))
	for i := range n {
		b[8+i] = byte(i * 3)
	}
	return b
}

func tcp(n int) []byte {
	b := make([]byte, 20+n)
	put16(b, 49153)
	put16(b[2:], 443)
	b[12], b[13], b[14] = 0x50, 0x10, 0xff
	for i := range n {
		b[20+i] = byte(i * 5)
	}
	return b
}

func echo(typ byte, n int) []byte {
	b := append([]byte{typ, 0, 0, 0, 0xab, 0xcd, 0, 1}, make([]byte, n)...)
	if typ < 100 {
		put16(b[2:], inet(b))
	}
	return b
}

// with changes a packet and puts an IPv4 header right again.
func with(p []byte, f func(p []byte)) []byte {
	p = bytes.Clone(p)
	f(p)
	if p[0]>>4 == 4 {
		seal(p)
	}
	return p
}

// options4 puts options into an IPv4 packet, ext6 an extension header into an
// IPv6 one.
func options4(p []byte, o ...byte) []byte {
	out := append(append(bytes.Clone(p[:20]), o...), p[20:]...)
	out[0] = 0x40 | byte(5+len(o)/4)
	put16(out[2:], uint16(len(out)))
	return seal(out)
}

func ext6(p []byte, typ byte, hdr ...byte) []byte {
	out := append(append(bytes.Clone(p[:40]), hdr...), p[40:]...)
	out[40], out[6] = p[6], typ
	put16(out[4:], uint16(len(out)-40))
	return out
}

// piece4 and piece6 cut a fragment out of a packet.
func piece4(p []byte, from, to int) []byte {
	out := append(bytes.Clone(p[:20]), p[20+from:20+to]...)
	word := uint16(from / 8)
	if 20+to < len(p) {
		word |= 0x2000
	}
	put16(out[2:], uint16(len(out)))
	put16(out[6:], word)
	return seal(out)
}

func piece6(p []byte, from, to int) []byte {
	word := uint16(from)
	if 40+to < len(p) {
		word |= 1
	}
	out := append(bytes.Clone(p[:40]), p[6], 0, byte(word>>8), byte(word), 0xab, 0xcd, 0x12, 0x34)
	out = append(out, p[40+from:40+to]...)
	out[6] = 44
	put16(out[4:], uint16(len(out)-40))
	return out
}

// error4 is an ICMP error of the host's about a packet that came, error6 one of
// the network about a packet that the host sent.
func error4(typ, code byte, word uint32, quote []byte) []byte {
	b := endian.BigEndian.AppendUint32([]byte{typ, code, 0, 0}, word)
	b = append(b, quote...)
	put16(b[2:], inet(b))
	return with(v4(1, b), func(p []byte) { p[6] = 0 })
}

func error6(src [16]byte, typ, code byte, word uint32, quote []byte) []byte {
	b := endian.BigEndian.AppendUint32([]byte{typ, code, 0, 0}, word)
	p := v6(58, append(b, quote...))
	copy(p[8:], src[:])
	return sum6(p, 2)
}

// turned is the packet as the other side sees it: what the host got in IPv4, or
// what went out in IPv6.
func got4(proto byte, body []byte, at int) []byte {
	p := v4(proto, body)
	copy(p[12:], peer4[:])
	copy(p[16:], clat4[:])
	p[6], p[8] = 0, 50
	return seal(sum4(p, at))
}

func sent6(next byte, body []byte, at int) []byte {
	p := v6(next, body)
	copy(p[8:], clat6[:])
	copy(p[24:], peer6[:])
	return sum6(p, at)
}

// corpus are packets of every kind, both ways.
func corpus() []sample {
	c := &builder{}
	c.plain()
	c.sizes()
	c.headers()
	c.fragments()
	c.errors4()
	c.errors6()
	return c.list
}

type builder struct{ list []sample }

func (c *builder) add(b []byte, format string, args ...any) {
	c.list = append(c.list, sample{fmt.Sprintf(format, args...), b})
}

func (c *builder) plain() {
	u4, u6 := sum4(v4(17, udp(100)), 6), sum6(v6(17, udp(100)), 6)
	c.add(u4, "4to6 UDP")
	c.add(u6, "6to4 UDP")
	c.add(sum4(v4(6, tcp(100)), 16), "4to6 TCP")
	c.add(sum6(v6(6, tcp(100)), 16), "6to4 TCP")
	for _, typ := range []byte{8, 0} {
		c.add(v4(1, echo(typ, 50)), "4to6 echo type %d", typ)
		c.add(sum6(v6(58, echo(128+min(typ, 1)^1, 50)), 2), "6to4 echo type %d", 128+min(typ, 1)^1)
	}
	for _, proto := range []byte{47, 50, 51, 132, 33, 136, 4, 41, 0, 43, 44, 60, 58, 2, 135} {
		c.add(v4(proto, udp(40)), "4to6 protocol %d", proto)
	}
	for _, proto := range []byte{47, 50, 51, 132, 33, 136, 4, 41, 1, 2, 59} {
		c.add(v6(proto, udp(40)), "6to4 protocol %d", proto)
	}
	c.add(with(u4, func(p []byte) { p[26] ^= 1 }), "4to6 UDP, wrong checksum")
	c.add(with(u6, func(p []byte) { p[46] ^= 1 }), "6to4 UDP, wrong checksum")
	c.add(with(u4, func(p []byte) { p[26], p[27] = 0, 0 }), "4to6 UDP without checksum")
	c.add(with(u6, func(p []byte) { p[46], p[47] = 0, 0 }), "6to4 UDP without checksum")
	zero := sum4(v4(17, udp(2)), 6)
	put16(zero[28:], 0)
	six := append(bytes.Clone(clat6[:]), peer6[:]...)
	copy(zero[28:], endian.BigEndian.AppendUint16(nil, inet(six, []byte{0, 17, 0, 10}, zero[20:26])))
	c.add(sum4(zero, 6), "4to6 UDP whose IPv6 checksum would be 0")
	c.add(with(u4, func(p []byte) { p[11] ^= 1 })[:len(u4):len(u4)], "4to6 resealed")
	bad := bytes.Clone(u4)
	bad[11] ^= 1
	c.add(bad, "4to6 wrong header checksum")
}

func (c *builder) sizes() {
	for _, n := range []int{1232, 1233, 1240, 1252, 1260, 1261, 1280, 1400, 1480, 1481, 1500} {
		p := sum4(v4(17, udp(n-28)), 6)
		c.add(p, "4to6 UDP of %d bytes, DF=1", n)
		c.add(with(p, func(p []byte) { p[6] = 0 }), "4to6 UDP of %d bytes, DF=0", n)
		c.add(sum6(v6(17, udp(n-48)), 6), "6to4 UDP of %d bytes", n)
	}
}

func (c *builder) headers() {
	u4, u6 := sum4(v4(17, udp(40)), 6), sum6(v6(17, udp(40)), 6)
	for _, tos := range []byte{0x03, 0x20, 0xb8, 0xc0, 0xfd, 0xff} {
		c.add(with(u4, func(p []byte) { p[1] = tos }), "4to6 TOS %02x", tos)
		c.add(with(u6, func(p []byte) { p[0], p[1] = 0x60|tos>>4, tos<<4|0x0a }), "6to4 Traffic Class %02x and a flow label", tos)
	}
	for _, ttl := range []byte{0, 1, 2, 255} {
		c.add(with(u4, func(p []byte) { p[8] = ttl }), "4to6 TTL %d", ttl)
		c.add(with(u6, func(p []byte) { p[7] = ttl }), "6to4 Hop Limit %d", ttl)
	}
	c.add(with(u4, func(p []byte) { p[6] = 0x80 }), "4to6 reserved flag")
	c.add(options4(u4, 1, 1, 1, 0), "4to6 options NOP and END")
	c.add(options4(u4, 148, 4, 0, 0), "4to6 option Router Alert")
	c.add(options4(u4, 7, 7, 4, 0, 0, 0, 0, 0), "4to6 option Record Route")
	c.add(options4(u4, 131, 7, 4, 10, 0, 0, 1, 0), "4to6 loose source route")
	c.add(options4(u4, 137, 7, 4, 10, 0, 0, 1, 0), "4to6 strict source route")
	c.add(options4(u4, 131, 7, 8, 10, 0, 0, 1, 0), "4to6 source route used up")
	c.add(options4(u4, 148, 9, 0, 0), "4to6 option past the header")
	c.add(ext6(u6, 0, make([]byte, 8)...), "6to4 Hop-by-Hop")
	c.add(ext6(u6, 60, make([]byte, 8)...), "6to4 Destination Options")
	c.add(ext6(u6, 43, make([]byte, 8)...), "6to4 Routing header used up")
	c.add(ext6(u6, 43, 0, 0, 0, 1, 0, 0, 0, 0), "6to4 Routing header, segments left")
	c.add(ext6(ext6(u6, 60, make([]byte, 8)...), 0, make([]byte, 8)...), "6to4 Hop-by-Hop and Destination Options")
	c.add(ext6(u6, 44, 0, 0, 0, 0, 0xab, 0xcd, 0x12, 0x34), "6to4 atomic fragment")
	for name, a := range map[string][4]byte{"multicast": {224, 0, 0, 251}, "broadcast": {255, 255, 255, 255}, "loopback": {127, 0, 0, 1}, "network 0": {0, 0, 0, 1}, "link-local": {169, 254, 1, 1}} {
		c.add(sum4(with(u4, func(p []byte) { copy(p[16:], a[:]) }), 6), "4to6 to %s", name)
		c.add(sum6(with(u6, func(p []byte) { copy(p[20:], a[:]) }), 6), "6to4 from %s", name)
	}
	c.add(sum6(with(u6, func(p []byte) { copy(p[20:], clat4[:]) }), 6), "6to4 from the CLAT's own IPv4 address")
	c.add(sum6(with(u6, func(p []byte) { copy(p[8:], alien6[:]) }), 6), "6to4 from outside the prefix")
}

func (c *builder) fragments() {
	for _, kind := range []struct {
		name  string
		proto byte
		body  []byte
		at    int
	}{{"UDP", 17, udp(2000), 6}, {"TCP", 6, tcp(2000), 16}, {"GRE", 47, udp(2000), 6}} {
		four, six := sum4(v4(kind.proto, kind.body), kind.at), sum6(v6(kind.proto, kind.body), kind.at)
		c.add(piece4(four, 0, 800), "4to6 %s, first fragment", kind.name)
		c.add(piece4(four, 800, 1600), "4to6 %s, middle fragment", kind.name)
		c.add(piece4(four, 1600, len(kind.body)), "4to6 %s, last fragment", kind.name)
		c.add(piece4(four, 0, 1400), "4to6 %s, fragment to be cut further", kind.name)
		c.add(with(piece4(four, 0, 800), func(p []byte) { p[6] |= 0x40 }), "4to6 %s, fragment with DF=1", kind.name)
		c.add(with(piece4(four, 0, 1464), func(p []byte) { p[6] |= 0x40 }), "4to6 %s, large fragment with DF=1", kind.name)
		c.add(piece6(six, 0, 800), "6to4 %s, first fragment", kind.name)
		c.add(piece6(six, 800, 1600), "6to4 %s, middle fragment", kind.name)
		c.add(piece6(six, 1600, len(kind.body)), "6to4 %s, last fragment", kind.name)
	}
	c.add(piece4(sum4(v4(6, tcp(100)), 16), 0, 8), "4to6 TCP, tiny first fragment")
	c.add(piece6(sum6(v6(6, tcp(100)), 16), 0, 8), "6to4 TCP, tiny first fragment")
	c.add(piece4(v4(1, echo(8, 1000)), 0, 504), "4to6 echo, first fragment")
	c.add(piece4(v4(1, echo(8, 1000)), 504, 1008), "4to6 echo, last fragment")
	c.add(piece6(sum6(v6(58, echo(129, 1000)), 2), 0, 504), "6to4 echo, first fragment")
	c.add(piece6(sum6(v6(58, echo(129, 1000)), 2), 504, 1008), "6to4 echo, last fragment")
	c.add(with(v4(1, echo(8, 1400)), func(p []byte) { p[6] = 0 }), "4to6 echo of 1428 bytes, DF=0")
	none := sum4(v4(17, udp(1000)), 6)
	none[26], none[27] = 0, 0
	c.add(piece4(none, 0, 800), "4to6 UDP without checksum, first fragment")
	c.add(piece6(v6(51, udp(1000)), 0, 800), "6to4 AH in a fragment")
	c.add(piece6(v6(60, make([]byte, 1000)), 0, 800), "6to4 Destination Options in a fragment")
}

func (c *builder) errors4() {
	quote := got4(17, udp(100), 6)
	for code := byte(0); code <= 16; code++ {
		word := uint32(0)
		if code == 4 {
			word = 1400
		}
		c.add(error4(3, code, word, quote), "4to6 error 3/%d", code)
	}
	for _, mtu := range []uint32{0, 68, 576, 1260, 1261, 1480, 9000} {
		c.add(error4(3, 4, mtu, quote), "4to6 Fragmentation Needed, MTU %d", mtu)
	}
	for _, e := range [][2]byte{{11, 0}, {11, 1}, {11, 2}, {12, 1}, {12, 3}, {4, 0}, {5, 0}, {13, 0}, {17, 0}} {
		c.add(error4(e[0], e[1], 0, quote), "4to6 error %d/%d", e[0], e[1])
	}
	for ptr := range uint32(21) {
		c.add(error4(12, 0, ptr<<24, quote), "4to6 Parameter Problem, pointer %d", ptr)
	}
	c.add(error4(12, 2, 8<<24, quote), "4to6 error 12/2, pointer 8")
	c.add(error4(3, 3, 0, quote[:28]), "4to6 error, 8 bytes of UDP quoted")
	c.add(error4(3, 3, 0, got4(6, tcp(100), 16)[:28]), "4to6 error, 8 bytes of TCP quoted")
	c.add(error4(3, 3, 0, got4(6, tcp(100), 16)), "4to6 error, TCP quoted")
	c.add(error4(3, 1, 0, got4(1, echo(0, 40), 2)), "4to6 error, echo with a wrong checksum quoted")
	c.add(error4(3, 1, 0, with(got4(17, udp(10), 6), func(p []byte) { copy(p[16:], peer4[:]) })), "4to6 error about a packet that was not for the host")
	c.add(error4(3, 3, 0, with(quote, func(p []byte) { p[26], p[27] = 0, 0 })), "4to6 error, UDP without checksum quoted")
	c.add(error4(11, 1, 0, piece4(got4(17, udp(1000), 6), 0, 400)), "4to6 error, first fragment quoted")
	c.add(error4(3, 3, 0, error4(3, 3, 0, quote)), "4to6 error about an error")
	bad := error4(3, 3, 0, quote)
	bad[22] ^= 1
	c.add(bad, "4to6 error, wrong checksum")
	c.add(error4(11, 0, 32<<16, append(append(bytes.Clone(quote[:128:128]), 0x20, 0, 0xcd, 0xf4), 0, 8, 1, 1, 0, 1, 0x11, 1)), "4to6 error with an extension")
}

func (c *builder) errors6() {
	quote := sent6(17, udp(100), 6)
	for _, e := range [][2]byte{{1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {3, 0}, {3, 1}, {3, 2}, {4, 1}, {4, 2}, {100, 0}} {
		c.add(error6(peer6, e[0], e[1], 0, quote), "6to4 error %d/%d", e[0], e[1])
	}
	for _, mtu := range []uint32{0, 576, 1279, 1280, 1400, 1500, 9000, 0xffffffff} {
		c.add(error6(peer6, 2, 0, mtu, quote), "6to4 Packet Too Big, MTU %d", mtu)
	}
	for _, ptr := range []uint32{0, 1, 2, 4, 5, 6, 7, 8, 23, 24, 39, 40, 256} {
		c.add(error6(peer6, 4, 0, ptr, quote), "6to4 Parameter Problem, pointer %d", ptr)
	}
	for _, typ := range []byte{1, 2, 3, 4} {
		word := map[byte]uint32{2: 1400, 4: 7}[typ]
		c.add(error6(alien6, typ, 0, word, quote), "6to4 error %d/0 of a router outside the prefix", typ)
	}
	for _, typ := range []byte{130, 133, 135, 136, 137, 143} {
		c.add(sum6(v6(58, echo(typ, 20)), 2), "6to4 ICMPv6 type %d", typ)
	}
	c.add(error6(peer6, 1, 4, 0, quote[:48]), "6to4 error, 8 bytes of UDP quoted")
	c.add(error6(peer6, 1, 4, 0, sent6(6, tcp(100), 16)[:48]), "6to4 error, 8 bytes of TCP quoted")
	c.add(error6(peer6, 1, 4, 0, sent6(6, tcp(100), 16)), "6to4 error, TCP quoted")
	c.add(error6(peer6, 1, 0, 0, sent6(58, echo(128, 40), 2)), "6to4 error, echo quoted")
	c.add(error6(peer6, 1, 0, 0, sent6(6, tcp(1160), 16)), "6to4 error of more than 576 bytes")
	c.add(error6(peer6, 2, 0, 1400, piece6(sent6(17, udp(1200), 6), 0, 400)), "6to4 Packet Too Big, first fragment quoted")
	c.add(error6(peer6, 1, 4, 0, error6(peer6, 1, 4, 0, quote)), "6to4 error about an error")
	c.add(with(error6(peer6, 1, 4, 0, quote), func(p []byte) { p[42] ^= 1 }), "6to4 error, wrong checksum")
	ext := append(append(bytes.Clone(quote[:128:128]), 0x20, 0, 0xcd, 0xf4), 0, 8, 1, 1, 0, 1, 0x11, 1)
	c.add(error6(peer6, 3, 0, 16<<24, ext), "6to4 error with an extension")
	c.add(error6(peer6, 1, 4, 0, with(quote, func(p []byte) { copy(p[8:], alien6[:]) })), "6to4 error about a packet that the host did not send")
}
