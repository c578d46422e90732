package siit

import (
	"encoding/binary"
	"net/netip"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Bounds of the walk along extension headers (SIIT-28).
const maxHeaders, maxHeaderBytes = 8, 512

// in6 is a received IPv6 packet, checked.
type in6 struct {
	pkt    []byte // without link padding
	at     int    // where the upper layer begins
	proto  uint8
	ident  uint16 // Identification of an atomic fragment
	atomic bool   // a Fragment Header with offset 0 and M 0 was skipped
	bad    int    // offset of Segments Left in a Routing header not used up, or 0
}

func (p in6) l4() []byte { return p.pkt[p.at:] }

// To4 translates what came from the network for the CLAT's address (RFC 7915
// section 5).
func (t *Translator) To4(out *Batch, h vnethdr.Header, pkt []byte) Verdict {
	if len(pkt) < 40 || pkt[0]>>4 != 6 {
		return Malformed
	}
	if [16]byte(pkt[24:40]) != t.clat6 {
		return NotOurs
	}
	length := int(binary.BigEndian.Uint16(pkt[4:]))
	if length == 0 || 40+length > len(pkt) {
		return Malformed
	}
	p, v := walk6(pkt[:40+length])
	if v == AnsweredRouting {
		return t.answer6(out, p, v, 4, 0, uint32(p.bad))
	}
	if v != OK {
		return v
	}
	if p.proto == protoICMPv6 && len(p.l4()) > 0 && p.l4()[0] < 128 {
		return t.errorTo4(out, h, p)
	}
	src, v := t.source4(p.pkt)
	if v != OK {
		return v
	}
	if pkt[7] <= 1 {
		return t.answer6(out, p, AnsweredTTL, 3, 0, 0)
	}
	if p.proto == protoICMPv6 {
		return t.echoTo4(out, h, p, src)
	}
	return t.transportTo4(out, h, p, src)
}

// source4 extracts the IPv4 address of a sender inside the prefix (SIIT-8).
func (t *Translator) source4(pkt []byte) ([4]byte, Verdict) {
	v4, ok := t.conf.Prefix.Extract(netip.AddrFrom16([16]byte(pkt[8:24])))
	if !ok {
		return [4]byte{}, OutsidePrefix
	}
	a := v4.As4()
	switch {
	case !unicast4(a) || a == t.clat4:
		return a, Martian
	case !t.allowed(v4):
		return a, NotAllowed
	}
	return a, OK
}

// walk6 finds the upper layer behind extension headers, which are skipped
// (SIIT-27, SIIT-28).
func walk6(pkt []byte) (p in6, v Verdict) {
	p = in6{pkt: pkt, at: 40, proto: pkt[6]}
	for range maxHeaders {
		switch p.proto {
		case nextHopByHop, nextOptions, nextRouting, nextFragment:
		case nextNone, nextMobility, protoICMP, protoIGMP:
			return p, BadProtocol
		default:
			if p.bad != 0 {
				return p, AnsweredRouting
			}
			return p, OK
		}
		if p.proto == nextHopByHop && p.at != 40 {
			return p, BadOptions
		}
		if len(pkt) < p.at+8 {
			return p, Malformed
		}
		b, size := pkt[p.at:], 8
		if p.proto == nextFragment {
			if v := p.fragment(b); v != OK {
				return p, v
			}
		} else {
			size = (int(b[1]) + 1) * 8
		}
		// Go on: what lies behind decides whether it may be answered.
		if p.proto == nextRouting && b[3] != 0 && p.bad == 0 {
			p.bad = p.at + 3
		}
		p.proto, p.at = b[0], p.at+size
		if p.at > len(pkt) || p.at > 40+maxHeaderBytes {
			return p, BadOptions
		}
	}
	return p, BadOptions
}

// fragment looks at a Fragment Header: only an atomic fragment is whole (8021-1).
func (p *in6) fragment(b []byte) Verdict {
	if binary.BigEndian.Uint16(b[2:])&0xfff9 != 0 || p.atomic {
		return Fragment
	}
	switch b[0] {
	case nextHopByHop, nextOptions, nextRouting, nextMobility, nextAH, nextHIP, nextShim6, nextTest1, nextTest2:
		return BadOptions // 7915-32
	}
	p.atomic, p.ident = true, binary.BigEndian.Uint16(b[6:])
	return OK
}

// fits4 tells whether an IPv6 packet that becomes size bytes of IPv4 may go on
// (7915-1, 7915-34).
func (t *Translator) fits4(out *Batch, p in6, size int) Verdict {
	switch {
	case size <= t.conf.MTU4:
		return OK
	case size+20 > 1280:
		return t.answer6(out, p, AnsweredTooBig, 2, 0, uint32(max(1280, t.conf.MTU4+20)))
	}
	return TooBig
}

// header4 writes the IPv4 header that stands for the IPv6 one (7915-30, 7915-31).
// size is that of the packet on the wire, which decides about DF.
func (t *Translator) header4(b []byte, out *Batch, p in6, src [4]byte, payload, size int) {
	b[0], b[1] = 0x45, p.pkt[0]<<4|p.pkt[1]>>4
	binary.BigEndian.PutUint16(b[2:], uint16(20+payload))
	switch {
	case p.atomic:
		binary.BigEndian.PutUint16(b[4:], p.ident)
	case size > 1260:
		b[6] = 0x40
	default:
		binary.BigEndian.PutUint16(b[4:], out.nextIdent())
	}
	b[8], b[9] = p.pkt[7]-1, p.proto
	if p.proto == protoICMPv6 {
		b[9] = protoICMP
	}
	copy(b[12:], src[:])
	copy(b[16:], t.clat4[:])
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b[:20])))
}

// transportTo4 translates everything but ICMPv6.
func (t *Translator) transportTo4(out *Batch, h vnethdr.Header, p in6, src [4]byte) Verdict {
	l4 := p.l4()
	if 20+len(l4) > 65535 {
		return TooBig
	}
	n, v := transportHead(p.proto, l4)
	if v != OK {
		return v
	}
	hdr, ok := offload(h, p.proto, p.at, 20, vnethdr.GSOTCPv6, vnethdr.GSOTCPv4)
	if !ok {
		return Offload
	}
	partial := h.Flags&vnethdr.NeedsCsum != 0
	if p.proto == protoUDP && !partial && binary.BigEndian.Uint16(l4[6:]) == 0 {
		return ZeroChecksum
	}
	size := segment(h, p.proto, 20, l4)
	if v := t.fits4(out, p, size); v != OK {
		return v
	}
	b := out.head(20 + n)
	t.header4(b, out, p, src, len(l4), size)
	copy(b[20:], l4[:n])
	if at := checkField(p.proto); at >= 0 {
		fix(b[20+at:], p.proto, partial, sum(p.pkt[8:40]), sum(b[12:20]))
	}
	out.add(hdr, b, l4[n:])
	return OK
}
