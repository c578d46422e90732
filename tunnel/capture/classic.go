package capture

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Lengths of classic pcap, in bytes.
const (
	fileHeader   = 24
	recordHeader = 16
)

// classic is the format of tcpdump -w.
type classic struct {
	link LinkType
	nano bool
}

// readClassic reads the file's header, whose magic was seen.
func readClassic(r *Reader, nano bool) (format, error) {
	var b [fileHeader]byte
	if err := r.in.first(b[:]); errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("the file ends within its header of %d bytes", fileHeader)
	} else if err != nil {
		return nil, err
	}
	if major, minor := r.order.Uint16(b[4:]), r.order.Uint16(b[6:]); major != 2 || minor != 4 {
		return nil, fmt.Errorf("pcap of version %d.%d: only 2.4 is read", major, minor)
	}
	// The upper bits tell of a frame check sequence, which is padding to us.
	return &classic{link: LinkType(r.order.Uint32(b[20:])), nano: nano}, nil
}

func (c *classic) micro() bool { return !c.nano }

func (c *classic) next(r *Reader) (Packet, error) {
	var b [recordHeader]byte
	if err := r.in.first(b[:]); err != nil {
		return Packet{}, err // io.EOF only before the first byte
	}
	unit := int64(time.Microsecond)
	if c.nano {
		unit = 1
	}
	p := Packet{
		Time:   time.Unix(int64(r.order.Uint32(b[0:])), int64(r.order.Uint32(b[4:]))*unit).UTC(),
		Link:   c.link,
		Length: length(r.order.Uint32(b[12:])),
	}
	var err error
	p.Data, err = r.data(r.order.Uint32(b[8:]))
	return p, err
}

// length is a frame's length in the file as an int, which may have 32 bits.
func length(n uint32) int { return int(min(n, 1<<31-1)) }
