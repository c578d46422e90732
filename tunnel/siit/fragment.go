package siit

import "encoding/binary"

// cut6 puts an IPv4 packet into out as IPv6 fragments of at most room bytes: one,
// when it is a fragment that fits. b begins with the IPv6 header, 8 bytes for the
// Fragment Header, and as much of the upper layer as was rewritten; tail is the
// rest (7915-22, 7915-23, SIIT-16 to SIIT-18).
func (t *Translator) cut6(out *Batch, p *in4, next uint8, b, tail []byte, room int) {
	most := (room - 48) &^ 7 // bytes of upper layer in a piece
	for at := p.offset(); ; {
		size := len(b) - 48 + len(tail)
		last := size <= room-48 // with more to follow it is whole units
		if !last {
			size = most
		}
		piece := tail[:size-(len(b)-48)]
		t.header6(b, p.pkt, p.dst, 8+size, nextFragment)
		word := uint32(at) // in units of 8 bytes, three bits up: the same number
		if !last || p.more() {
			word |= 1
		}
		binary.BigEndian.PutUint32(b[40:], uint32(next)<<24|word)
		binary.BigEndian.PutUint32(b[44:], uint32(binary.BigEndian.Uint16(p.pkt[4:])))
		out.add(b, piece)
		if last {
			return
		}
		at, tail, b = at+size, tail[len(piece):], out.reserve(48)
	}
}

// cut4 puts an IPv6 packet into out as IPv4 fragments of at most room bytes. b
// begins with the IPv4 header and as much of the upper layer as was rewritten;
// tail is the rest (7915-34).
func (t *Translator) cut4(out *Batch, p *in6, b, tail []byte, room int) {
	most := (room - 20) &^ 7
	header := b[:20]
	for at := p.offset(); ; {
		size := len(b) - 20 + len(tail)
		last := size <= room-20
		if !last {
			size = most
		}
		piece := tail[:size-(len(b)-20)]
		word := uint16(at / 8)
		if !last || p.more() {
			word |= moreFragments
		}
		binary.BigEndian.PutUint16(b[6:], word)
		seal4(b, len(piece))
		out.add(b, piece)
		if last {
			return
		}
		at, tail, b = at+size, tail[len(piece):], out.reserve(20)
		copy(b, header)
	}
}
