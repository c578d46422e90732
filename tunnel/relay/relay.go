// Package relay is a CLAT (RFC 6877) that ends flows: IPv4 that the host sends
// into a TUN device ends in a network stack of its own (gVisor), and each flow
// is carried on by an IPv6 socket to the address that RFC 6052 makes of its
// destination. It needs no IPv6 address beside the host's own, no raw packets
// and no forwarding, so it serves where no CLAT address can be had (DHCPv6
// alone, DirectAccess, VPNs) and on every operating system.
//
// TCP is answered only when the server has answered; half-close, resets and
// back-pressure pass through. UDP flows live as RFC 4787 says, ICMP errors come
// back as ICMPv4 (RFC 792), echo requests pass where the system lets programs
// send them. What a relay cannot carry is answered or counted: other protocols,
// IPv4 options, TTL and DSCP.
//
// It opens no device, changes no route and decides nothing: devices and sockets
// are ports that the agent plugs in.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Port is a packet device. ReadPacket reads one packet into buf, whose offload
// state it returns, and gives net.ErrClosed after Close. WritePacket sends head
// followed by tail as one packet and keeps neither; several goroutines may call it.
type Port interface {
	ReadPacket(buf []byte) (vnethdr.Header, int, error)
	WritePacket(h vnethdr.Header, head, tail []byte) error
	Close() error
}

// Dialer opens sockets that leave by the uplink, whatever IPv4 routes there are.
// network is "tcp6" or "udp6", addr a literal address and port. What it returns
// may offer more: see Stream.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Pinger is a Dialer that opens sockets for ICMPv6 echo, too. A Write sends one
// whole message whose checksum is computed below; a Read gives one whole message,
// an answer to one that was written. The identifier may be another on the wire.
type Pinger interface {
	DialEcho(ctx context.Context, to netip.Addr) (net.Conn, error)
}

// Stream is a connection that tells when it can move data, so that the relay
// holds no memory for it in between. Both methods call f until it returns true
// or the connection fails, and wait in between until there may be something to
// do; r and w never block: when nothing more can be done now, r gives
// io.ErrNoProgress and w io.ErrShortWrite. Of datagram sockets, a Read or Write is
// one datagram. r may have a method Len() int: the bytes that are there for sure.
type Stream interface {
	net.Conn
	ReadReady(f func(r io.Reader) (done bool)) error
	WriteReady(f func(w io.Writer) (done bool)) error
}

// Policy says which destinations are served. It may change while flows go on.
type Policy struct {
	Prefix nat64.Prefix
	// NonGlobal is the rule for IPv4 addresses that are not global, AlwaysAllow
	// those that are served in any case.
	NonGlobal   nat64.NonGlobal
	AlwaysAllow []netip.Addr
}

func (p *Policy) allows(ip netip.Addr) bool {
	return slices.Contains(p.AlwaysAllow, ip) || p.NonGlobal.Allows(p.Prefix, ip)
}

// Config is what a relay needs for its life.
type Config struct {
	CLAT4 netip.Addr // the host's source address for what it sends into the device
	MTU   int        // of the device, in bytes
	// Offload says that the port gives and takes super-packets and unfinished
	// checksums.
	Offload bool
	Limits  Limits
	Policy  Policy
}

// Limits bound what flows may cost. Zero fields mean the defaults.
type Limits struct {
	Flows   int // of all protocols at once, 20000
	Opening int // TCP connections whose server has not answered yet, 4096
	Memory  int // bytes that wait in TCP buffers, 256 MiB
}

// The defaults of Limits.
const (
	defaultFlows   = 20000
	defaultOpening = 4096
	defaultMemory  = 256 << 20
)

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.Flows, defaultFlows)
	def(&l.Opening, defaultOpening)
	def(&l.Memory, defaultMemory)
	return l
}

// Relay is one running relay on one port.
type Relay struct {
	port   Port
	dial   Dialer
	conf   Config
	policy atomic.Pointer[Policy]
	stats  counters
	net    *netstack
	errors limiter
	ids    atomic.Uint32 // of packets that are sent in fragments

	ctx   context.Context // of Run
	group sync.WaitGroup  // every goroutine of ours but Run's own
	flows flows

	// Unreachable, if set before Run, is called when the network says that a
	// server cannot be reached. It must not block.
	Unreachable func()
}

// New returns a relay on port that dials with d. It starts nothing, but the
// network stack has goroutines of its own: call Run, which ends them.
func New(port Port, d Dialer, conf Config) (*Relay, error) {
	if conf.MTU < 576 || conf.MTU > 65535 {
		return nil, fmt.Errorf("make relay: MTU %d, want 576 to 65535", conf.MTU)
	}
	conf.Limits = conf.Limits.withDefaults()
	r := &Relay{port: port, dial: d, conf: conf}
	r.flows.init(conf.Limits)
	r.SetPolicy(conf.Policy)
	var err error
	if r.net, err = newNetstack(r); err != nil {
		return nil, fmt.Errorf("make relay: %w", err)
	}
	return r, nil
}

// SetPolicy replaces the policy for all flows that begin from now on.
func (r *Relay) SetPolicy(p Policy) { r.policy.Store(&p) }

// Run carries flows until ctx ends or the port fails; then it resets all of them.
// It closes the port, and returns nil when ctx ended. It owns the goroutine that
// reads the port, one that sweeps idle flows, two for each TCP flow and one for
// each other flow, and waits for all.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	r.ctx = ctx
	closed := make(chan struct{}) // when the port is closed
	context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = r.port.Close()
	})
	err := r.read()
	ended := ctx.Err() != nil && errors.Is(err, net.ErrClosed)
	cancel()
	<-closed
	r.flows.abort()
	r.net.stack.Close() // ends those who wait for a host to finish its handshake
	r.group.Wait()
	r.net.stack.Wait()
	if ended {
		return nil
	}
	return fmt.Errorf("read packet: %w", err)
}

// start runs f in a goroutine that Run waits for.
func (r *Relay) start(f func()) {
	r.group.Add(1)
	go func() {
		defer r.group.Done()
		f()
	}()
}

// limiter bounds the ICMP errors that are sent: errorRate a second, as many at
// once. The zero value is full.
type limiter struct {
	mu   sync.Mutex
	used float64
	last time.Time
}

const errorRate = 100

func (l *limiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if passed := now.Sub(l.last).Seconds(); passed > 0 {
		l.used, l.last = max(0, l.used-passed*errorRate), now
	}
	if l.used+1 > errorRate {
		return false
	}
	l.used++
	return true
}
