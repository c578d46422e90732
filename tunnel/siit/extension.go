package siit

import "encoding/binary"

// original splits what follows the header of an ICMP error into the quoted
// packet and the extensions behind it. words is the length attribute (RFC 4884),
// in words of unit bytes; one that points past the message is no attribute
// (SIIT-62, SIIT-63).
func original(msg []byte, words uint8, unit int) (quote, ext []byte) {
	quote = msg[8:]
	if n := int(words) * unit; n > 0 && n < len(quote) {
		return quote[:n], quote[n:]
	}
	return quote, nil
}

// attribute is where and in which unit a family's ICMP errors say how long the
// quoted packet is.
type attribute struct {
	at     int // offset in the packet
	header int // bytes before the quoted packet
	unit   int // bytes
}

// leastQuote is how far a quoted packet is padded when extensions follow it,
// RFC 4884 section 3.
const leastQuote = 128

// extend puts extensions behind an ICMP error of which b is the beginning and
// tail the rest of the quoted packet: the quote is padded and the length
// attribute written. When all of it does not fit into limit bytes, the
// extensions are left out, and then the quote is cut.
func extend(out *Batch, b, tail, ext []byte, a attribute, limit int) (head, rest []byte) {
	quote := len(b) - a.header + len(tail)
	padded := max(leastQuote, (quote+a.unit-1)/a.unit*a.unit)
	if len(ext) == 0 || a.header+padded+len(ext) > limit {
		return b, tail[:max(0, min(len(tail), limit-len(b)))]
	}
	whole := out.head(a.header + padded + len(ext))
	copy(whole[copy(whole, b):], tail)
	copy(whole[a.header+padded:], ext)
	whole[a.at] = byte(padded / a.unit)
	return whole, nil
}

// nodeID is an extension structure with one Node Identification object (class 5
// with an IP address, C-Type 4): the IPv6 address of an error's sender.
func nodeID(out *Batch, addr []byte) []byte {
	const version, class, ctype, family = 2, 5, 4, 2
	ext := out.head(28)
	ext[0] = version << 4
	binary.BigEndian.PutUint16(ext[4:], 24) // length of the object
	ext[6], ext[7] = class, ctype
	binary.BigEndian.PutUint16(ext[8:], family)
	copy(ext[12:], addr)
	binary.BigEndian.PutUint16(ext[2:], ^fold(sum(ext)))
	return ext
}
