package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"
)

// NGWriter writes raw IP packets of several interfaces as pcapng, little-endian, with
// times in nanoseconds and a comment on each packet. It does not buffer and is not safe
// for concurrent use (draft-ietf-opsawg-pcapng).
type NGWriter struct {
	w     io.Writer
	links int
	size  int64
	buf   []byte
}

// Codes of options, draft-ietf-opsawg-pcapng sections 3.5, 4.1, 4.2 and 4.3.
const (
	optEnd         = 0
	optComment     = 1
	optFlags       = 2
	optName        = 2
	optApplication = 4
	optDescription = 3
	optResolution  = 9
)

// NewNGWriter writes the header. application is the program that captures.
func NewNGWriter(w io.Writer, application string) (*NGWriter, error) {
	o := &NGWriter{w: w}
	b := o.begin(blockSection)
	b = binary.LittleEndian.AppendUint32(b, 0x1a2b3c4d)
	b = binary.LittleEndian.AppendUint16(b, 1) // version 1.0
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint64(b, math.MaxUint64) // length not told
	b = option(b, optApplication, []byte(application))
	return o, o.end(option(b, optEnd, nil))
}

// Interface adds an interface and returns its number. about is for people.
func (o *NGWriter) Interface(name, about string) (int, error) {
	b := o.begin(blockInterface)
	b = binary.LittleEndian.AppendUint16(b, uint16(Raw))
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, MaxPacket)
	b = option(b, optName, []byte(name))
	b = option(b, optDescription, []byte(about))
	b = option(b, optResolution, []byte{9}) // nanoseconds
	o.links++
	return o.links - 1, o.end(option(b, optEnd, nil))
}

// Direction is which way a packet went.
type Direction uint32

// The directions, as the flags of a packet have them.
const (
	NoDirection Direction = iota
	Inbound
	Outbound
)

// Write writes a packet of an interface. length is how long the packet was of which
// data is the beginning. comment may be empty.
func (o *NGWriter) Write(link int, t time.Time, data []byte, length int, d Direction, comment string) error {
	if link < 0 || link >= o.links {
		return fmt.Errorf("write packet of interface %d: there are %d", link, o.links)
	}
	at := uint64(max(0, t.UnixNano()))
	b := o.begin(blockEnhanced)
	for _, v := range [...]uint32{uint32(link), uint32(at >> 32), uint32(at), uint32(len(data)), uint32(max(length, len(data)))} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = pad(append(b, data...))
	if comment != "" {
		b = option(b, optComment, []byte(comment))
	}
	b = option(b, optFlags, binary.LittleEndian.AppendUint32(nil, uint32(d)))
	return o.end(option(b, optEnd, nil))
}

// Size is how many bytes were written.
func (o *NGWriter) Size() int64 { return o.size }

// begin starts a block; its length comes in end.
func (o *NGWriter) begin(kind uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(o.buf[:0], kind), 0)
}

func (o *NGWriter) end(b []byte) error {
	total := uint32(len(b) + 4)
	binary.LittleEndian.PutUint32(b[4:], total)
	b = binary.LittleEndian.AppendUint32(b, total)
	o.buf = b
	n, err := o.w.Write(b)
	o.size += int64(n)
	return err
}

// option adds an option, cut to what its length can say.
func option(b []byte, code uint16, value []byte) []byte {
	value = value[:min(len(value), math.MaxUint16)]
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...))
}

// pad fills up to a multiple of 4; blocks begin at one.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
