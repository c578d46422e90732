package relay

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Protocol numbers, and lengths of headers in bytes.
const (
	icmp4 = 1
	tcp   = 6
	udp   = 17

	ip4Len = 20
	udpLen = 8
)

// dummy is the source of ICMP errors that no IPv4 router sent (RFC 7600).
var dummy = netip.AddrFrom4([4]byte{192, 0, 0, 8})

// packet is an IPv4 packet from the host. Its slices are the reader's.
type packet struct {
	src, dst netip.Addr
	proto    uint8
	fragment bool   // not the whole of a datagram
	head     []byte // IPv4 header
	body     []byte // what follows it
}

// parse4 reads an IPv4 packet; ok is false when lengths do not agree.
func parse4(b []byte) (p packet, ok bool) {
	if len(b) < ip4Len {
		return p, false
	}
	hl, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if hl < ip4Len || total < hl || total > len(b) {
		return p, false
	}
	return packet{
		src: netip.AddrFrom4([4]byte(b[12:])), dst: netip.AddrFrom4([4]byte(b[16:])), proto: b[9],
		fragment: binary.BigEndian.Uint16(b[6:])&0x3fff != 0, head: b[:hl], body: b[hl:total],
	}, true
}

// sum adds b to a ones' complement sum of 16-bit words (RFC 1071).
func sum(b []byte, s uint64) uint64 {
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		s += v>>32 + v&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// fold ends a sum; it is not complemented.
func fold(s uint64) uint16 {
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// pseudo is the sum of the pseudo-header of TCP and UDP (RFC 768).
func pseudo(src, dst netip.Addr, proto uint8, length int) uint64 {
	s, d := src.As4(), dst.As4()
	return sum(d[:], sum(s[:], uint64(proto)+uint64(length)))
}

// checked tells whether the transport checksum holds. UDP may have none.
func (p *packet) checked() bool {
	switch {
	case p.proto == udp && (len(p.body) < udpLen || p.body[6]|p.body[7] == 0):
		return true
	case p.proto == icmp4:
		return fold(sum(p.body, 0)) == 0xffff
	}
	return fold(sum(p.body, pseudo(p.src, p.dst, p.proto, len(p.body)))) == 0xffff
}

// putIPv4 writes a header without options into b[:20]. total is the packet's
// length, frag the field of flags and offset.
func putIPv4(b []byte, src, dst netip.Addr, proto uint8, total int, id, frag uint16) {
	s, d := src.As4(), dst.As4()
	b[0], b[1] = 0x45, 0
	binary.BigEndian.PutUint16(b[2:], uint16(total))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], frag)
	b[8], b[9], b[10], b[11] = 64, proto, 0, 0
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b[:ip4Len], 0)))
}

const (
	dontFragment  = 0x4000
	moreFragments = 0x2000
)

// send gives the host a datagram whose transport header is head[20:] and whose
// checksum is complete, or the port's to complete by h, in fragments if it is longer
// than the MTU. head has room for the IPv4 header in front.
func (r *Relay) send(h vnethdr.Header, src, dst netip.Addr, proto uint8, head, payload []byte) {
	if total := len(head) + len(payload); total <= r.conf.MTU {
		putIPv4(head, src, dst, proto, total, 0, dontFragment)
		r.write(h, head, payload)
		return
	}
	id := uint16(r.ids.Add(1))
	each := (r.conf.MTU - ip4Len) &^ 7
	first := each - (len(head) - ip4Len)
	putIPv4(head, src, dst, proto, ip4Len+each, id, moreFragments)
	r.write(vnethdr.Header{}, head, payload[:first])
	var next [ip4Len]byte
	for at, rest := each, payload[first:]; len(rest) > 0; at += each {
		n, flags := len(rest), uint16(0)
		if n > each {
			n, flags = each, moreFragments
		}
		putIPv4(next[:], src, dst, proto, ip4Len+n, id, flags|uint16(at/8))
		r.write(vnethdr.Header{}, next[:], rest[:n])
		rest = rest[n:]
	}
}

func (r *Relay) write(h vnethdr.Header, head, tail []byte) {
	if err := r.port.WritePacket(h, head, tail); err != nil {
		r.stats.writeErrors.Add(1)
	}
}

// icmpError is an ICMPv4 error, by type and code (RFC 792, RFC 1812 section 5.2.7.1).
type icmpError struct{ kind, code uint8 }

var (
	netUnreachable  = icmpError{3, 0}
	hostUnreachable = icmpError{3, 1}
	badProtocol     = icmpError{3, 2}
	portUnreachable = icmpError{3, 3}
	tooBig          = icmpError{3, 4}
	prohibited      = icmpError{3, 13}
)

// maxQuote is how much of a packet an error quotes: what fits into 576 bytes
// (RFC 1812 section 4.3.2.3).
const maxQuote = 576 - ip4Len - 8

// answer sends an ICMP error about the packet whose first bytes are quote. mtu is
// that of tooBig, else 0.
func (r *Relay) answer(from netip.Addr, e icmpError, mtu int, quote []byte) {
	if !r.errors.allow(time.Now()) {
		r.stats.suppressed.Add(1)
		return
	}
	quote = quote[:min(len(quote), maxQuote)]
	b := make([]byte, ip4Len+8, ip4Len+8+maxQuote)
	b = append(b, quote...)
	b[20], b[21] = e.kind, e.code
	binary.BigEndian.PutUint16(b[26:], uint16(mtu))
	binary.BigEndian.PutUint16(b[22:], ^fold(sum(b[ip4Len:], 0)))
	putIPv4(b, from, r.conf.CLAT4, icmp4, len(b), 0, 0)
	r.write(vnethdr.Header{}, b, nil)
}

// answerPacket is answer for a packet that is at hand. Nothing is said about
// fragments but the first, nor about ICMP errors (RFC 1122 section 3.2.2).
func (r *Relay) answerPacket(from netip.Addr, e icmpError, p *packet) {
	if p.fragment && binary.BigEndian.Uint16(p.head[6:])&0x1fff != 0 || p.proto == icmp4 && !isEcho(p.body) {
		return
	}
	r.answer(from, e, 0, append(append([]byte(nil), p.head...), p.body[:min(len(p.body), maxQuote)]...))
}

func isEcho(b []byte) bool { return len(b) >= 8 && b[0] == 8 && b[1] == 0 }

// quoteOf is what an ICMP error quotes of a packet of which only the addresses and
// the first 8 bytes after the header are known.
func quoteOf(proto uint8, src, dst netip.Addr, first8 [8]byte) []byte {
	b := make([]byte, ip4Len, ip4Len+8)
	putIPv4(b, src, dst, proto, ip4Len+20, 0, dontFragment)
	return append(b, first8[:]...)
}
