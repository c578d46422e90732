package relay

import (
	"io"
	"net"
)

// plainSize is the length in bytes of each buffer of a TCP connection that is no
// Stream.
const plainSize = 16 << 10

// streamOf makes a Stream of a connection that is none: it holds buffers of size
// bytes all the time.
func streamOf(c net.Conn, size int) Stream {
	if s, ok := c.(Stream); ok {
		return s
	}
	return &plain{Conn: c, in: make([]byte, size), size: size}
}

// plain has one user for each direction. A datagram is as long as the buffer at
// most.
type plain struct {
	net.Conn
	size int
	in   []byte
	left []byte // of in, not yet taken
	have bool   // left was not taken at all yet
	out  []byte // not yet written, made at the first use
	some bool   // out is to be written, though it may be empty
	err  error  // of the last Flush
}

// Read gives what is there.
func (p *plain) Read(b []byte) (int, error) {
	if !p.have && len(p.left) == 0 {
		return 0, io.ErrNoProgress
	}
	p.have = false
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

// Len is how many bytes are there.
func (p *plain) Len() int { return len(p.left) }

// Write takes what there is room for.
func (p *plain) Write(b []byte) (int, error) {
	n := min(len(b), p.size-len(p.out))
	p.out, p.some = append(p.out, b[:n]...), true
	if n < len(b) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Flush writes what was taken.
func (p *plain) Flush() error {
	if p.some {
		_, p.err = p.Conn.Write(p.out)
		p.out, p.some = p.out[:0], false
	}
	return p.err
}

// ReadReady implements Stream.
func (p *plain) ReadReady(f func(r io.Reader) (done bool)) error {
	for {
		n, err := p.Conn.Read(p.in)
		if p.left, p.have = p.in[:n], err == nil; (n > 0 || err == nil) && f(p) {
			return nil
		}
		if err == io.EOF {
			f(eof{})
			return nil
		}
		if err != nil {
			return err
		}
	}
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// WriteReady implements Stream.
func (p *plain) WriteReady(f func(w io.Writer) (done bool)) error {
	for {
		done := f(p)
		if err := p.Flush(); err != nil || done {
			return err
		}
	}
}
