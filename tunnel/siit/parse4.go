package siit

import "encoding/binary"

// in4 is a received IPv4 packet, checked.
type in4 struct {
	pkt   []byte // without link padding
	ihl   int    // bytes of header
	proto uint8
	frag  uint16 // More Fragments and offset, as in bytes 6 and 7; 0: not a fragment
	src   [4]byte
	dst   [4]byte
}

const moreFragments = 0x2000 // in frag, and in IPv4's bytes 6 and 7

func (p *in4) l4() []byte  { return p.pkt[p.ihl:] }
func (p *in4) df() bool    { return p.pkt[6]&0x40 != 0 }
func (p *in4) offset() int { return int(p.frag&0x1fff) * 8 }
func (p *in4) more() bool  { return p.frag&moreFragments != 0 }

// parse checks the header (SIIT-1). A quoted packet is cut short and its header
// checksum may be stale, so that quoted skips what depends on it.
func (p *in4) parse(pkt []byte, quoted bool) Verdict {
	if len(pkt) < 20 || pkt[0]>>4 != 4 {
		return Malformed
	}
	p.ihl = int(pkt[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(pkt[2:]))
	if p.ihl < 20 || total < p.ihl || p.ihl > len(pkt) || !quoted && total > len(pkt) {
		return Malformed
	}
	p.pkt = pkt[:min(total, len(pkt))]
	if !quoted && headerSum(pkt[:p.ihl]) != 0xffff {
		return BadHeaderChecksum
	}
	p.proto, p.src, p.dst = pkt[9], [4]byte(pkt[12:]), [4]byte(pkt[16:])
	p.frag = binary.BigEndian.Uint16(pkt[6:]) & (moreFragments | 0x1fff)
	if p.frag != 0 && !quoted && !plausible(p.offset(), total-p.ihl, p.more()) {
		return BadFragment
	}
	return OK
}

// maxPayload4 is the most that an IPv4 datagram can hold, in bytes.
const maxPayload4 = 65535 - 20

// plausible tells whether a fragment of size bytes can stand at offset: not
// empty, of whole units of 8 bytes when more follow, and not past what an IPv4
// datagram can hold (RFC 791 section 3.2, RFC 8200 section 4.5).
func plausible(offset, size int, more bool) bool {
	return size > 0 && (!more || size%8 == 0) && offset+size <= maxPayload4
}

// badProtocol4 refuses protocols whose number means an extension header or the
// other family's ICMP in IPv6 (SIIT-13; 7915-13 would copy them), and IGMP.
func badProtocol4(proto uint8) bool {
	switch proto {
	case nextHopByHop, nextRouting, nextFragment, nextOptions, nextMobility, protoICMPv6, protoIGMP:
		return true
	}
	return false
}

// checkOptions walks IPv4 options, which are not translated (SIIT-12). A source
// route that is not used up forbids translation (SIIT-11).
func checkOptions(o []byte) Verdict {
	for len(o) > 0 {
		switch o[0] {
		case 0:
			return OK
		case 1:
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return BadOptions
		}
		if n := o[1]; o[0] == 131 || o[0] == 137 {
			if n < 3 {
				return BadOptions
			}
			if o[2] <= n {
				return AnsweredSourceRoute
			}
		}
		o = o[o[1]:]
	}
	return OK
}
