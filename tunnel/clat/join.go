package clat

import (
	"bytes"
	"encoding/binary"

	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// sendList is what one batch sends, in order. A segment that follows on the last
// one of its flow in the list is joined to it, by the rules of the kernel's own
// receive offload: the same headers but for length, checksum, PSH and sequence number,
// which goes on, and every segment but the last of one size. So the kernel cuts the
// packet into what was read. Packets of different flows may pass each other.
type sendList struct {
	udp     bool // UDP too
	packets []toSend
	wall    int // index in packets: nothing is joined to one before it
	parts   []part
	flat    [][]byte // of the packet that is written
}

// part is a piece of a packet's bytes, and the index of the next, 0 for none.
type part struct {
	b    []byte
	next int
}

// toSend is one packet, perhaps of joined segments.
type toSend struct {
	hdr         vnethdr.Header
	head        []byte // IP and the fixed transport header; what siit made, ours to change
	first, last int    // indexes of parts
	count       int    // of parts
	flow        flow   // zero: not known
	joined      bool
	seg         seg
}

// flow is what tells one flow from another in a hurry: ports, the last word of the other
// host's address, protocol and version.
type flow struct {
	ports, host uint32
	proto, ip   uint8
}

// seg is what a packet contributes when it is joined.
type seg struct {
	ip, head int    // bytes of the IP header, and of all headers
	payload  int    // bytes
	size     int    // bytes of payload per segment
	seq      uint32 // TCP: of the first byte
	options  []byte // TCP
	closed   bool   // nothing may follow: the last segment is short, or pushed, or is none
}

const (
	tcp, udp     = 6, 17
	psh, ack     = 8, 16
	maxSegments  = 64 // the kernel's limit for UDP, of which the receiver may know
	maxJoined    = 65000
	protoAt4     = 9
	nextAt6      = 6
	fragmentMask = 0x3fff // more fragments, offset
)

func (s *sendList) reset() {
	s.packets, s.wall = s.packets[:0], 0
	s.parts = append(s.parts[:0], part{}) // index 0 is none
}

// packet returns the parts of packet i, valid until the next call.
func (s *sendList) packet(i int) (vnethdr.Header, [][]byte) {
	p := &s.packets[i]
	s.flat = append(s.flat[:0], p.head)
	for at := p.first; at != 0; at = s.parts[at].next {
		s.flat = append(s.flat, s.parts[at].b)
	}
	if p.joined {
		p.seal()
	}
	return p.hdr, s.flat
}

// add puts a packet at the end, or joins it to the last one of its flow.
func (s *sendList) add(q siit.Packet) {
	p := toSend{hdr: q.Hdr, head: q.Head}
	switch can := p.parse(q.Tail, s.udp); {
	case p.flow == flow{}: // a fragment, say, that belongs to any of the flows
		s.wall = len(s.packets) + 1
	case !can:
		p.seg.closed = true
	default:
		if last := s.last(p.flow); last != nil && last.takes(&p) {
			s.join(last, &p, q.Tail)
			return
		}
	}
	p.first = s.part(q.Tail)
	p.last, p.count = p.first, 1
	s.packets = append(s.packets, p)
}

// last returns the last packet of a flow, nil when there is none.
func (s *sendList) last(f flow) *toSend {
	for i := len(s.packets) - 1; i >= s.wall; i-- {
		if s.packets[i].flow == f {
			return &s.packets[i]
		}
	}
	return nil
}

func (s *sendList) part(b []byte) int {
	s.parts = append(s.parts, part{b: b})
	return len(s.parts) - 1
}

// join appends the payload of p, whose bytes behind the head are tail.
func (s *sendList) join(to, p *toSend, tail []byte) {
	at := s.part(tail[len(p.seg.options):])
	s.parts[to.last].next = at
	to.last = at
	to.count++
	to.joined = true
	to.seg.payload += p.seg.payload
	to.seg.closed = p.seg.closed || p.seg.payload%to.seg.size != 0
	if p.flow.proto == tcp {
		to.head[to.seg.ip+13] |= p.head[p.seg.ip+13] & psh
	}
}

// parse finds out the flow of a packet, and whether it can be joined to others; if so
// it fills in seg.
func (p *toSend) parse(tail []byte, withUDP bool) bool {
	h := p.head
	var f flow
	switch {
	case len(h) >= 28 && h[0] == 0x45 && binary.BigEndian.Uint16(h[6:])&fragmentMask == 0:
		f = flow{ip: 4, proto: h[protoAt4], host: binary.BigEndian.Uint32(h[12:])}
		p.seg.ip = 20
	case len(h) >= 48 && h[0]>>4 == 6:
		f = flow{ip: 6, proto: h[nextAt6], host: binary.BigEndian.Uint32(h[36:])}
		p.seg.ip = 40
	}
	if f.proto != tcp && f.proto != udp {
		return false
	}
	l4 := h[p.seg.ip:]
	f.ports = binary.BigEndian.Uint32(l4)
	p.flow = f
	switch {
	case p.hdr.Flags == 0:
		// Nobody has looked at the checksum, which may be wrong and would be made anew.
		return false
	case f.proto == tcp && len(l4) == 20 && l4[13]&^psh == ack:
		n := int(l4[12]>>4)*4 - 20
		if n < 0 || n > len(tail) {
			return false
		}
		p.seg.options, p.seg.head = tail[:n], len(h)+n
		p.seg.seq, p.seg.closed = binary.BigEndian.Uint32(l4[4:]), l4[13]&psh != 0
	case f.proto == udp && withUDP && int(binary.BigEndian.Uint16(l4[4:])) == 8+len(tail):
		p.seg.head = len(h)
	default:
		return false
	}
	p.seg.payload = len(h) + len(tail) - p.seg.head
	p.seg.size = p.seg.payload
	if p.hdr.GSOType == gsoType(f) {
		p.seg.size = int(p.hdr.GSOSize)
	} else if p.hdr.GSOType != vnethdr.GSONone {
		return false
	}
	if p.seg.size == 0 {
		return false
	}
	p.seg.closed = p.seg.closed || p.seg.payload%p.seg.size != 0
	return true
}

func gsoType(f flow) uint8 {
	switch {
	case f.proto == udp:
		return vnethdr.GSOUDPL4
	case f.ip == 4:
		return vnethdr.GSOTCPv4
	}
	return vnethdr.GSOTCPv6
}

// takes tells whether q, of the same flow, follows on p.
func (p *toSend) takes(q *toSend) bool {
	a, b := &p.seg, &q.seg
	switch {
	case a.closed, b.size > a.size, b.size < a.size && b.payload > b.size, p.count >= maxParts-2,
		a.head+a.payload+b.payload > maxJoined, !bytes.Equal(a.options, b.options):
		return false
	case p.flow.ip == 6:
		if !bytes.Equal(p.head[:4], q.head[:4]) || !bytes.Equal(p.head[6:40], q.head[6:40]) {
			return false
		}
	default: // all but lengths, Identification and checksum
		if p.head[1] != q.head[1] || p.head[6] != q.head[6] || p.head[8] != q.head[8] || !bytes.Equal(p.head[12:20], q.head[12:20]) {
			return false
		}
	}
	if p.flow.proto == udp {
		return a.payload/a.size < maxSegments
	}
	l, m := p.head[a.ip:], q.head[b.ip:]
	return b.seq == a.seq+uint32(a.payload) && bytes.Equal(l[8:13], m[8:13]) && bytes.Equal(l[14:16], m[14:16]) && bytes.Equal(l[18:20], m[18:20])
}

// seal gives a packet of joined segments its lengths, the sum of its pseudo-header (the
// kernel completes each segment's checksum) and its offload state.
func (p *toSend) seal() {
	h, at := p.head, 16
	length := p.seg.head - p.seg.ip + p.seg.payload
	var addrs []byte
	if p.flow.ip == 6 {
		binary.BigEndian.PutUint16(h[4:], uint16(length))
		addrs = h[8:40]
	} else {
		binary.BigEndian.PutUint16(h[2:], uint16(20+length))
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], ^wordSum(0, h[:20]))
		addrs = h[12:20]
	}
	l4 := h[p.seg.ip:]
	if p.flow.proto == udp {
		at = 6
		binary.BigEndian.PutUint16(l4[4:], uint16(length))
	}
	binary.BigEndian.PutUint16(l4[at:], wordSum(uint32(length)+uint32(p.flow.proto), addrs))
	p.hdr = vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: gsoType(p.flow), HdrLen: uint16(p.seg.head), GSOSize: uint16(p.seg.size),
		CsumStart: uint16(p.seg.ip), CsumOffset: uint16(at)}
}

// wordSum adds the 16-bit words of b to acc, with end-around carry (RFC 1071).
func wordSum(acc uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		acc += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	acc = acc>>16 + acc&0xffff
	return uint16(acc>>16 + acc)
}
