package packets

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// From6 are packets that come from the network. embed makes the IPv6 address of an
// IPv4 host.
func (s Sides) From6(embed func(netip.Addr) netip.Addr) []Packet {
	var l list
	for _, k := range sixes {
		six := func(size int) []byte { return s.Six(k.proto, k.typ, size) }
		for _, n := range append([]int{1260 - 20 - k.head, 1261 - 20 - k.head, s.MTU6 - 40 - k.head}, sizes...) {
			l.add(true, six(n), "%s with %d bytes", k.name, n)
		}
		l.add(false, six(s.MTU6-40-k.head+1), "%s one byte over the MTU", k.name)
		for i := range 256 {
			l.add(true, with(six(4), func(p []byte) {
				p[0], p[1], p[2], p[3] = 0x60|byte(i>>4), byte(i<<4)|9, byte(i), 0xff
			}), "%s with Traffic Class %02x and a flow label", k.name, i)
			l.add(i > 1, with(six(4), func(p []byte) { p[7] = byte(i) }), "%s with Hop Limit %d", k.name, i)
		}
		for name, change := range ordered(map[string]func(p []byte){
			"payload of 0 bytes": func(p []byte) { p[4], p[5] = 0, 0 },
			"payload one more":   func(p []byte) { p[5]++ },
			"payload one less":   func(p []byte) { p[5]-- },
			"payload of 65535":   func(p []byte) { p[4], p[5] = 0xff, 0xff },
			"version 4":          func(p []byte) { p[0] = 0x45 },
		}) {
			l.add(false, with(six(4), change), "%s, %s", k.name, name)
		}
		l.add(true, append(six(4), 0, 0, 0, 0, 0, 0), "%s with padding of the link", k.name)
		l.add(true, with(six(64), func(p []byte) { p[40+at(k.proto)]++ }), "%s with a wrong checksum", k.name)
		for _, next := range []byte{0, 43, 44, 51, 59, 60, 135, 139, 140, 253} {
			for _, word := range []string{"\x00\x00\x00\x00\x00\x00\x00\x07", "\x00\x00\x00\x01\x00\x00\x00\x07", "\x00\x00\x00\x08\x00\x00\x00\x07"} {
				l.add(false, extended(six(64), next, word), "%s behind header %d (% x)", k.name, next, word)
			}
		}
		for _, a := range Special {
			l.add(false, Seal6(with(six(4), func(p []byte) { copy(p[8:], embed(netip.MustParseAddr(a)).AsSlice()) })), "%s from %s", k.name, a)
		}
		for i := range 16 {
			l.add(false, Seal6(with(six(4), func(p []byte) { p[8+i] ^= 1 })), "%s from another in byte %d", k.name, i)
			l.add(false, Seal6(with(six(4), func(p []byte) { p[24+i] ^= 1 })), "%s to another in byte %d", k.name, i)
		}
		for n := range 40 + k.head + 4 {
			l.add(false, six(4)[:n], "%s, the first %d bytes", k.name, n)
		}
	}
	s.transports(&l, s.Six, 40)
	for proto := range 256 {
		l.add(false, with(s.Six(UDP, 0, 64), func(p []byte) { p[6] = byte(proto) }), "protocol %d", proto)
	}
	for typ := range 256 {
		for code := range byte(2) {
			l.add(code == 0 && (typ == 128 || typ == 129), Seal6(with(s.Six(ICMPv6, byte(typ), 40), func(p []byte) { p[41] = code })), "ICMPv6 type %d code %d", typ, code)
		}
	}
	return s.mutate(l, func([]byte) {})
}

// extended puts an extension header of eight bytes before the upper layer.
func extended(p []byte, next byte, header string) []byte {
	out := append(append(bytes.Clone(p[:40]), header...), p[40:]...)
	out[40], out[6] = p[6], next
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}
