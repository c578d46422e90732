package vnet

import (
	"context"
	"flag"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/platform/netstate"
)

// TestMain has many worlds run at the same time, unless told otherwise: they wait more
// than they work.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	flag.Parse() // what was given wins
	goleak.VerifyTestMain(m)
}

// The addresses of the tests: documentation ones (RFC 5737, RFC 3849).
var (
	server   = netip.MustParseAddr("198.51.100.10")
	server6  = netip.MustParseAddr("64:ff9b::c633:640a") // the same in 64:ff9b::/96
	routerIP = netip.MustParseAddr("2001:db8:1::1")
)

// limit bounds each wait; what takes longer is broken.
const limit = 15 * time.Second

// world is a router with a host on one side and servers on the other.
type world struct {
	*testing.T
	router *Router
	host   *Host
	net    *Internet
}

// newWorld starts one and ends it with the test, which from here on runs beside
// others: duplicate address detection takes a second of real time.
func newWorld(t *testing.T, opts Options) *world {
	t.Helper()
	t.Parallel()
	internet, err := NewInternet()
	if err != nil {
		t.Fatal(err)
	}
	a, b := Pipe()
	router, err := New(opts, a, internet)
	if err != nil {
		t.Fatal(err)
	}
	host, err := NewHost(HostOptions{}, b)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, router, host, internet}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{router.Run, host.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("ended early: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		internet.Close()
	})
	return w
}

// within returns a context for one step.
func (w *world) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	w.Cleanup(cancel)
	return ctx
}

// until waits for a state of the host.
func (w *world) until(what string, holds func(netstate.Snapshot) bool) netstate.Snapshot {
	w.Helper()
	timeout := time.After(limit)
	for {
		if s := w.host.Snapshot(); holds(s) {
			return s
		}
		select {
		case <-w.host.Changed():
		case <-timeout:
			w.Fatalf("never came: %s; state %+v", what, w.host.Snapshot())
		}
	}
}

// online waits until the host has a global address and a default route.
func (w *world) online() netstate.Snapshot {
	w.Helper()
	return w.until("a global address and a default route", func(s netstate.Snapshot) bool {
		l, _ := s.Link(Uplink)
		_, routed := s.Default(true)
		return routed && len(l.Usable6()) > 0
	})
}

// listen starts a TCP server on the server's machine; each connection is handed
// to serve and closed after it.
func (w *world) listen(port uint16, serve func(net.Conn)) {
	w.Helper()
	l, err := w.net.Listen(netip.AddrPortFrom(server, port))
	if err != nil {
		w.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	w.Cleanup(func() { l.Close(); all.Wait() })
}

// echoBack sends back what it gets, until the end of stream.
func echoBack(c net.Conn) { io.Copy(c, c) }

// dial connects from the host.
func (w *world) dial(network string, ip netip.Addr, port uint16) net.Conn {
	w.Helper()
	c, err := w.host.DialContext(w.within(), network, netip.AddrPortFrom(ip, port).String())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return c
}

// ask sends a query to the router's DNS server.
func (w *world) ask(network, name string, qtype uint16) (*dns.Msg, error) {
	w.Helper()
	conn := w.dial(network, routerIP, 53)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	c := &dns.Conn{Conn: conn}
	if network == "udp6" {
		c.UDPSize = dns.MinMsgSize
	}
	if err := c.WriteMsg(new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)); err != nil {
		return nil, err
	}
	return c.ReadMsg()
}
