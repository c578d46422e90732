package siit

import "github.com/reach64/reach64/tunnel/vnethdr"

// maxHead is the most header bytes that one output packet needs: an outer
// header, an ICMP header, a quoted header and a quoted TCP header.
const maxHead = 40 + 8 + 40 + 20

// Packet is one packet to send: Head followed by Tail.
type Packet struct {
	Hdr  vnethdr.Header
	Head []byte // new headers; belongs to the Batch, valid until Reset
	Tail []byte // the rest; part of the input, never modified; may be empty
}

// Batch takes the output of translations. One worker owns it and uses it again
// and again. The zero value is not ready; use NewBatch.
type Batch struct {
	packets []Packet
	heads   []byte // backing store of all heads
	ident   uint16 // last IPv4 Identification given
}

// NewBatch returns an empty batch.
func NewBatch() *Batch {
	return &Batch{packets: make([]Packet, 0, 4), heads: make([]byte, 0, 4*maxHead)}
}

// Reset forgets all packets; their heads will be written over.
func (b *Batch) Reset() { b.packets, b.heads = b.packets[:0], b.heads[:0] }

// Packets returns what was put in since Reset.
func (b *Batch) Packets() []Packet { return b.packets }

// head reserves n zero bytes for the head of the next packet.
func (b *Batch) head(n int) []byte {
	at := len(b.heads)
	if at+n > cap(b.heads) {
		// The heads given out before keep the old store.
		b.heads, at = make([]byte, 0, 2*cap(b.heads)+n), 0
	}
	b.heads = b.heads[:at+n]
	h := b.heads[at : at+n : at+n]
	clear(h)
	return h
}

func (b *Batch) add(h vnethdr.Header, head, tail []byte) {
	b.packets = append(b.packets, Packet{Hdr: h, Head: head, Tail: tail})
}

// nextIdent returns an Identification that differs from the last ones.
func (b *Batch) nextIdent() uint16 {
	b.ident++
	return b.ident
}
