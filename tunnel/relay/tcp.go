package relay

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	gtcp "gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// dialTimeout is longer than the system itself tries to connect (Linux: 127 s),
// so that its word is heard.
const dialTimeout = 150 * time.Second

// keepAlive finds out about servers that are gone: the host's own keepalives end
// in the relay. Well below the two hours that a NAT64 keeps a flow (RFC 6146).
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: 15 * time.Second, Count: 8}

// syn takes the TCP segments that belong to no connection. It is called by the
// goroutine of Run alone.
func (r *Relay) syn(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	t := header.TCP(pkt.TransportHeader().Slice())
	if t.Flags()&(header.TCPFlagSyn|header.TCPFlagAck|header.TCPFlagRst) != header.TCPFlagSyn {
		return false // of a connection that is gone: the stack resets it
	}
	dst := addrOf(id.LocalAddress)
	var hdr [8]byte
	copy(hdr[:], t)
	if !r.policy.Load().allows(dst) {
		r.stats.packet(answeredNonGlobal)
		r.answer(dummy, prohibited, 0, quoteOf(tcp, addrOf(id.RemoteAddress), addrOf(id.LocalAddress), hdr))
		return true
	}
	switch r.flows.open(id, hdr) {
	case placeThere:
		return true
	case placeNoFlow:
		r.stats.packet(answeredFlowLimit)
		return false // reset
	case placeNoOpen:
		r.stats.packet(droppedOpening)
		return true // it comes again
	}
	r.group.Add(1)
	if !r.net.forwarder.HandlePacket(id, pkt) {
		r.flows.opened(id)
		r.group.Done()
		return false
	}
	return true
}

// connect dials the server of a SYN and carries the connection. It is a goroutine
// of the forwarder's, counted by syn.
func (r *Relay) connect(req *gtcp.ForwarderRequest) {
	defer r.group.Done()
	id := req.ID()
	to := netip.AddrPortFrom(r.policy.Load().Prefix.Embed(addrOf(id.LocalAddress)), id.LocalPort)
	ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
	conn, err := r.dial.DialContext(ctx, "tcp6", to.String())
	cancel()
	if err != nil {
		r.refuse(req, err)
		return
	}
	f := &tcpFlow{relay: r, conn: conn, stream: streamOf(conn, plainSize)}
	ep, terr := req.CreateEndpoint(&f.queue)
	req.Complete(false)
	if terr != nil {
		r.flows.opened(id)
		r.stats.flow(protoTCP, flowGone)
		if l, ok := conn.(lingerer); ok {
			_ = l.SetLinger(0)
		}
		_ = conn.Close()
		return
	}
	f.ep = ep
	if !r.flows.add(f, id) {
		f.abort()
		return
	}
	r.stats.flow(protoTCP, flowOpened)
	f.carry()
}

// refuse tells the host why its connection does not stand, as the server or a
// router would have.
func (r *Relay) refuse(req *gtcp.ForwarderRequest, err error) {
	id, c := req.ID(), causeOf(err)
	hdr := r.flows.opened(id)
	r.stats.flow(protoTCP, c.event)
	switch c.event {
	case flowSilent, flowEnded:
		req.Complete(false)
	case flowUnreachable, flowProhibited:
		req.Complete(false)
		r.answer(dummy, c.answer, 0, quoteOf(tcp, addrOf(id.RemoteAddress), addrOf(id.LocalAddress), hdr))
		r.unreachable()
	default:
		req.Complete(true)
	}
}

func (r *Relay) unreachable() {
	if r.Unreachable != nil {
		r.Unreachable()
	}
}

// lingerer is a connection whose Close sends a reset after SetLinger(0).
type lingerer interface{ SetLinger(seconds int) error }

// tcpFlow is one connection: ep towards the host, conn towards the server. Two
// goroutines carry it, see carry.
type tcpFlow struct {
	relay  *Relay
	ep     tcpip.Endpoint
	queue  waiter.Queue // of ep
	conn   net.Conn
	stream Stream
	share  int // of ep's buffers; written under the lock of resize
	mu     sync.Mutex
	ending sync.Once
}

// carry moves data both ways until both have ended. The calling goroutine carries
// what the host sends, another one what the server sends.
func (f *tcpFlow) carry() {
	if k, ok := f.conn.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		_ = k.SetKeepAliveConfig(keepAlive) // without, a dead server is noticed late
	}
	// A reset by the host wakes whoever waits for the server.
	entry := waiter.NewFunctionEntry(waiter.EventHUp|waiter.EventErr, func(waiter.EventMask) {
		if f.broken() {
			_ = f.conn.SetDeadline(time.Unix(1, 0))
		}
	})
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	down := make(chan struct{})
	f.relay.start(func() {
		defer close(down)
		f.finish(f.down())
	})
	f.finish(f.up())
	<-down
	f.end(flowEnded)
	f.relay.flows.remove(f)
	f.relay.stats.flow(protoTCP, flowEnded)
}

// broken tells whether the host's side was reset.
func (f *tcpFlow) broken() bool { return gtcp.EndpointState(f.ep.State()) == gtcp.StateError }

// finish handles the end of one direction: flowEnded is a half-close, which was
// passed on; anything else ends the other direction too.
func (f *tcpFlow) finish(why event) {
	if why != flowEnded {
		f.end(why)
	}
}

// end closes both sides, by a reset unless both had been closed.
func (f *tcpFlow) end(why event) {
	f.ending.Do(func() {
		if why == flowEnded {
			_ = f.conn.Close()
			f.ep.Close()
			return
		}
		f.relay.stats.flow(protoTCP, why)
		f.reset()
	})
}

// abort implements flow.
func (f *tcpFlow) abort() {
	f.ending.Do(f.reset)
}

// reset resets both sides. Abort wakes who waits for the host's side; only then can
// the other one be closed, since that waits until nobody uses it.
func (f *tcpFlow) reset() {
	if l, ok := f.conn.(lingerer); ok {
		_ = l.SetLinger(0) // then it is closed in order
	}
	f.ep.Abort()
	_ = f.conn.Close()
}

// resize sets how much may wait in each of the two buffers of the host's side.
func (f *tcpFlow) resize(share int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if share == f.share {
		return
	}
	f.share = share
	o := f.ep.SocketOptions()
	o.SetReceiveBufferSize(int64(share), true)
	o.SetSendBufferSize(int64(share), true)
}
