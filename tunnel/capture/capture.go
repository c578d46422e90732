// Package capture reads and writes packet captures: classic pcap of both byte
// orders, with microseconds or nanoseconds, and pcapng; and it finds the IP
// packet in a captured frame.
//
// It reads from any io.Reader and opens nothing. It keeps one packet at a time
// and believes no length of the file beyond MaxPacket, so that a damaged or
// hostile file costs no memory. It writes classic pcap of raw IP alone. It does
// not unpack compressed files and reads no comments, names or statistics.
//
// The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng;
// the link types are those of https://www.tcpdump.org/linktypes.html.
package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxPacket is the longest packet that is read, in bytes: libpcap's
// MAXIMUM_SNAPLEN. A longer one means that the file is damaged.
const MaxPacket = 262144

// Packet is one captured frame.
type Packet struct {
	Time   time.Time // when it was captured; the zero Time if the file does not say
	Link   LinkType  // how Data begins
	Length int       // bytes that the frame had, of which Data may be the first
	Data   []byte    // what was captured; belongs to the Reader, valid until the next Next
}

// Cut tells whether the capture kept only the first bytes of the frame (its
// snap length).
func (p Packet) Cut() bool { return len(p.Data) < p.Length }

// Error is a capture that cannot be read on. What came before it is good.
type Error struct {
	Index  int   // of the packet that could not be read, from 0
	Offset int64 // bytes from the beginning of the file to its record or block
	Err    error // io.ErrUnexpectedEOF when the file ends too early
}

func (e *Error) Error() string {
	what := any(e.Err)
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		what = "the file ends within this record"
	}
	return fmt.Sprintf("packet %d (counted from 0), at byte %d: %v", e.Index, e.Offset, what)
}

func (e *Error) Unwrap() error { return e.Err }

// Reader reads the packets of a capture in their order. It is not safe for
// concurrent use.
type Reader struct {
	in     source
	order  binary.ByteOrder
	index  int    // of the next packet
	buf    []byte // of Packet.Data
	format format
}

// format is one file format: next reads one packet, or gives io.EOF.
type format interface {
	next(r *Reader) (Packet, error)
	micro() bool
}

// The first four bytes of a capture, read as little-endian.
const (
	magicMicro  = 0xa1b2c3d4
	magicNano   = 0xa1b23c4d
	magicMicroX = 0xd4c3b2a1 // the other byte order
	magicNanoX  = 0x4d3cb2a1
	magicNG     = 0x0a0d0d0a // the same in both
)

// NewReader reads the beginning of a capture. Its error says what the file is
// instead.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: source{r: bufio.NewReaderSize(in, 1<<16)}}
	head, err := r.in.r.Peek(4)
	switch {
	case err == io.EOF && len(head) == 0:
		return nil, errors.New("the file is empty")
	case err != nil && err != io.EOF:
		return nil, err
	case len(head) < 4:
		return nil, fmt.Errorf("not a capture: it has only %d bytes", len(head))
	}
	nano, order := false, binary.ByteOrder(binary.LittleEndian)
	switch magic := binary.LittleEndian.Uint32(head); magic {
	case magicNG:
		r.format = &ng{}
		return r, nil
	case magicMicro:
	case magicNano:
		nano = true
	case magicMicroX:
		order = binary.BigEndian
	case magicNanoX:
		nano, order = true, binary.BigEndian
	default:
		if magic&0xffff == 0x8b1f {
			return nil, errors.New("compressed with gzip: unpack it first")
		}
		return nil, fmt.Errorf("neither pcap nor pcapng (it begins with % x): give what tcpdump -w or Wireshark wrote", head)
	}
	r.order = order
	if r.format, err = readClassic(r, nano); err != nil {
		return nil, err
	}
	return r, nil
}

// Next returns the next packet. Its error is io.EOF at the end of a whole file,
// and an *Error otherwise; after one, Next is not called again.
func (r *Reader) Next() (Packet, error) {
	p, err := r.format.next(r)
	switch {
	case err == io.EOF:
		return Packet{}, io.EOF
	case err != nil:
		return Packet{}, &Error{Index: r.index, Offset: r.in.block, Err: err}
	}
	r.index++
	return p, nil
}

// Micro tells whether the file's times are in microseconds throughout, so that
// a file of microseconds can hold them.
func (r *Reader) Micro() bool { return r.format.micro() }

// data reads the bytes of a packet.
func (r *Reader) data(n uint32) ([]byte, error) {
	if n > MaxPacket {
		return nil, fmt.Errorf("it claims %d captured bytes, more than any capture has (%d): the file is damaged", n, MaxPacket)
	}
	if uint32(cap(r.buf)) < n {
		r.buf = make([]byte, n, max(n, 2048))
	}
	r.buf = r.buf[:n]
	return r.buf, r.in.full(r.buf)
}

// source counts what was read.
type source struct {
	r     *bufio.Reader
	n     int64 // bytes read
	block int64 // where the current record or block begins
}

// first reads the beginning of a record or block, where a file may end.
func (s *source) first(b []byte) error {
	s.block = s.n
	n, err := io.ReadFull(s.r, b)
	s.n += int64(n)
	return err
}

// full reads the rest of one, where it may not.
func (s *source) full(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.n += int64(n)
	return inside(err)
}

// skip leaves out n bytes.
func (s *source) skip(n int64) error {
	n, err := io.CopyN(io.Discard, s.r, n)
	s.n += n
	return inside(err)
}

func inside(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
