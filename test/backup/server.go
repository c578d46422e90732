package backup

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// Serve keeps chunks in the folder dir for the clients of a listener until ctx
// ends, then returns nil. It owns the listener and one goroutine for each
// connection, and has joined them when it returns. What is wrong on one
// connection is told to its client and ends that connection alone.
func Serve(ctx context.Context, l net.Listener, cfg *tls.Config, dir string) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	s, err := openStore(dir)
	if err != nil {
		return err
	}
	for {
		raw, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept client: %w", err)
		}
		clients.Go(func() {
			defer raw.Close()
			defer context.AfterFunc(ctx, func() { raw.Close() })()
			below := newWholesale(raw)
			secure := tls.Server(below, cfg)
			hello, cancel := context.WithTimeout(ctx, idleTime)
			defer cancel()
			if secure.HandshakeContext(hello) == nil {
				s.serve(newConn(secure))
				finish(secure, below)
			}
		})
	}
}

// store is a folder of chunks. It has no state: several connections may use it.
type store struct{ dir string }

func openStore(dir string) (*store, error) {
	for i := range 256 {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprintf("%02x", i)), 0o700); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	return &store{dir}, nil
}

// serve answers requests until the client is done or one of them is wrong.
func (s *store) serve(c *conn) {
	out := make([]byte, chunkSize)
	for {
		kind, payload, err := c.next()
		if err == nil {
			err = s.request(c, kind, payload, out)
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			text := err.Error()
			_ = c.write(kindError, []byte(text[:min(len(text), maxText)])) // the client may be gone
			_ = c.w.Flush()
			return
		}
	}
}

// next is read, but keeps answers back while more requests are there already.
func (c *conn) next() (byte, []byte, error) {
	if c.r.Buffered() < headerSize {
		return c.read()
	}
	kind, n, err := readHeader(c.r)
	if err != nil {
		return 0, nil, err
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	if _, err := io.ReadFull(c.r, c.buf); err != nil {
		return 0, nil, fmt.Errorf("read message of %d bytes: %w", n, unexpected(err))
	}
	return kind, c.buf, nil
}

func (s *store) request(c *conn, kind byte, payload, out []byte) error {
	switch {
	case kind == kindHas && len(payload)%sha256.Size == 0:
		var has []byte
		for ; len(payload) > 0; payload = payload[sha256.Size:] {
			has = append(has, s.has(Sum(payload[:sha256.Size])))
		}
		return c.write(kindHas, has)
	case kind == kindPut && len(payload) >= sha256.Size:
		if err := s.put(Sum(payload[:sha256.Size]), payload[sha256.Size:]); err != nil {
			return err
		}
		return c.write(kindPut)
	case kind == kindGet && len(payload) == sha256.Size:
		n, err := s.get(Sum(payload), out)
		if err != nil {
			return err
		}
		return c.write(kindGet, out[:n])
	}
	return fmt.Errorf("read request: kind %c with %d bytes", kind, len(payload))
}

func (s *store) file(sum Sum) string {
	name := sum.String()
	return filepath.Join(s.dir, name[:2], name)
}

func (s *store) has(sum Sum) byte {
	if _, err := os.Stat(s.file(sum)); err != nil {
		return 0
	}
	return 1
}

// put writes a chunk under its name, whole or not at all.
func (s *store) put(sum Sum, data []byte) error {
	if sha256.Sum256(data) != sum {
		return fmt.Errorf("chunk %v is %w", sum, ErrDamaged)
	}
	if s.has(sum) == 1 {
		return nil
	}
	f, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return fmt.Errorf("keep chunk: %w", err)
	}
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), s.file(sum))
	}
	if err != nil {
		os.Remove(f.Name())
		if s.has(sum) == 1 { // another connection was faster
			return nil
		}
		return fmt.Errorf("keep chunk: %w", err)
	}
	return nil
}

// get reads a chunk into buf and returns its size. The client checks it.
func (s *store) get(sum Sum, buf []byte) (int, error) {
	f, err := os.Open(s.file(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("no chunk or snapshot %v here", sum)
	}
	if err != nil {
		return 0, fmt.Errorf("read chunk: %w", err)
	}
	defer f.Close()
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("read chunk: %w", err)
	}
	return n, nil
}
