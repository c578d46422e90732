package dns64

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/sirupsen/logrus"
)

// Limits of a Server whose fields are zero.
const (
	DefaultQueries = 128 // answered at once; more are dropped over UDP and wait over TCP
	DefaultConns   = 32  // of TCP at once; more wait in the listener's queue
	idleLimit      = 10 * time.Second
	writeLimit     = 5 * time.Second
	pause          = 100 * time.Millisecond // of a socket that cannot be read
	maxQuery       = 4096                   // bytes over UDP
)

// Server listens for queries, on UDP and TCP. Set the fields before Run.
type Server struct {
	Engine  *Engine
	Log     logrus.FieldLogger
	Queries int // 0: DefaultQueries
	Conns   int // 0: DefaultConns
	// Anywhere allows sockets that other machines can reach. They would find an open
	// resolver.
	Anywhere bool
}

// Listen opens a UDP and a TCP socket on the same address, which has to be of the
// loopback interface. Port 0 takes a free one.
func Listen(ctx context.Context, at netip.AddrPort) (net.PacketConn, net.Listener, error) {
	if !at.Addr().IsLoopback() {
		return nil, nil, fmt.Errorf("listen on %s: only loopback addresses such as 127.0.0.1 and ::1 are served", at)
	}
	var c net.ListenConfig
	for try := 0; ; try++ {
		tcp, err := c.Listen(ctx, "tcp", at.String())
		if err != nil {
			return nil, nil, fmt.Errorf("listen on %s by TCP: %w", at, err)
		}
		udp, err := c.ListenPacket(ctx, "udp", tcp.Addr().String())
		if err == nil {
			return udp, tcp, nil
		}
		_ = tcp.Close()
		if at.Port() != 0 || try == 8 { // a free port of TCP may be taken on UDP
			return nil, nil, fmt.Errorf("listen on %s by UDP: %w", at, err)
		}
	}
}

// Run serves the sockets until ctx ends, and closes them. It owns a goroutine for
// each socket, each TCP connection and each UDP query, and has joined them when it
// returns: nil after ctx ended, else why a socket failed.
func (s *Server) Run(ctx context.Context, udp net.PacketConn, tcp net.Listener) error {
	defer udp.Close()
	defer tcp.Close()
	for _, a := range []net.Addr{udp.LocalAddr(), tcp.Addr()} {
		ap, err := netip.ParseAddrPort(a.String())
		switch {
		case !s.Anywhere && (err != nil || !ap.Addr().IsLoopback()):
			return fmt.Errorf("serve DNS64 on %s: it is not on the loopback interface", a)
		case err == nil && ap.Addr().IsUnspecified(): // spec DNS64-13
			return fmt.Errorf("serve DNS64 on %s: answers could leave from another address than was asked; name one address", a)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &serving{Server: s, slots: make(chan struct{}, orCount(s.Queries, DefaultQueries)), conns: make(chan struct{}, orCount(s.Conns, DefaultConns))}
	stop := context.AfterFunc(ctx, func() {
		_ = udp.SetDeadline(time.Unix(1, 0)) // wakes the reader; Close would race with answers
		_ = tcp.Close()
	})
	defer stop()
	failed := make(chan error, 2) // one for each socket, never full
	r.wg.Go(func() { defer cancel(); failed <- r.datagrams(ctx, udp) })
	r.wg.Go(func() { defer cancel(); failed <- r.streams(ctx, tcp) })
	r.wg.Wait()
	return errors.Join(<-failed, <-failed)
}

func orCount(n, dflt int) int {
	if n <= 0 {
		return dflt
	}
	return n
}

// serving is one Run. slots and conns are semaphores: a token lies in the channel
// for each query or connection under way.
type serving struct {
	*Server
	wg           sync.WaitGroup
	slots, conns chan struct{}
}

// datagrams reads queries until ctx ends. Errors of single datagrams, such as that an
// earlier client is gone, do not end it.
func (s *serving) datagrams(ctx context.Context, udp net.PacketConn) error {
	buf := make([]byte, maxQuery)
	for bad := 0; ; {
		n, from, err := udp.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read query: %w", err)
		case err != nil:
			bad++
			s.rest(ctx, "read query", err, bad)
			continue
		}
		bad = 0
		query, ok := s.read(buf[:n])
		if !ok {
			continue
		}
		select {
		case s.slots <- struct{}{}:
		default:
			s.Engine.stats.dropped.Add(1) // the client asks again
			continue
		}
		s.wg.Go(func() {
			defer func() { <-s.slots }()
			if b := s.respond(ctx, query, udpLimit(query)); b != nil {
				_, _ = udp.WriteTo(b, from) // a lost answer is asked for again
			}
		})
	}
}

// udpLimit is how large a response may be: what the client's EDNS offers, at most
// what never is fragmented (RFC 6891 section 6.2.3).
func udpLimit(query *dns.Msg) int {
	opt := query.IsEdns0()
	if opt == nil {
		return dns.MinMsgSize
	}
	return max(dns.MinMsgSize, min(int(opt.UDPSize()), udpSize))
}

// read parses a query. What is none gets no answer, or FORMERR when it has a header.
func (s *serving) read(b []byte) (*dns.Msg, bool) {
	query := new(dns.Msg)
	if err := query.Unpack(b); err != nil {
		if len(b) < 12 || b[2]&0x80 != 0 {
			s.Engine.stats.dropped.Add(1)
			return nil, false
		}
		query.Question, query.Answer, query.Ns, query.Extra = nil, nil, nil, nil // Answer says FORMERR
	}
	return query, true
}

// respond packs the response, cut to limit bytes.
func (s *serving) respond(ctx context.Context, query *dns.Msg, limit int) []byte {
	m := s.Engine.Answer(ctx, query)
	if m == nil || ctx.Err() != nil {
		return nil
	}
	m.Truncate(limit)
	m.Compress = true
	b, err := m.Pack()
	if err != nil {
		s.Log.WithError(err).Debug("DNS64: an answer of upstream cannot be packed")
		b, err = failure(query, dns.RcodeServerFailure).Pack()
	}
	if err != nil {
		return nil
	}
	return b
}

// rest waits before a socket is tried again that has failed bad times in a row. The
// first few are free: a client that has gone away makes such an error too.
func (s *serving) rest(ctx context.Context, what string, err error, bad int) {
	if bad == 10 {
		s.Log.WithError(err).Warn("DNS64: cannot " + what + "; will go on trying")
	}
	if bad < 10 {
		return
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// streams accepts TCP connections until ctx ends. Errors that may pass, such as that
// there is no free descriptor, do not end it.
func (s *serving) streams(ctx context.Context, tcp net.Listener) error {
	for bad := 0; ; {
		select {
		case s.conns <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := tcp.Accept()
		if err != nil {
			<-s.conns
			switch {
			case ctx.Err() != nil:
				return nil
			case errors.Is(err, net.ErrClosed):
				return fmt.Errorf("accept connection: %w", err)
			}
			bad++
			s.rest(ctx, "accept connection", err, bad)
			continue
		}
		bad = 0
		s.wg.Go(func() {
			defer func() { <-s.conns }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			s.stream(ctx, conn)
		})
	}
}

// stream answers the queries of one connection one after the other, RFC 7766.
func (s *serving) stream(ctx context.Context, conn net.Conn) {
	c := &dns.Conn{Conn: conn}
	for ctx.Err() == nil {
		if conn.SetReadDeadline(time.Now().Add(idleLimit)) != nil {
			return
		}
		b, err := c.ReadMsgHeader(nil)
		if err != nil {
			return // closed, idle, or no DNS
		}
		query, ok := s.read(b)
		if !ok {
			return
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		b = s.respond(ctx, query, dns.MaxMsgSize)
		<-s.slots
		if b == nil || conn.SetWriteDeadline(time.Now().Add(writeLimit)) != nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}
