package siit

import (
	"slices"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// maxHead is the most header bytes that one output packet needs: an outer
// header, an ICMP header, a quoted header and a quoted TCP header.
const maxHead = 40 + 8 + 40 + 20

// Packet is one packet to send: Head followed by Tail.
type Packet struct {
	Hdr  vnethdr.Header // offload state, in the family of the packet
	Head []byte         // new headers; belongs to the Batch, valid until Reset
	Tail []byte         // the rest; part of the input, valid as long as that; may be empty
}

// Batch takes the output of translations. One worker owns it and uses it again
// and again. The zero value is not ready; use NewBatch.
type Batch struct {
	packets []Packet
	heads   []byte // backing store of all heads
	used    int    // bytes of heads that are given out
	ident   uint16 // last IPv4 Identification given
}

// NewBatch returns an empty batch.
func NewBatch() *Batch {
	return &Batch{packets: make([]Packet, 0, 4), heads: make([]byte, 4*maxHead)}
}

// Reset forgets all packets; their heads will be written over.
func (b *Batch) Reset() { b.packets, b.used = b.packets[:0], 0 }

// Packets returns what was put in since Reset.
func (b *Batch) Packets() []Packet { return b.packets }

// head reserves n zero bytes for the head of the next packet.
func (b *Batch) head(n int) []byte {
	h := b.reserve(n)
	clear(h)
	return h
}

// reserve is head for those who write every byte: what is there is left over.
func (b *Batch) reserve(n int) []byte {
	at := b.used
	if at+n > len(b.heads) {
		// The heads given out before keep the old store.
		b.heads, at = make([]byte, 2*len(b.heads)+n), 0
	}
	b.used = at + n
	return b.heads[at : at+n : at+n]
}

// add puts in a packet and returns where its offload state goes, of which there
// is none yet. Nothing is copied that was only just written in smaller pieces:
// that is slow.
func (b *Batch) add(head, tail []byte) *vnethdr.Header {
	if len(b.packets) == cap(b.packets) {
		b.packets = slices.Grow(b.packets, 1)
	}
	b.packets = b.packets[:len(b.packets)+1]
	p := &b.packets[len(b.packets)-1]
	p.Hdr, p.Head, p.Tail = vnethdr.Header{}, head, tail
	return &p.Hdr
}

// nextIdent returns an Identification that differs from the last ones.
func (b *Batch) nextIdent() uint16 {
	b.ident++
	return b.ident
}
