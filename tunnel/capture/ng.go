package capture

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Types of pcapng blocks that are read; all others are skipped
// (draft-ietf-opsawg-pcapng section 11.1).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// Bounds against damage: of interfaces in a section, and of the bytes of an
// interface's options.
const (
	maxInterfaces = 1 << 16
	maxOptions    = 1 << 20
)

// blockOverhead is the type and the two lengths around a block's body.
const blockOverhead = 12

// ng is pcapng.
type ng struct {
	links []ngLink // of the current section
}

// ngLink is one interface that was captured on.
type ngLink struct {
	link   LinkType
	snap   uint32 // bytes, 0 for no limit
	units  uint64 // of time in a second
	offset int64  // seconds to add
}

func (*ng) micro() bool { return false }

func (g *ng) next(r *Reader) (Packet, error) {
	for {
		var head [8]byte
		if err := r.in.first(head[:]); err != nil {
			return Packet{}, err // io.EOF only between blocks
		}
		if binary.LittleEndian.Uint32(head[:]) == blockSection {
			if err := g.section(r, head[4:]); err != nil {
				return Packet{}, err
			}
			continue
		}
		kind, total := r.order.Uint32(head[:]), r.order.Uint32(head[4:])
		if total < blockOverhead || total%4 != 0 {
			return Packet{}, fmt.Errorf("a block of %d bytes, which cannot be: the file is damaged", total)
		}
		p, found, err := g.block(r, kind, total-blockOverhead)
		if err == nil {
			err = closing(r, total)
		}
		if err != nil || found {
			return p, err
		}
	}
}

// closing reads the length after a block, which must repeat the one before.
func closing(r *Reader, total uint32) error {
	var b [4]byte
	if err := r.in.full(b[:]); err != nil {
		return err
	}
	if n := r.order.Uint32(b[:]); n != total {
		return fmt.Errorf("a block of %d bytes ends with the length %d: the file is damaged", total, n)
	}
	return nil
}

// section reads a section header, which sets the byte order from here on.
func (g *ng) section(r *Reader, total []byte) error {
	var b [16]byte // byte-order magic, version, section length
	if err := r.in.full(b[:]); err != nil {
		return err
	}
	const magic = 0x1a2b3c4d
	switch {
	case binary.LittleEndian.Uint32(b[:]) == magic:
		r.order = binary.LittleEndian
	case binary.BigEndian.Uint32(b[:]) == magic:
		r.order = binary.BigEndian
	default:
		return fmt.Errorf("a section header with byte order % x, which is none", b[:4])
	}
	if major, minor := r.order.Uint16(b[4:]), r.order.Uint16(b[6:]); major != 1 {
		return fmt.Errorf("pcapng of version %d.%d: only 1.x is read", major, minor)
	}
	n := r.order.Uint32(total)
	if n < blockOverhead+uint32(len(b)) || n%4 != 0 {
		return fmt.Errorf("a section header of %d bytes, which cannot be: the file is damaged", n)
	}
	g.links = g.links[:0]
	if err := r.in.skip(int64(n) - blockOverhead - int64(len(b))); err != nil {
		return err
	}
	return closing(r, n)
}

// block reads the body of a block, size bytes. found tells that it was a packet.
func (g *ng) block(r *Reader, kind, size uint32) (p Packet, found bool, err error) {
	switch kind {
	case blockInterface:
		return p, false, g.interfaceBlock(r, size)
	case blockPacket, blockEnhanced:
		p, err = g.enhanced(r, kind, size)
		return p, true, err
	case blockSimple:
		p, err = g.simple(r, size)
		return p, true, err
	}
	return p, false, r.in.skip(int64(size))
}

// enhanced reads an enhanced packet block, or the obsolete packet block, which
// differs in its first word.
func (g *ng) enhanced(r *Reader, kind, size uint32) (Packet, error) {
	const fixed = 20
	if size < fixed {
		return Packet{}, fmt.Errorf("a packet block with a body of %d bytes, shorter than its header", size)
	}
	var b [fixed]byte
	if err := r.in.full(b[:]); err != nil {
		return Packet{}, err
	}
	id := r.order.Uint32(b[:])
	if kind == blockPacket {
		id = uint32(r.order.Uint16(b[:]))
	}
	if uint64(id) >= uint64(len(g.links)) {
		return Packet{}, fmt.Errorf("it is from interface %d, which the section does not have (%d are there)", id, len(g.links))
	}
	l := g.links[id]
	stamp := uint64(r.order.Uint32(b[4:]))<<32 | uint64(r.order.Uint32(b[8:]))
	p := Packet{Time: l.time(stamp), Link: l.link, Length: length(r.order.Uint32(b[16:]))}
	if s := p.Time.Unix(); s < 0 || s > math.MaxUint32 {
		return Packet{}, fmt.Errorf("its time is %d seconds from 1970, which pcap cannot say (0 to %d): correct it, as with editcap -t", s, uint32(math.MaxUint32))
	}
	return g.body(r, p, r.order.Uint32(b[12:]), size-fixed)
}

// simple reads a simple packet block, which has no time and is from the first
// interface.
func (g *ng) simple(r *Reader, size uint32) (Packet, error) {
	const fixed = 4
	if size < fixed || len(g.links) == 0 {
		return Packet{}, fmt.Errorf("a simple packet block with a body of %d bytes, of %d interfaces", size, len(g.links))
	}
	var b [fixed]byte
	if err := r.in.full(b[:]); err != nil {
		return Packet{}, err
	}
	n, l := r.order.Uint32(b[:]), g.links[0]
	p := Packet{Link: l.link, Length: length(n)}
	if l.snap != 0 {
		n = min(n, l.snap)
	}
	return g.body(r, p, n, size-fixed)
}

// body reads the n bytes of a packet, of the size that are left of its block, and
// skips the padding and options behind them.
func (g *ng) body(r *Reader, p Packet, n, size uint32) (Packet, error) {
	if n > size {
		return Packet{}, fmt.Errorf("it claims %d captured bytes, but its block has only %d left: the file is damaged", n, size)
	}
	var err error
	if p.Data, err = r.data(n); err != nil {
		return Packet{}, err
	}
	return p, r.in.skip(int64(size - n))
}

// interfaceBlock reads an interface description.
func (g *ng) interfaceBlock(r *Reader, size uint32) error {
	const fixed = 8
	if size < fixed || size > maxOptions {
		return fmt.Errorf("an interface description of %d bytes, which cannot be: the file is damaged", size)
	}
	if len(g.links) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces in one section: the file is damaged", maxInterfaces)
	}
	b := make([]byte, size)
	if err := r.in.full(b); err != nil {
		return err
	}
	l := ngLink{link: LinkType(r.order.Uint16(b)), snap: r.order.Uint32(b[4:]), units: 1e6}
	if err := l.options(r.order, b[fixed:]); err != nil {
		return err
	}
	g.links = append(g.links, l)
	return nil
}

// options reads what matters to times: if_tsresol and if_tsoffset.
func (l *ngLink) options(order binary.ByteOrder, b []byte) error {
	const end, resolution, offset = 0, 9, 14
	for len(b) >= 4 {
		code, n := order.Uint16(b), int(order.Uint16(b[2:]))
		b = b[4:]
		if code == end {
			return nil
		}
		if n > len(b) {
			return fmt.Errorf("option %d of an interface claims %d bytes, but %d are left: the file is damaged", code, n, len(b))
		}
		switch v := b[:n]; {
		case code == resolution && n != 1 || code == offset && n != 8:
			return fmt.Errorf("option %d of an interface has %d bytes, which cannot be: the file is damaged", code, n)
		case code == resolution:
			if l.units = units(v[0]); l.units == 0 {
				return fmt.Errorf("an interface with the time resolution %#02x, which is finer than 64 bits can count", v[0])
			}
		case code == offset:
			l.offset = int64(order.Uint64(v))
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return nil
}

// units returns how many units of if_tsresol are in a second: a power of 10, or
// of 2 with the high bit set; 0 when that does not fit.
func units(resolution byte) uint64 {
	n := resolution & 0x7f
	switch {
	case resolution&0x80 != 0 && n < 64:
		return 1 << n
	case resolution&0x80 != 0 || n > 19:
		return 0
	}
	u := uint64(1)
	for range n {
		u *= 10
	}
	return u
}

// time returns when stamp is, to the nanosecond.
func (l ngLink) time(stamp uint64) time.Time {
	seconds, part := stamp/l.units, stamp%l.units
	hi, lo := bits.Mul64(part, uint64(time.Second))
	nanos, _ := bits.Div64(hi, lo, l.units) // part < units, so that it fits
	// Far beyond any year, and sums of two such numbers do not overflow.
	const far = 1 << 60
	s := int64(min(seconds, far)) + min(max(l.offset, -far), far)
	return time.Unix(s, int64(nanos)).UTC()
}
