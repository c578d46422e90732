package siit

import "encoding/binary"

// answer4 puts an ICMPv4 error for the host into out, from the dummy address,
// since the CLAT has no other that the host does not own itself (SIIT-69). An
// ICMP error and what is not the first fragment are never answered (7915-83).
func (t *Translator) answer4(out *Batch, p *in4, v Verdict, typ, code uint8, rest uint32) Verdict {
	if p.offset() > 0 {
		return unanswered(v)
	}
	if p.proto == protoICMP {
		if msg := p.l4(); len(msg) == 0 || !isQuery4(msg[0]) {
			return unanswered(v)
		}
	}
	quote := p.pkt[:min(len(p.pkt), maxError4-28)]
	b := out.head(28)
	b[0], b[1] = 0x45, 0xc0 // precedence: internetwork control, RFC 1812 section 4.3.2.5
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(quote)))
	binary.BigEndian.PutUint16(b[4:], out.nextIdent())
	b[8], b[9] = 64, protoICMP
	copy(b[12:], dummy[:])
	copy(b[16:], t.clat4[:])
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b[:20])))
	b[20], b[21] = typ, code
	binary.BigEndian.PutUint32(b[24:], rest)
	binary.BigEndian.PutUint16(b[22:], ^fold(sum(b[20:])+sum(quote)))
	out.add(b, quote)
	return v
}

func isQuery4(typ uint8) bool {
	switch typ {
	case 3, 4, 5, 11, 12:
		return false
	}
	return true
}

// answer6 puts an ICMPv6 error for the sender into out, from the CLAT's address.
// The sender must be one host that can be reached from here, which a link-local
// one cannot (SIIT-5). ICMPv6 errors and what concerns one link alone are never
// answered (SIIT-67).
func (t *Translator) answer6(out *Batch, p *in6, v Verdict, typ, code uint8, rest uint32) Verdict {
	src := [16]byte(p.pkt[8:24])
	if !unicast6(src) || src[0] == 0xfe && src[1]&0xc0 == 0x80 || p.offset() > 0 {
		return unanswered(v)
	}
	if p.proto == protoICMPv6 && (len(p.l4()) == 0 || !isQuery6(p.l4()[0])) {
		return unanswered(v)
	}
	quote := p.pkt[:min(len(p.pkt), maxError6-48)]
	b := out.head(48)
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(quote)))
	b[6], b[7] = protoICMPv6, 64
	copy(b[8:], t.clat6[:])
	copy(b[24:40], p.pkt[8:24])
	b[40], b[41] = typ, code
	binary.BigEndian.PutUint32(b[44:], rest)
	binary.BigEndian.PutUint16(b[42:], ^fold(pseudo6(b[8:40], 8+len(quote), protoICMPv6)+sum(b[40:])+sum(quote)))
	out.add(b, quote)
	return v
}

// answerRouting says to a sender that its Routing header is not used up (7915-33),
// if it can be one.
func (t *Translator) answerRouting(out *Batch, p *in6) Verdict {
	if _, v := t.source4(p.pkt); v == Martian {
		return v
	}
	return t.answer6(out, p, AnsweredRouting, 4, 0, uint32(p.bad))
}

// isQuery6 is false for ICMPv6 errors, and for multicast listener and neighbour
// discovery, Redirect among them.
func isQuery6(typ uint8) bool {
	return typ >= 128 && (typ < 130 || typ > 137) && typ != 143
}

// prohibit4 says to the host that its packet is prohibited, unless it is to be
// dropped silently (7915-80, 7915-82).
func (t *Translator) prohibit4(out *Batch, p *in4, v Verdict) Verdict {
	if t.conf.Silent {
		return unanswered(v)
	}
	return t.answer4(out, p, v, 3, 13, 0)
}

// prohibit6 says so to a sender in the network, but about no ICMPv6 message of
// whatever kind (7915-81).
func (t *Translator) prohibit6(out *Batch, p *in6, v Verdict) Verdict {
	if t.conf.Silent || p.proto == protoICMPv6 {
		return unanswered(v)
	}
	return t.answer6(out, p, v, 1, 1, 0)
}

// unanswered is the verdict on a packet that would be answered but may not be.
func unanswered(v Verdict) Verdict {
	switch v {
	case AnsweredTTL:
		return TTLExpired
	case AnsweredTooBig:
		return TooBig
	case AnsweredNonGlobal:
		return NotAllowed
	case AnsweredOutside:
		return OutsidePrefix
	case AnsweredProtocol:
		return BadProtocol
	}
	return SourceRouted
}
