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

// serve runs a server on loopback until the test ends.
func serve(t *testing.T, up Upstream) string {
	t.Helper()
	udp, tcp, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	e := &Engine{Upstream: up}
	e.SetPrefixes(own)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&Server{Engine: e, Log: log}).Run(ctx, udp, tcp) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return udp.LocalAddr().String()
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
