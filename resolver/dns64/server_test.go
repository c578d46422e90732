package dns64

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/sirupsen/logrus"
)

func silent() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func engineFor(up Upstream) *Engine {
	e := &Engine{Upstream: up}
	e.SetPrefixes(own)
	return e
}

// serve runs a server on loopback until the test ends.
func serve(t *testing.T, up Upstream) string {
	t.Helper()
	udp, tcp, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	start(t, &Server{Engine: engineFor(up), Log: silent()}, udp, tcp)
	return udp.LocalAddr().String()
}

// start runs s until the test ends, and wants it to end without an error.
func start(t *testing.T, s *Server, udp net.PacketConn, tcp net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, udp, tcp) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func ask(t *testing.T, network, addr string, q *dns.Msg) *dns.Msg {
	t.Helper()
	m, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(q, addr)
	if err != nil {
		t.Fatal(err)
	}
	m.Compress = true // as it came
	return m
}

func TestServesUDPAndTCP(t *testing.T) {
	many := zone{}
	for i := range 100 {
		many["A a.example."] = append(many["A a.example."], fmt.Sprintf("a.example. 60 IN A 198.51.100.%d", i))
	}
	addr := serve(t, many)
	q := query("a.example", "AAAA")
	if m := ask(t, "udp", addr, q); !m.Truncated || m.Len() > dns.MinMsgSize {
		t.Errorf("over UDP without EDNS: %d bytes, truncated %v", m.Len(), m.Truncated)
	}
	if m := ask(t, "tcp", addr, q); m.Truncated || len(m.Answer) != 100 {
		t.Errorf("over TCP: %d records, truncated %v", len(m.Answer), m.Truncated)
	}
	q.SetEdns0(65535, false)
	if m := ask(t, "udp", addr, q); !m.Truncated || m.Len() > udpSize {
		t.Errorf("over UDP with EDNS: %d bytes, truncated %v", m.Len(), m.Truncated)
	}
}

// Whatever comes, the next client is served.
func TestGarbage(t *testing.T) {
	addr := serve(t, zone{"A a.example.": {v4}})
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer := query("a.example", "AAAA")
	answer.Response = true
	b, _ := answer.Pack()
	for _, junk := range [][]byte{{}, {1}, make([]byte, 12), make([]byte, 4000), b} {
		_, _ = c.Write(junk)
	}
	s, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write([]byte{0xff, 0xff, 1, 2, 3})
	_ = s.Close()
	if m := ask(t, "udp", addr, query("a.example", "AAAA")); len(m.Answer) != 1 {
		t.Errorf("%v", m)
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, at := range []string{"0.0.0.0:0", "192.0.2.1:53", "[::]:0"} {
		if _, _, err := Listen(t.Context(), netip.MustParseAddrPort(at)); err == nil {
			t.Errorf("%s: no error", at)
		}
	}
}

// gate is an upstream that answers when it is opened, and counts who waits.
type gate struct {
	waiting chan struct{}
	open    chan struct{}
}

func (g gate) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	g.waiting <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return zone{"A a.example.": {v4}}.Exchange(ctx, q)
}

// TestTooManyAtOnce: what is more than Queries is dropped over UDP and counted, and
// those under way are answered.
func TestTooManyAtOnce(t *testing.T) {
	udp, tcp, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	g := gate{make(chan struct{}, 100), make(chan struct{})}
	e := &Engine{Upstream: g}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&Server{Engine: e, Log: log, Queries: 2}).Run(ctx, udp, tcp) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("udp", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for id := range uint16(5) {
		q := query("a.example", "A")
		q.Id = id
		b, _ := q.Pack()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if id < 2 {
			<-g.waiting
		}
	}
	for end := time.Now().Add(5 * time.Second); e.Stats().Dropped < 3; {
		if time.Now().After(end) {
			t.Fatalf("%+v, want 3 dropped", e.Stats())
		}
		<-time.After(time.Millisecond)
	}
	close(g.open)
	seen := map[uint16]bool{}
	for range 2 {
		m, buf := new(dns.Msg), make([]byte, 512)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Unpack(buf[:n]); err != nil || len(m.Answer) != 1 {
			t.Errorf("%v, %v", m, err)
		}
		seen[m.Id] = true
	}
	if !seen[0] || !seen[1] || len(g.waiting) != 0 {
		t.Errorf("answered %v, want 0 and 1; %d more reached upstream", seen, len(g.waiting))
	}
}

// TestEndsWhileAsked: Run returns though upstream and clients are silent.
func TestEndsWhileAsked(t *testing.T) {
	udp, tcp, err := Listen(t.Context(), netip.MustParseAddrPort("[::1]:0"))
	if err != nil {
		t.Skip("no IPv6 loopback here: ", err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	g := gate{make(chan struct{}, 100), make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&Server{Engine: &Engine{Upstream: g}, Log: log}).Run(ctx, udp, tcp) }()
	b, _ := query("a.example", "A").Pack()
	var conns []net.Conn
	for _, network := range []string{"udp", "tcp", "tcp"} {
		c, err := net.Dial(network, udp.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	_, _ = conns[0].Write(b)
	_ = (&dns.Conn{Conn: conns[1]}).WriteMsg(query("a.example", "A"))
	<-g.waiting
	<-g.waiting
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still running")
	}
}
