// Package forward serves local listeners for users without administrator rights:
// a TCP port that leads to one server, SOCKS5 (RFC 1928, CONNECT without
// authentication) and HTTP CONNECT (RFC 9110 section 9.3.6). Each connection is
// dialled through a small port, in practice tunnel/dial, and then copied both
// ways with half-closes kept.
//
// It opens no listener, knows no path and looks into no data. Whoever reaches the
// listener may use it: the caller keeps it on the loopback interface.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// Dialer opens the connection to where a client wants to go. host is a name or an
// IP address.
type Dialer interface {
	Dial(ctx context.Context, host string, port uint16) (net.Conn, error)
}

// Limits of a Server whose fields are zero.
const (
	DefaultIdle  = 10 * time.Minute // without a byte in either direction
	DefaultConns = 512              // at once
	requestLimit = 10 * time.Second // for a client to say where it wants to go
)

// Server serves listeners. Its methods block until ctx ends or the listener
// fails, and leave no goroutine behind. Set the fields before the first call.
type Server struct {
	Dialer Dialer
	Log    logrus.FieldLogger
	Idle   time.Duration // 0: DefaultIdle
	Conns  int           // 0: DefaultConns; more wait in the listener's queue

	stats counters
}

// Stats are counted since the start. Safe for concurrent use.
type Stats struct {
	Open     int64  `json:"open"`     // connections now
	Accepted uint64 `json:"accepted"` // from clients
	Failed   uint64 `json:"failed"`   // that could not be dialled, or asked for nothing sensible
	Idle     uint64 `json:"idle"`     // closed since nothing moved
	Up, Down uint64 // bytes to and from servers
}

type counters struct {
	open                             atomic.Int64
	accepted, failed, idle, up, down atomic.Uint64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	return Stats{s.stats.open.Load(), s.stats.accepted.Load(), s.stats.failed.Load(), s.stats.idle.Load(), s.stats.up.Load(), s.stats.down.Load()}
}

// To serves l, each connection of which goes to host and port.
func (s *Server) To(ctx context.Context, l net.Listener, host string, port uint16) error {
	return s.serve(ctx, l, func(ctx context.Context, client net.Conn) error {
		server, err := s.Dialer.Dial(ctx, host, port)
		if err != nil {
			return err
		}
		s.relay(ctx, client, client, server)
		return nil
	})
}

// serve accepts connections and runs handle for each in a goroutine of its own,
// which owns the connection.
func (s *Server) serve(ctx context.Context, l net.Listener, handle func(context.Context, net.Conn) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	limit := s.Conns
	if limit == 0 {
		limit = DefaultConns
	}
	slots := make(chan struct{}, limit) // one for each open connection
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		client, err := l.Accept()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("accept connection: %w", err)
		}
		s.stats.accepted.Add(1)
		s.stats.open.Add(1)
		wg.Go(func() {
			defer func() { _ = client.Close(); s.stats.open.Add(-1); <-slots }()
			// A client that is waited for must not hold up the end.
			defer context.AfterFunc(ctx, func() { _ = client.Close() })()
			if err := handle(ctx, client); err != nil && ctx.Err() == nil {
				s.stats.failed.Add(1)
				s.Log.WithError(err).WithField("client", client.RemoteAddr().String()).Warn("a connection could not be forwarded")
			}
		})
	}
}

// relay copies both ways until both directions have ended, nothing moves for the
// idle limit, or ctx ends. in is what the client sends, with what was read ahead
// of it. It closes server.
func (s *Server) relay(ctx context.Context, client net.Conn, in io.Reader, server net.Conn) {
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _ = server.Close(); _ = client.Close() })()
	idle := s.Idle
	if idle == 0 {
		idle = DefaultIdle
	}
	w := &watch{idle: idle, conns: [2]net.Conn{client, server}}
	w.moved()
	var wg sync.WaitGroup
	wg.Go(func() { s.copy(w, server, in, &s.stats.up) })
	s.copy(w, client, server, &s.stats.down)
	wg.Wait()
	if w.expired.Load() {
		s.stats.idle.Add(1)
	}
}

// copy moves one direction and closes that half when it ends. A direction that
// breaks takes the other with it.
func (s *Server) copy(w *watch, dst net.Conn, src io.Reader, count *atomic.Uint64) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			w.moved()
			if _, werr := dst.Write(buf[:n]); werr != nil {
				w.end(werr)
				return
			}
			count.Add(uint64(n))
		}
		switch {
		case errors.Is(err, io.EOF):
			closeWrite(dst)
			return
		case err != nil:
			w.end(err)
			return
		}
	}
}

// closeWrite says that nothing more comes, where a connection can say that of one
// half.
func closeWrite(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
		return
	}
	_ = c.Close()
}

// watch ends a pair of connections in which nothing moves: each byte moves the
// deadline of both.
type watch struct {
	idle    time.Duration
	conns   [2]net.Conn
	last    atomic.Int64 // when the deadlines were set, Unix nanoseconds
	expired atomic.Bool
}

// moved sets the deadlines anew, but not for every packet.
func (w *watch) moved() {
	now := time.Now()
	if last := w.last.Load(); now.UnixNano()-last < int64(w.idle/8) {
		return
	}
	w.last.Store(now.UnixNano())
	for _, c := range w.conns {
		_ = c.SetDeadline(now.Add(w.idle))
	}
}

// end closes both after one direction broke.
func (w *watch) end(err error) {
	var t net.Error
	if errors.As(err, &t) && t.Timeout() {
		w.expired.Store(true)
	}
	for _, c := range w.conns {
		_ = c.Close()
	}
}
