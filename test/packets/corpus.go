package packets

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// Special are IPv4 addresses of every block that a translator may treat in its own
// way, and neighbours of these.
var Special = []string{"0.0.0.0", "0.1.2.3", "1.0.0.1", "9.255.255.255", "10.1.2.3", "11.0.0.0", "100.63.255.255", "100.64.0.1", "100.127.255.255",
	"100.128.0.0", "126.255.255.255", "127.0.0.1", "128.0.0.0", "169.253.255.255", "169.254.1.1", "169.255.0.0", "172.15.255.255", "172.16.0.1",
	"172.31.255.255", "172.32.0.0", "191.255.255.255", "192.0.0.0", "192.0.0.1", "192.0.0.7", "192.0.0.8", "192.0.0.9", "192.0.0.10", "192.0.0.11",
	"192.0.1.0", "192.0.2.33", "192.0.3.0", "192.88.98.255", "192.88.99.1", "192.88.100.0", "192.167.255.255", "192.168.1.1", "192.169.0.0",
	"198.17.255.255", "198.18.0.1", "198.19.255.255", "198.20.0.0", "198.51.99.255", "198.51.100.10", "198.51.101.0", "203.0.112.255",
	"203.0.113.1", "203.0.114.10", "223.255.255.255", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255", "8.8.8.8"}

var sizes = []int{0, 1, 2, 3, 4, 7, 64, 99, 500}

// From4 are packets that the host sends.
func (s Sides) From4() []Packet {
	var l list
	mtu4 := s.MTU6 - 20
	for _, k := range fours {
		four := func(size int) []byte { return s.Four(k.proto, k.typ, size) }
		for _, n := range append([]int{1260 - 20 - k.head, 1261 - 20 - k.head, mtu4 - 20 - k.head}, sizes...) {
			l.add(true, four(n), "%s with %d bytes", k.name, n)
			noDF := Seal4(with(four(n), func(p []byte) { p[6] = 0 }))
			l.add(len(noDF) <= 1260, noDF, "%s with %d bytes, DF=0", k.name, n)
		}
		l.add(false, four(mtu4-20-k.head+1), "%s one byte over the MTU", k.name)
		for tos := range 256 {
			l.add(true, Seal4(with(four(4), func(p []byte) { p[1] = byte(tos) })), "%s with TOS %02x", k.name, tos)
			l.add(tos > 1, Seal4(with(four(4), func(p []byte) { p[8] = byte(tos) })), "%s with TTL %d", k.name, tos)
		}
		for name, change := range ordered(map[string]func(p []byte){
			"header checksum off by one": func(p []byte) { p[11]++ },
			"version 5":                  func(p []byte) { p[0] = 0x55 },
			"version 6":                  func(p []byte) { p[0] = 0x65 },
			"header of 16 bytes":         func(p []byte) { p[0] = 0x44 },
			"header longer than all":     func(p []byte) { p[0] = 0x4f },
			"length of the header":       func(p []byte) { p[2], p[3] = 0, 20 },
			"length too small":           func(p []byte) { p[2], p[3] = 0, 19 },
			"length one more":            func(p []byte) { p[3]++ },
			"length one less":            func(p []byte) { p[3]-- },
		}) {
			l.add(false, with(four(4), change), "%s, %s", k.name, name)
			l.add(false, with(four(4), func(p []byte) { change(p); reseal(p) }), "%s, %s, sealed", k.name, name)
		}
		l.add(true, append(four(4), 0, 0, 0, 0, 0, 0), "%s with padding of the link", k.name)
		l.add(true, Seal4(with(four(4), func(p []byte) { p[4], p[5], p[6] = 0xff, 0xff, 0xc0 })), "%s with the reserved flag", k.name)
		l.add(true, with(four(64), func(p []byte) { p[20+at(k.proto)]++ }), "%s with a wrong checksum", k.name)
		for _, f := range []uint16{0x2000, 0x2001, 1, 0x1fff, 0x6000, 0x4001} {
			l.add(false, with(four(64), func(p []byte) { binary.BigEndian.PutUint16(p[6:], f); reseal(p) }), "%s, fragment %04x", k.name, f)
		}
		for name, o := range ordered(map[string]string{"no-operation": "\x01\x01\x01\x00", "router alert": "\x94\x04\x00\x00", "used-up source route": "\x83\x03\x04\x00",
			"source route": "\x83\x07\x04\x08\x08\x08\x08\x00", "malformed": "\x07\x01\x00\x00"}) {
			p := append(append(bytes.Clone(four(4)[:20]), o...), four(4)[20:]...)
			p[0] = 0x40 | byte(5+len(o)/4)
			l.add(false, Seal4(p), "%s with option %s", k.name, name)
		}
		for _, a := range Special {
			l.add(false, Seal4(with(four(4), func(p []byte) { copy(p[16:], netip.MustParseAddr(a).AsSlice()) })), "%s to %s", k.name, a)
		}
		l.add(false, Seal4(with(four(4), func(p []byte) { copy(p[16:], s.CLAT4.AsSlice()) })), "%s to itself", k.name)
		l.add(false, Seal4(with(four(4), func(p []byte) { p[15]++ })), "%s from another", k.name)
		for n := range 20 + k.head + 4 {
			l.add(false, four(4)[:n], "%s, the first %d bytes", k.name, n)
		}
	}
	s.transports(&l, s.Four, 20)
	for proto := range 256 {
		l.add(false, with(s.Four(UDP, 0, 64), func(p []byte) { p[9] = byte(proto); reseal(p) }), "protocol %d", proto)
	}
	for typ := range 256 {
		for code := range byte(2) {
			l.add(code == 0 && (typ == 0 || typ == 8), Seal4(with(s.Four(ICMP, byte(typ), 40), func(p []byte) { p[21] = code })), "ICMP type %d code %d", typ, code)
		}
	}
	return s.mutate(l, reseal)
}

// reseal puts the header checksum of an IPv4 packet right and nothing else.
func reseal(p []byte) {
	if head := int(p[0]&15) * 4; head >= 20 && head <= len(p) {
		clear(p[10:12])
		binary.BigEndian.PutUint16(p[10:], Checksum(p[:head]))
	}
}

// transports are TCP and UDP headers of all forms. make makes a packet with ip bytes
// of IP header.
func (s Sides) transports(l *list, make func(proto, typ byte, size int) []byte, ip int) {
	for offset := range byte(16) {
		p := with(make(TCP, 0, 44), func(p []byte) { p[ip+12] = offset << 4 })
		l.add(offset >= 5, p, "TCP with a header of %d bytes", offset*4)
		l.add(false, with(make(TCP, 0, 10), func(p []byte) { p[ip+12] = offset << 4 }), "TCP of 30 bytes with a header of %d", offset*4)
	}
	for flags := range 256 {
		l.add(true, with(make(TCP, 0, 1), func(p []byte) { p[ip+13] = byte(flags) }), "TCP with flags %02x", flags)
	}
	for check := range 0x300 {
		for _, proto := range []byte{TCP, UDP} {
			v := uint16(check*0x155 + check%3)
			p := with(make(proto, 0, 6), func(p []byte) { binary.BigEndian.PutUint16(p[ip+at(proto):], v) })
			l.add(v != 0, p, "protocol %d with checksum %04x", proto, v)
		}
	}
	for _, v := range []uint16{0, 1, 0xfffe, 0xffff} {
		for _, proto := range []byte{TCP, UDP} {
			l.add(false, with(make(proto, 0, 6), func(p []byte) { binary.BigEndian.PutUint16(p[ip+at(proto):], v) }), "protocol %d with checksum %04x", proto, v)
		}
	}
	for _, n := range []uint16{0, 7, 8, 9, 71, 72, 73, 1000, 0xffff} {
		l.add(n >= 8 && n <= 72, with(make(UDP, 0, 64), func(p []byte) { binary.BigEndian.PutUint16(p[ip+4:], n) }), "UDP of 72 bytes that says %d", n)
	}
	// Data that brings the checksum to each end of its range: 0 means none in UDP.
	for _, proto := range []byte{TCP, UDP} {
		for _, want := range []uint16{0xffff, 0xfffe, 1} {
			p := make(proto, 0, 2)
			field := p[ip+at(proto):]
			data := p[len(p)-2:]
			sum := int(^binary.BigEndian.Uint16(field)) - int(binary.BigEndian.Uint16(data)) + 2*0xffff
			binary.BigEndian.PutUint16(data, uint16((int(^want)-sum+6*0xffff)%0xffff))
			binary.BigEndian.PutUint16(field, want)
			l.add(false, p, "protocol %d whose checksum is %04x", proto, want)
		}
	}
}

// mutate adds packets in which chance changed up to four bytes, with the header put
// right or not.
func (s Sides) mutate(l list, reseal func([]byte)) []Packet {
	r := rand.New(rand.NewPCG(6, 4))
	for i := range 2000 {
		from := l[r.IntN(len(l))]
		p := with(from.Bytes, func(p []byte) {
			for range 1 + r.IntN(4) {
				if len(p) > 0 {
					p[r.IntN(min(len(p), 64))] = byte(r.Uint32())
				}
			}
			if i%3 > 0 && len(p) >= 20 {
				reseal(p)
			}
		})
		l.add(false, p, "%s, changed by chance %d", from.Name, i)
	}
	return l
}
