package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/sock"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/vnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	clat4  = netip.MustParseAddr("192.0.0.3")
	server = netip.MustParseAddr("198.51.100.10")
	prefix = nat64.MustParse("2001:db8:64::/96")
)

// loop dials the synthesized address of server at the loopback address.
type loop struct {
	sock.Flows
	plain  bool // hide that connections are Streams
	fail   func(network string) error
	dialed atomic.Int32
}

func (l *loop) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	l.dialed.Add(1)
	to := netip.MustParseAddrPort(addr)
	if ip, ok := prefix.Extract(to.Addr()); !ok || ip != server {
		return nil, errors.New("dialled " + addr)
	}
	if l.fail != nil {
		if err := l.fail(network); err != nil {
			return nil, err
		}
	}
	c, err := l.Flows.DialContext(ctx, network, net.JoinHostPort("::1", strconv.Itoa(int(to.Port()))))
	if err != nil || !l.plain {
		return c, err
	}
	if t, ok := c.(tcpConn); ok {
		return hidden{t}, nil
	}
	return struct{ net.Conn }{c}, nil
}

// tcpConn is what a TCP connection can, but for being a Stream.
type tcpConn interface {
	net.Conn
	CloseWrite() error
	SetLinger(int) error
}

type hidden struct{ tcpConn }

// lab is a machine in memory whose IPv4 goes through a relay.
type lab struct {
	*testing.T
	host  *vnet.Host
	relay *Relay
	dial  *loop
	stop  func() error // ends the relay and gives what Run returned
}

// newLab starts one; change may alter it before.
func newLab(t *testing.T, change func(d *loop, c *Config)) *lab {
	t.Helper()
	l := &lab{T: t, dial: &loop{}}
	near, far := vnet.Pipe()
	host, err := vnet.NewHost(vnet.HostOptions{}, near)
	if err != nil {
		t.Fatal(err)
	}
	l.host = host
	conf := Config{CLAT4: clat4, MTU: 1500, Policy: Policy{Prefix: prefix, NonGlobal: nat64.NonGlobalAlways}}
	if change != nil {
		change(l.dial, &conf)
	}
	tun, err := host.OpenTUN("clat0", conf.MTU)
	if err != nil {
		t.Fatal(err)
	}
	if l.relay, err = New(tun, l.dial, conf); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return host.Run(ctx) })
	relayCtx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- l.relay.Run(relayCtx) }()
	l.stop = func() error {
		stop()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
		cancel()
		_ = far.Close()
		_ = g.Wait()
	})
	if err := errors.Join(host.AddAddr(tun.Index(), netip.PrefixFrom(clat4, 32), false),
		host.AddRoute(netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: tun.Index()})); err != nil {
		t.Fatal(err)
	}
	return l
}

// listen starts a server of which each connection is served in a goroutine, and
// returns its port.
func (l *lab) listen(serve func(c *net.TCPConn)) uint16 {
	l.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		l.Fatal(err)
	}
	var g errgroup.Group
	g.Go(func() error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return nil
			}
			g.Go(func() error {
				defer c.Close()
				serve(c.(*net.TCPConn))
				return nil
			})
		}
	})
	l.Cleanup(func() {
		_ = ln.Close()
		if err := l.stop(); err != nil { // so that all connections end
			l.Errorf("Run = %v", err)
		}
		_ = g.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort().Port()
}

// connect dials the server over IPv4.
func (l *lab) connect(port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := l.host.DialContext(ctx, "tcp4", netip.AddrPortFrom(server, port).String())
	if err == nil {
		err = c.SetDeadline(time.Now().Add(2 * time.Minute))
	}
	return c, err
}

func (l *lab) mustConnect(port uint16) net.Conn {
	l.Helper()
	c, err := l.connect(port)
	if err != nil {
		l.Fatal(err)
	}
	return c
}

// counted waits until the counters say what is wanted.
func (l *lab) counted(want map[string]uint64) {
	l.Helper()
	var got map[string]uint64
	eventually(l.T, func() string { return fmt.Sprintf("counters %v, want %v", got, want) }, func() bool {
		got = l.relay.Stats()
		for k, v := range want {
			if got[k] != v {
				return false
			}
		}
		return true
	})
}

// eventually waits until ok, and fails with what is not.
func eventually(t *testing.T, what func() string, ok func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatal(what())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// not is a sentence for eventually.
func not(what string) func() string { return func() string { return "not so: " + what } }

func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
}
