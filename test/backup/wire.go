package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A message is its kind, the length of its payload as 4 bytes in network order,
// and the payload. An answer has the kind of its request, or kindError with text.
// Requests may be sent before the answers to earlier ones have come.
const (
	kindHas   = 'H' // SHA-256s; answer: a byte for each, 1 when the server has it
	kindPut   = 'P' // SHA-256 and chunk; answer: empty
	kindGet   = 'G' // SHA-256; answer: the chunk
	kindError = 'E'

	headerSize = 5
	maxPayload = sha256.Size + chunkSize
	maxText    = 1 << 10 // bytes of an error
)

// idleTime is how long one message may take. A peer that is gone is noticed
// after it.
const idleTime = 60 * time.Second

// A remoteError is what the other side says is wrong.
type remoteError string

func (e remoteError) Error() string { return "the server says: " + string(e) }

// conn reads and writes messages. One goroutine uses it.
type conn struct {
	net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
	buf []byte // payload of the last message read
}

func newConn(c net.Conn) *conn {
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 64<<10), w: bufio.NewWriterSize(c, 64<<10)}
}

// write puts a message into the buffer; read, or the server when it has nothing
// more to answer, flushes.
func (c *conn) write(kind byte, parts ...[]byte) error {
	if err := c.SetDeadline(time.Now().Add(idleTime)); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	var head [headerSize]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(n))
	_, err := c.w.Write(head[:])
	for _, p := range parts {
		if err == nil {
			_, err = c.w.Write(p)
		}
	}
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// read returns the next message. The payload is valid until the next read. At
// the end of the connection, between messages, the error is io.EOF as it is.
func (c *conn) read() (kind byte, payload []byte, err error) {
	if err := c.w.Flush(); err != nil {
		return 0, nil, fmt.Errorf("send message: %w", err)
	}
	if err := c.SetDeadline(time.Now().Add(idleTime)); err != nil {
		return 0, nil, fmt.Errorf("read message: %w", err)
	}
	kind, n, err := readHeader(c.r)
	if err != nil {
		return 0, nil, err
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, max(n, 4<<10))
	}
	c.buf = c.buf[:n]
	if _, err := io.ReadFull(c.r, c.buf); err != nil {
		return 0, nil, fmt.Errorf("read message of %d bytes: %w", n, unexpected(err))
	}
	return kind, c.buf, nil
}

// readHeader returns kind and length, which is within its limit.
func readHeader(r io.Reader) (kind byte, n int, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
		return 0, 0, io.EOF
	} else if err != nil {
		return 0, 0, fmt.Errorf("read message: %w", err)
	}
	size := binary.BigEndian.Uint32(head[1:])
	limit, ok := map[byte]uint32{kindHas: groupParts * sha256.Size, kindPut: maxPayload, kindGet: maxPayload, kindError: maxText}[head[0]]
	if !ok {
		return 0, 0, fmt.Errorf("read message: unknown kind %#x", head[0])
	}
	if size > limit {
		return 0, 0, fmt.Errorf("read message: kind %c has %d bytes, at most %d", head[0], size, limit)
	}
	return head[0], int(size), nil
}

// wholesale gathers what TLS reads and writes in records of 16 KiB, so that the
// socket is used a few times for each chunk. What was written goes out when the
// buffer is full, before a read, and with Flush. One goroutine uses it.
type wholesale struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

func newWholesale(c net.Conn) *wholesale {
	const size = 128 << 10 // bytes
	return &wholesale{c, bufio.NewReaderSize(c, size), bufio.NewWriterSize(c, size)}
}

func (b *wholesale) Write(p []byte) (int, error) { return b.w.Write(p) }
func (b *wholesale) Flush() error                { return b.w.Flush() }

func (b *wholesale) Read(p []byte) (int, error) {
	if err := b.w.Flush(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

// finish tells the other side that nothing is missing. It may be gone already.
func finish(c *tls.Conn, below *wholesale) {
	_ = c.CloseWrite()
	_ = below.SetDeadline(time.Now().Add(time.Second)) // CloseWrite ended the one for writes
	_ = below.Flush()
}

// unexpected tells the end inside a message from the one between messages.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cause puts the end of ctx in the place of errors that follow from it.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
