package siit

import (
	"encoding/binary"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Largest ICMP errors in bytes, with all headers (SIIT-61).
const maxError4, maxError6 = 576, 1280

// errorTo6 translates an ICMPv4 error that the host itself sent.
func (t *Translator) errorTo6(out *Batch, h *vnethdr.Header, p *in4) Verdict {
	msg := p.l4()
	if !verified(h) && fold(sum(msg)) != 0xffff {
		return BadChecksum
	}
	quote, ext := original(msg, msg[5], 4)
	var inner in4
	if inner.parse(quote, true) != OK {
		return ICMPQuote
	}
	// Roles are reversed: what is quoted came from the other side (SIIT-56).
	if inner.dst != t.clat4 || !unicast4(inner.src) || badProtocol4(inner.proto) {
		return ICMPQuote
	}
	typ, code, rest, ok := t.errorTypes6(msg, &inner)
	if !ok {
		return ICMPType
	}
	n := quotedHead(inner.proto, inner.l4(), inner.offset())
	b := out.head(48 + headers6(inner.frag != 0) + n)
	if v := t.quoteTo6(b[48:], &inner, n); v != OK {
		return v
	}
	if typ == 2 || typ == 4 {
		ext = nil // these have no length attribute (SIIT-63)
	}
	b[40], b[41] = typ, code
	binary.BigEndian.PutUint32(b[44:], rest)
	b, tail := extend(out, b, inner.l4()[n:], ext, attribute{at: 44, header: 48, unit: 8}, maxError6)
	t.header6(b, p.pkt, p.dst, len(b)-40+len(tail), protoICMPv6)
	check := ^fold(pseudo6(b[8:40], len(b)-40+len(tail), protoICMPv6) + sum(b[40:]) + sum(tail))
	binary.BigEndian.PutUint16(b[42:], check)
	out.add(b, tail)
	return OK
}

// errorTo4 translates an ICMPv6 error from the network. Its sender need not be
// in the prefix: routers on the way to the NAT64 are not (SIIT-70).
func (t *Translator) errorTo4(out *Batch, h *vnethdr.Header, p *in6) Verdict {
	msg := p.l4()
	if v := checkError6(h, p, msg); v != OK {
		return v
	}
	words := msg[4]
	if msg[0] != 1 && msg[0] != 3 {
		words = 0 // the byte belongs to the MTU or the pointer
	}
	quote, ext := original(msg, words, 8)
	inner, dst, v := t.quoted6(quote)
	if v != OK {
		return v
	}
	typ, code, rest, ok := t.errorTypes4(msg, &inner)
	if !ok {
		return ICMPType
	}
	if p.pkt[7] <= 1 {
		return TTLExpired
	}
	n := quotedHead(inner.proto, inner.l4(), inner.offset())
	b := out.head(28 + 20 + n)
	if v := t.quoteTo4(b[28:], &inner, dst, n); v != OK {
		return v
	}
	src, own := t.errorSource4(p.pkt)
	tail, limit := inner.l4()[n:], min(maxError4, t.conf.MTU4)
	if t.conf.NodeID && !own && len(ext) == 0 && (msg[0] == 1 || msg[0] == 3) {
		ext = nodeID(out, p.pkt[8:24])
		if room := (limit - 28 - len(ext)) &^ 3; room >= leastQuote { // of the quote
			tail = tail[:min(len(tail), room-(len(b)-28))]
		}
	}
	b[20], b[21] = typ, code
	binary.BigEndian.PutUint32(b[24:], rest)
	b, tail = extend(out, b, tail, ext, attribute{at: 25, header: 28, unit: 4}, limit)
	whole := in6{pkt: p.pkt, proto: p.proto} // an error is never a fragment
	t.header4(b, out, &whole, src, maxError4, len(b)+len(tail))
	binary.BigEndian.PutUint16(b[22:], ^fold(sum(b[20:])+sum(tail)))
	out.add(b, tail)
	return OK
}

// verified tells whether a checksum need not be looked at: a device did, or it is
// not there yet.
func verified(h *vnethdr.Header) bool { return h.Flags&(vnethdr.NeedsCsum|vnethdr.DataValid) != 0 }

// checkError6 checks the ICMPv6 error msg in p, but for what it quotes.
func checkError6(h *vnethdr.Header, p *in6, msg []byte) Verdict {
	switch {
	case len(msg) < 8:
		return Malformed
	case !unicast6([16]byte(p.pkt[8:24])):
		return Martian
	case h.GSOType != vnethdr.GSONone:
		return Offload
	case !verified(h) && fold(pseudo6(p.pkt[8:40], len(msg), protoICMPv6)+sum(msg)) != 0xffff:
		return BadChecksum
	}
	return OK
}
