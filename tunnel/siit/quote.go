package siit

import (
	"encoding/binary"
	"net/netip"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Largest ICMP errors in bytes, with all headers (SIIT-61).
const maxError4, maxError6 = 576, 1280

// original cuts the quoted packet out of an ICMP error. With a length attribute
// (RFC 4884), in words of unit bytes, extensions follow it, which are left out.
func original(msg []byte, attribute uint8, unit int) []byte {
	quote := msg[8:]
	if n := int(attribute) * unit; n > 0 && n < len(quote) {
		quote = quote[:n]
	}
	return quote
}

// errorTo6 translates an ICMPv4 error that the host itself sent.
func (t *Translator) errorTo6(out *Batch, h vnethdr.Header, p in4) Verdict {
	msg := p.l4()
	if h.GSOType != vnethdr.GSONone {
		return Offload
	}
	if h.Flags&(vnethdr.NeedsCsum|vnethdr.DataValid) == 0 && sum(msg) != 0xffff {
		return BadChecksum
	}
	quote := original(msg, msg[5], 4)
	inner, v := parse4(quote, true)
	if v != OK {
		return quoteVerdict(v)
	}
	// Roles are reversed: what is quoted came from the other side (SIIT-56).
	if inner.dst != t.clat4 || !unicast4(inner.src) || badProtocol4(inner.proto) != OK {
		return ICMPQuote
	}
	typ, code, rest, ok := t.errorTypes6(msg, inner)
	if !ok {
		return ICMPType
	}
	l4 := inner.l4()
	n, v := quotedHead(inner.proto, l4, protoICMP)
	if v != OK {
		return v
	}
	b := out.head(40 + 8 + 40 + n)
	q := b[48:]
	length := int(binary.BigEndian.Uint16(quote[2:])) - inner.ihl
	q[0], q[1] = 0x60|quote[1]>>4, quote[1]<<4
	binary.BigEndian.PutUint16(q[4:], uint16(length))
	q[6], q[7] = next6(inner.proto), quote[8]
	src := t.conf.Prefix.Embed(netip.AddrFrom4(inner.src)).As16()
	copy(q[8:], src[:])
	copy(q[24:], t.clat6[:])
	copy(q[40:], l4[:n])
	if v := fixQuoted(q[40:40+n], inner.proto, sum(quote[12:20]), sum(q[8:40]), length, true); v != OK {
		return v
	}
	tail := l4[n:] // n is even when there is a tail, so that sums of the parts add up
	tail = tail[:min(len(tail), maxError6-len(b))]
	t.header6(b, p, len(b)-40+len(tail), protoICMPv6)
	b[40], b[41] = typ, code
	binary.BigEndian.PutUint32(b[44:], rest)
	check := ^fold(pseudo6(b[8:40], len(b)-40+len(tail), protoICMPv6) + sum(b[40:]) + sum(tail))
	binary.BigEndian.PutUint16(b[42:], check)
	out.add(vnethdr.Header{}, b, tail)
	return OK
}

// errorTo4 translates an ICMPv6 error from the network. Its sender need not be
// in the prefix: routers on the way to the NAT64 are not (SIIT-70).
func (t *Translator) errorTo4(out *Batch, h vnethdr.Header, p in6) Verdict {
	msg := p.l4()
	if v := checkError6(h, p.pkt, msg); v != OK {
		return v
	}
	typ, code, rest, ok := t.errorTypes4(msg)
	if !ok {
		return ICMPType
	}
	attribute := msg[4]
	if msg[0] == 2 || msg[0] == 4 {
		attribute = 0 // the byte belongs to the MTU or the pointer
	}
	quote := original(msg, attribute, 8)
	if len(quote) < 40 || quote[0]>>4 != 6 || [16]byte(quote[8:24]) != t.clat6 {
		return ICMPQuote
	}
	dst, ok := t.conf.Prefix.Extract(netip.AddrFrom16([16]byte(quote[24:40])))
	if !ok {
		return ICMPQuote
	}
	inner, v := walk6(quote)
	if v != OK || inner.at > len(quote) {
		return quoteVerdict(v)
	}
	if p.pkt[7] <= 1 {
		return TTLExpired
	}
	if msg[0] == 2 && inner.atomic {
		rest = t.mtuTo4(binary.BigEndian.Uint32(msg[4:]), 28)
	}
	l4 := inner.l4()
	n, v := quotedHead(inner.proto, l4, protoICMPv6)
	if v != OK {
		return v
	}
	b := out.head(20 + 8 + 20 + n)
	if v := t.quoteTo4(b[28:], quote, inner, dst.As4(), n); v != OK {
		return v
	}
	tail := l4[n:] // n is even when there is a tail, so that sums of the parts add up
	tail = tail[:min(len(tail), maxError4-len(b), t.conf.MTU4-len(b))]
	t.header4(b, out, p, t.errorSource4(p.pkt), len(b)-20+len(tail), maxError4)
	b[20], b[21] = typ, code
	binary.BigEndian.PutUint32(b[24:], rest)
	binary.BigEndian.PutUint16(b[22:], ^fold(sum(b[20:])+sum(tail)))
	out.add(vnethdr.Header{}, b, tail)
	return OK
}

// checkError6 checks the ICMPv6 error msg in pkt, but for what it quotes.
func checkError6(h vnethdr.Header, pkt, msg []byte) Verdict {
	switch {
	case len(msg) < 8:
		return Malformed
	case !unicast6([16]byte(pkt[8:24])):
		return Martian
	case h.GSOType != vnethdr.GSONone:
		return Offload
	case h.Flags&(vnethdr.NeedsCsum|vnethdr.DataValid) == 0 && fold(pseudo6(pkt[8:40], len(msg), protoICMPv6)+sum(msg)) != 0xffff:
		return BadChecksum
	}
	return OK
}

// quoteTo4 writes the IPv4 header and the first n bytes of transport for a
// quoted packet that the host once sent.
func (t *Translator) quoteTo4(q, quote []byte, inner in6, dst [4]byte, n int) Verdict {
	length := int(binary.BigEndian.Uint16(quote[4:])) - (inner.at - 40)
	if length < 0 || length+20 > 65535 {
		return ICMPQuote
	}
	q[0], q[1] = 0x45, quote[0]<<4|quote[1]>>4
	binary.BigEndian.PutUint16(q[2:], uint16(length+20))
	binary.BigEndian.PutUint16(q[4:], inner.ident)
	if !inner.atomic && length+20 > 1260 {
		q[6] = 0x40
	}
	q[8], q[9] = quote[7], inner.proto
	if inner.proto == protoICMPv6 {
		q[9] = protoICMP
	}
	copy(q[12:], t.clat4[:])
	copy(q[16:], dst[:])
	binary.BigEndian.PutUint16(q[10:], ^fold(sum(q[:20])))
	copy(q[20:], inner.l4()[:n])
	return fixQuoted(q[20:20+n], inner.proto, sum(quote[8:40]), sum(q[12:20]), length, false)
}

// errorSource4 is the IPv4 source of an error from the network: the sender's own
// address when it has one that the host routes to us, else the dummy address.
func (t *Translator) errorSource4(pkt []byte) [4]byte {
	a, v := t.source4(pkt)
	if v != OK || !t.routed(netip.AddrFrom4(a)) {
		return dummy
	}
	return a
}

// next6 is the IPv6 Next Header of an IPv4 protocol.
func next6(proto uint8) uint8 {
	if proto == protoICMP {
		return protoICMPv6
	}
	return proto
}

// quoteVerdict turns what is wrong with a quoted packet into a verdict on the
// error that quotes it.
func quoteVerdict(v Verdict) Verdict {
	if v == Fragment {
		return Fragment
	}
	return ICMPQuote
}

// quotedHead returns how many bytes of a quoted transport header are copied to
// be rewritten; the quote may hold fewer than the whole header (SIIT-58).
func quotedHead(proto uint8, l4 []byte, icmp uint8) (int, Verdict) {
	switch proto {
	case protoTCP:
		return min(20, len(l4)), OK
	case protoUDP, icmp:
		return min(8, len(l4)), OK
	case protoICMP, protoICMPv6:
		return 0, ICMPQuote // the other family's ICMP
	}
	return 0, OK
}

// fixQuoted corrects the checksum of a quoted transport header as far as it is
// there, and the type of a quoted echo; an error that quotes an error is refused
// (7915-71). length is that of the whole upper layer.
func fixQuoted(l4 []byte, proto uint8, before, after uint32, length int, to6 bool) Verdict {
	if proto == protoICMP || proto == protoICMPv6 {
		return fixQuotedEcho(l4, before, after, length, to6)
	}
	at := checkField(proto)
	if at < 0 || len(l4) < at+2 {
		return OK
	}
	if proto == protoUDP && l4[6] == 0 && l4[7] == 0 {
		return OK
	}
	fix(l4[at:], proto, false, before, after)
	return OK
}

// fixQuotedEcho corrects a quoted echo message. The address sums are of the side
// before and after; only the IPv6 one enters the checksum, with the rest of its
// pseudo-header.
func fixQuotedEcho(l4 []byte, before, after uint32, length int, to6 bool) Verdict {
	if len(l4) < 4 {
		return ICMPQuote
	}
	pseudo := uint32(length>>16) + uint32(length&0xffff) + protoICMPv6
	typ, ok := echoToFour(l4[0])
	if to6 {
		typ, ok = echoToSix(l4[0])
		before, after = 0, after+pseudo
	} else {
		before, after = before+pseudo, 0
	}
	if !ok {
		return ICMPQuote
	}
	check := update(binary.BigEndian.Uint16(l4[2:]), before+uint32(l4[0])<<8, after+uint32(typ)<<8)
	l4[0] = typ
	binary.BigEndian.PutUint16(l4[2:], check)
	return OK
}
