package siit

import "encoding/binary"

// Bounds of the walk along extension headers (SIIT-28).
const maxHeaders, maxHeaderBytes = 8, 512

// in6 is a received IPv6 packet, checked.
type in6 struct {
	pkt   []byte // without link padding
	at    int    // where the upper layer, or the part of it that is here, begins
	proto uint8
	fh    bool   // there is a Fragment Header, perhaps with nothing cut off (RFC 6946)
	frag  uint16 // More Fragments and offset, as IPv4 has them; 0: the upper layer is whole
	ident uint16 // low half of the Fragment Header's Identification
	bad   int    // offset of Segments Left in a Routing header not used up, or 0
}

func (p *in6) l4() []byte  { return p.pkt[p.at:] }
func (p *in6) offset() int { return int(p.frag&0x1fff) * 8 }
func (p *in6) more() bool  { return p.frag&moreFragments != 0 }

// parse finds the upper layer behind extension headers, which are skipped
// (SIIT-27, SIIT-28). pkt holds at least an IPv6 header.
func (p *in6) parse(pkt []byte) Verdict {
	p.pkt, p.at, p.proto = pkt, 40, pkt[6]
	if p.proto == protoTCP || p.proto == protoUDP {
		return OK
	}
	for range maxHeaders + 1 { // the last for what they stand before
		switch p.proto {
		case nextHopByHop, nextOptions, nextRouting, nextFragment:
		case nextNone, nextMobility, protoICMP, protoIGMP:
			return BadProtocol
		default:
			if p.bad != 0 {
				return AnsweredRouting
			}
			return OK
		}
		if p.proto == nextHopByHop && p.at != 40 {
			return BadOptions
		}
		if len(pkt) < p.at+8 {
			return Malformed
		}
		b, size := pkt[p.at:], 8
		if p.proto == nextFragment {
			if v := p.fragmentHeader(b); v != OK {
				return v
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
			return BadOptions
		}
	}
	return BadOptions
}

// fragmentHeader reads a Fragment Header (SIIT-26). What it holds must not begin
// with another extension header: lengths and offsets would be wrong (7915-32).
func (p *in6) fragmentHeader(b []byte) Verdict {
	switch b[0] {
	case nextHopByHop, nextOptions, nextRouting, nextFragment, nextMobility, nextAH, nextHIP, nextShim6, nextTest1, nextTest2:
		return BadFragment
	}
	word := binary.BigEndian.Uint16(b[2:])
	p.fh, p.ident = true, binary.BigEndian.Uint16(b[6:])
	p.frag = word >> 3
	if word&1 != 0 {
		p.frag |= moreFragments
	}
	return OK
}
