package relay

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
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
	f := newTCPFlow(r, conn)
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
	r.start(f.carry) // with a small stack: that of dialling is several times larger
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

// tcpFlow is one connection: ep towards the host, conn towards the server. One
// goroutine owns it and carries what the server sends; what the host sends is
// carried by another, which is there only while there is something.
type tcpFlow struct {
	relay  *Relay
	ep     tcpip.Endpoint
	queue  waiter.Queue // of ep
	entry  waiter.Entry // in queue: calls news
	conn   net.Conn
	stream Stream
	share  int64 // of ep's buffers; written under the lock of resize
	mu     sync.Mutex
	ending sync.Once

	down     downPump
	room     chan struct{} // holds one: the host's side may take more, or is gone
	up       upPump
	work     func() // the goroutine that up has
	upIs     atomic.Uint32
	upIsOver chan struct{} // closed
}

// What upIs says of the goroutine that carries what the host sends.
const (
	upRests uint32 = iota // there is none
	upWorks
	upGoesOn // as upWorks, and there is something new
	upOver
)

func newTCPFlow(r *Relay, conn net.Conn) *tcpFlow {
	f := &tcpFlow{relay: r, conn: conn, stream: streamOf(conn, plainSize), room: make(chan struct{}, 1), upIsOver: make(chan struct{})}
	f.down.flow, f.up.flow = f, f
	f.work = f.carryUp
	f.entry = waiter.NewFunctionEntry(waiter.ReadableEvents|waiter.WritableEvents|waiter.EventHUp|waiter.EventErr, f.news)
	return f
}

// carry moves data both ways until both have ended.
func (f *tcpFlow) carry() {
	if k, ok := f.conn.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		_ = k.SetKeepAliveConfig(keepAlive) // without, a dead server is noticed late
	}
	f.queue.EventRegister(&f.entry)
	f.rouse() // for what came before
	f.finish(f.down.run())
	<-f.upIsOver
	f.queue.EventUnregister(&f.entry)
	f.end(flowEnded)
	f.relay.flows.remove(f)
	f.relay.stats.flow(protoTCP, flowEnded)
}

// news is told by the stack what happens to ep, and must not use it but for its state.
func (f *tcpFlow) news(what waiter.EventMask) {
	gone := what&(waiter.EventHUp|waiter.EventErr) != 0
	if gone && f.broken() {
		_ = f.conn.SetDeadline(time.Unix(1, 0)) // wakes whoever waits for the server
	}
	if gone || what&waiter.WritableEvents != 0 {
		select {
		case f.room <- struct{}{}:
		default:
		}
	}
	if gone || what&waiter.ReadableEvents != 0 {
		f.rouse()
	}
}

// rouse has what the host sends carried. It may be called until carry's goroutine has
// ended, which waits for the other one.
func (f *tcpFlow) rouse() {
	for {
		switch is := f.upIs.Load(); is {
		case upRests:
			if f.upIs.CompareAndSwap(is, upWorks) {
				f.relay.group.Add(1)
				go f.work()
				return
			}
		case upWorks:
			if f.upIs.CompareAndSwap(is, upGoesOn) {
				return
			}
		default:
			return
		}
	}
}

// carryUp carries what the host has sent, and ends when that is all for now.
func (f *tcpFlow) carryUp() {
	defer f.relay.group.Done()
	for {
		why, over := f.up.run()
		if over {
			f.upIs.Store(upOver)
			f.finish(why)
			close(f.upIsOver)
			return
		}
		if f.upIs.CompareAndSwap(upWorks, upRests) {
			return
		}
		f.upIs.Store(upWorks)
	}
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

// reset resets both sides. Abort and rouse wake who waits for the host's side; only then
// can the other one be closed, since that waits until nobody uses it.
func (f *tcpFlow) reset() {
	if l, ok := f.conn.(lingerer); ok {
		_ = l.SetLinger(0) // then it is closed in order
	}
	f.ep.Abort()
	f.rouse()
	_ = f.conn.Close()
}

// resize sets how much may wait in each of the two buffers of the host's side. The
// share is read under the lock, so that of several calls the newest counts.
func (f *tcpFlow) resize(share *atomic.Int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := share.Load()
	if n == f.share {
		return
	}
	f.share = n
	o := f.ep.SocketOptions()
	o.SetReceiveBufferSize(n, true)
	o.SetSendBufferSize(n, true)
}
