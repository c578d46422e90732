package backup

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// client opens connections and counts what is done. Its methods may be called
// from several goroutines.
type client struct {
	dial     Dial
	addr     string
	tls      *tls.Config
	progress Progress
	total    int64 // bytes

	mu   sync.Mutex // guards done, and orders the calls of progress
	done int64
}

func newClient(dial Dial, addr string, cfg *tls.Config, progress Progress, total int64) *client {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	return &client{dial: dial, addr: addr, tls: cfg, progress: progress, total: total}
}

func (cl *client) advance(n int64) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.done += n
	cl.progress(cl.done, cl.total)
}

// session runs use on a new connection and closes it. When ctx ends, the
// connection is closed under use.
func (cl *client) session(ctx context.Context, use func(*conn) error) error {
	ap, err := netip.ParseAddrPort(cl.addr)
	if err != nil || !ap.Addr().Is4() {
		return fmt.Errorf("server %q: want an IPv4 address and a port; this client knows nothing else", cl.addr)
	}
	raw, err := cl.dial(ctx, "tcp4", cl.addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	cfg := cl.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = ap.Addr().String()
	}
	below := newWholesale(raw)
	secure := tls.Client(below, cfg)
	hello, cancel := context.WithTimeout(ctx, idleTime)
	defer cancel()
	if err := secure.HandshakeContext(hello); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	if err := use(newConn(secure)); err != nil {
		return err
	}
	finish(secure, below)
	return nil
}

// answer reads the answer to a request. size is that of its payload, in bytes;
// -1: any.
func (c *conn) answer(request byte, size int) ([]byte, error) {
	kind, payload, err := c.read()
	switch {
	case err != nil:
		return nil, fmt.Errorf("wait for answer: %w", unexpected(err))
	case kind == kindError:
		return nil, remoteError(payload)
	case kind != request:
		return nil, fmt.Errorf("wait for answer: kind %c came, want %c", kind, request)
	case size >= 0 && len(payload) != size:
		return nil, fmt.Errorf("wait for answer: kind %c has %d bytes, want %d", kind, len(payload), size)
	}
	return payload, nil
}

// missing returns the pieces that the server lacks.
func (c *conn) missing(pieces []*piece) ([]*piece, error) {
	if len(pieces) == 0 {
		return nil, nil
	}
	var sums []byte
	for _, p := range pieces {
		sums = append(sums, p.sum[:]...)
	}
	if err := c.write(kindHas, sums); err != nil {
		return nil, err
	}
	has, err := c.answer(kindHas, len(pieces))
	if err != nil {
		return nil, err
	}
	var lacks []*piece
	for i, p := range pieces {
		if has[i] == 0 {
			lacks = append(lacks, p)
		}
	}
	return lacks, nil
}

// put saves one chunk.
func (c *conn) put(data []byte) (Sum, error) {
	sum := Sum(sha256.Sum256(data))
	if err := c.write(kindPut, sum[:], data); err != nil {
		return sum, err
	}
	_, err := c.answer(kindPut, 0)
	return sum, err
}

// get fetches one chunk of at most limit bytes.
func (c *conn) get(sum Sum, limit int) ([]byte, error) {
	if err := c.write(kindGet, sum[:]); err != nil {
		return nil, err
	}
	data, err := c.chunk(sum, -1)
	if err == nil && len(data) > limit {
		err = fmt.Errorf("chunk %v has %d bytes, at most %d", sum, len(data), limit)
	}
	return data, err
}

// ErrDamaged is in the error when content does not have its SHA-256.
var ErrDamaged = errors.New("damaged: its SHA-256 does not match")

// chunk reads the answer to kindGet and checks it.
func (c *conn) chunk(sum Sum, size int) ([]byte, error) {
	data, err := c.answer(kindGet, size)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(data) != sum {
		return nil, fmt.Errorf("chunk %v is %w", sum, ErrDamaged)
	}
	return data, nil
}
