package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"
)

// Writer writes raw IP packets as classic pcap, little-endian. It does not
// buffer and is not safe for concurrent use.
type Writer struct {
	w    io.Writer
	unit int              // nanoseconds in a unit of time
	head [fileHeader]byte // of the next thing to write
}

// NewWriter writes the header of a file whose times are in microseconds, or in
// nanoseconds.
func NewWriter(w io.Writer, micro bool) (*Writer, error) {
	o := &Writer{w: w, unit: 1}
	magic := uint32(magicNano)
	if micro {
		o.unit, magic = int(time.Microsecond), magicMicro
	}
	b := o.head[:0]
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint16(b, 2) // version 2.4
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = binary.LittleEndian.AppendUint64(b, 0) // reserved
	b = binary.LittleEndian.AppendUint32(b, MaxPacket)
	b = binary.LittleEndian.AppendUint32(b, uint32(Raw))
	_, err := w.Write(b)
	return o, err
}

// Write writes one packet, head followed by tail. The zero Time is written as
// 0; another must be from 1970 to 2106, which is what the format can say.
func (o *Writer) Write(t time.Time, head, tail []byte) error {
	var seconds int64
	if !t.IsZero() {
		seconds = t.Unix()
	}
	if seconds < 0 || seconds > math.MaxUint32 {
		return fmt.Errorf("time %v is not from 1970 to 2106", t)
	}
	n := uint32(len(head) + len(tail))
	b := o.head[:0]
	for _, v := range [...]uint32{uint32(seconds), uint32(t.Nanosecond() / o.unit), n, n} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, part := range [...][]byte{b, head, tail} {
		if _, err := o.w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
