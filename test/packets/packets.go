// Package packets makes IP packets of every kind that a CLAT may meet, good and bad,
// for tests that compare translators with each other.
//
// It shares no code with what it tests, and knows nothing of what should become of a
// packet but whether it is Plain. The packets are the same at each run.
package packets

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
)

// Sides are the addresses of a CLAT's host and of the host that it talks to.
type Sides struct {
	CLAT4, Peer4 netip.Addr
	CLAT6, Peer6 netip.Addr
	MTU6         int // bytes, of the IPv6 side; the IPv4 side has 20 less
}

// Packet is one IP packet.
type Packet struct {
	Name  string
	Bytes []byte
	// Plain is a whole TCP, UDP or echo packet without extras, to be translated by
	// anything that calls itself a translator.
	Plain bool
}

// Protocol numbers.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// Checksum is RFC 1071's, over parts of which all but the last have an even length.
func Checksum(parts ...[]byte) uint16 {
	sum := 0
	for _, p := range parts {
		for i, b := range p {
			sum += int(b) << (8 * (1 - i%2))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// at is where the checksum stands in a transport header.
func at(proto byte) int {
	switch proto {
	case TCP:
		return 16
	case UDP:
		return 6
	}
	return 2
}

// Seal4 puts length, header checksum and the transport checksum of an IPv4 packet
// right, as far as the packet has them.
func Seal4(p []byte) []byte {
	head := int(p[0]&15) * 4
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	clear(p[10:12])
	binary.BigEndian.PutUint16(p[10:], Checksum(p[:head]))
	body, proto := p[head:], p[9]
	if len(body) < at(proto)+2 || proto != TCP && proto != UDP && proto != ICMP {
		return p
	}
	pseudo := append(bytes.Clone(p[12:20]), 0, proto, byte(len(body)>>8), byte(len(body)))
	if proto == ICMP {
		pseudo = nil
	}
	put(body, proto, pseudo)
	return p
}

// Seal6 does the same for an IPv6 packet without extension headers.
func Seal6(p []byte) []byte {
	body, proto := p[40:], p[6]
	binary.BigEndian.PutUint16(p[4:], uint16(len(body)))
	if len(body) < at(proto)+2 || proto != TCP && proto != UDP && proto != ICMPv6 {
		return p
	}
	pseudo := append(bytes.Clone(p[8:40]), 0, 0, byte(len(body)>>8), byte(len(body)), 0, 0, 0, proto)
	put(body, proto, pseudo)
	return p
}

// put computes a transport checksum.
func put(body []byte, proto byte, pseudo []byte) {
	field := body[at(proto):]
	clear(field[:2])
	check := Checksum(pseudo, body)
	if check == 0 && proto == UDP {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(field, check)
}

// Four is a sealed packet from the host, DF set, with size bytes behind the transport
// header. proto is TCP, UDP or ICMP; typ is the type of ICMP.
func (s Sides) Four(proto, typ byte, size int) []byte {
	p := append(make([]byte, 20), body(proto, typ, size)...)
	p[0], p[5], p[6], p[8], p[9] = 0x45, 7, 0x40, 64, proto
	copy(p[12:], s.CLAT4.AsSlice())
	copy(p[16:], s.Peer4.AsSlice())
	return Seal4(p)
}

// Six is a sealed packet from the network.
func (s Sides) Six(proto, typ byte, size int) []byte {
	p := append(make([]byte, 40), body(proto, typ, size)...)
	p[0], p[6], p[7] = 0x60, proto, 57
	copy(p[8:], s.Peer6.AsSlice())
	copy(p[24:], s.CLAT6.AsSlice())
	return Seal6(p)
}

// body is a transport header with size bytes behind it.
func body(proto, typ byte, size int) []byte {
	var b []byte
	switch proto {
	case TCP:
		b = []byte{0xc0, 0, 1, 0xbb, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0}
	case UDP:
		b = []byte{0x13, 0x88, 0, 53, byte((8 + size) >> 8), byte(8 + size), 0, 0}
	default:
		b = []byte{typ, 0, 0, 0, 0xab, 0xcd, 0, 1}
	}
	for i := range size {
		b = append(b, byte(i*7+i>>8))
	}
	return b
}

// kind is one sort of plain packet.
type kind struct {
	name       string
	proto, typ byte
	head       int
}

var fours = []kind{{"TCP", TCP, 0, 20}, {"UDP", UDP, 0, 8}, {"echo request", ICMP, 8, 8}, {"echo reply", ICMP, 0, 8}}
var sixes = []kind{{"TCP", TCP, 0, 20}, {"UDP", UDP, 0, 8}, {"echo request", ICMPv6, 128, 8}, {"echo reply", ICMPv6, 129, 8}}

// list collects packets.
type list []Packet

func (l *list) add(plain bool, p []byte, format string, args ...any) {
	*l = append(*l, Packet{fmt.Sprintf(format, args...), p, plain})
}

// with is p changed.
func with(p []byte, change func(p []byte)) []byte {
	p = bytes.Clone(p)
	change(p)
	return p
}

// ordered yields a map in the order of its keys.
func ordered[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
