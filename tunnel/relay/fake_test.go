package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// quiet is a server in memory: it takes everything, and sends what feed is given.
type quiet struct {
	net.Conn
	feed chan []byte
	err  chan error

	mu     sync.Mutex
	sent   [][]byte
	until  time.Time
	closed chan struct{}
	once   sync.Once
	moved  chan struct{} // the deadline was set
}

func newQuiet() *quiet {
	return &quiet{feed: make(chan []byte), err: make(chan error), closed: make(chan struct{}), moved: make(chan struct{}, 1)}
}

func (q *quiet) Read(b []byte) (int, error) {
	for {
		q.mu.Lock()
		wait := time.Until(q.until)
		q.mu.Unlock()
		if wait <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		select {
		case p := <-q.feed:
			return copy(b, p), nil
		case err := <-q.err:
			return 0, err
		case <-q.closed:
			return 0, net.ErrClosed
		case <-q.moved:
		case <-time.After(wait):
		}
	}
}

func (q *quiet) Write(b []byte) (int, error) {
	select {
	case <-q.closed:
		return 0, net.ErrClosed
	default:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent = append(q.sent, bytes.Clone(b))
	return len(b), nil
}

func (q *quiet) SetReadDeadline(t time.Time) error {
	q.mu.Lock()
	q.until = t
	q.mu.Unlock()
	select {
	case q.moved <- struct{}{}:
	default:
	}
	return nil
}

func (q *quiet) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// quietDialer gives new quiet servers.
type quietDialer struct {
	conns []*quiet
	echo  error
}

func (d *quietDialer) DialContext(_ context.Context, network, _ string) (net.Conn, error) {
	if network != "udp6" {
		return nil, net.UnknownNetworkError(network)
	}
	q := newQuiet()
	d.conns = append(d.conns, q)
	return q, nil
}

func (d *quietDialer) DialEcho(ctx context.Context, _ netip.Addr) (net.Conn, error) {
	if d.echo != nil {
		return nil, d.echo
	}
	return d.DialContext(ctx, "udp6", "")
}

// written is a port that keeps what is written.
type written struct {
	mu   sync.Mutex
	out  [][]byte
	hdrs []vnethdr.Header
}

func (*written) ReadPacket([]byte) (vnethdr.Header, int, error) {
	return vnethdr.Header{}, 0, net.ErrClosed
}
func (*written) Close() error { return nil }
func (w *written) WritePacket(h vnethdr.Header, head, tail []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out, w.hdrs = append(w.out, append(bytes.Clone(head), tail...)), append(w.hdrs, h)
	return nil
}

// bare is a relay without a network stack, whose goroutines synthetic time does
// not know. end waits for its flows.
func bare(t *testing.T, d Dialer, conf Config) (r *Relay, w *written, end func()) {
	t.Helper()
	w = &written{}
	r = &Relay{port: w, dial: d, conf: conf, ctx: t.Context()}
	r.conf.CLAT4 = clat4
	if r.conf.MTU == 0 {
		r.conf.MTU = 1500
	}
	r.conf.Limits = r.conf.Limits.withDefaults()
	r.flows.init(r.conf.Limits)
	r.SetPolicy(Policy{Prefix: prefix, NonGlobal: nat64.NonGlobalAlways})
	return r, w, func() { r.flows.abort(); r.group.Wait() }
}

// datagram is an IPv4 packet with UDP.
func datagram(dst netip.Addr, from, to uint16, payload string) []byte {
	b := make([]byte, 28, 28+len(payload))
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[20:], from)
	binary.BigEndian.PutUint16(b[22:], to)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	putIPv4(b, clat4, dst, udp, len(b), 1, 0)
	return b
}

// nothing is a datagram server that is a Stream: no answer comes, everything is taken.
type nothing struct {
	net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (n nothing) ReadReady(func(io.Reader) bool) error { <-n.closed; return net.ErrClosed }
func (n nothing) WriteReady(f func(io.Writer) bool) error {
	f(io.Discard)
	return nil
}
func (n nothing) SetReadDeadline(time.Time) error { return nil }
func (n nothing) Close() error                    { n.once.Do(func() { close(n.closed) }); return nil }

type nothingDialer struct{}

func (nothingDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	return nothing{closed: make(chan struct{}), once: new(sync.Once)}, nil
}

type discard struct{ *written }

func (discard) WritePacket(vnethdr.Header, []byte, []byte) error { return nil }
