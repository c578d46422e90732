package vnet

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/reach64/reach64/resolver/nat64"
)

// keepalive is the silence after which a TCP flow's client is asked whether it
// is still there, so that flows of clients that went away end.
const keepalive = time.Minute

// maxHandshakes bounds the TCP flows whose IPv4 side is being dialled.
const maxHandshakes = 256

// intercept installs what becomes of packets for addresses that are not the
// router's own.
func (r *Router) intercept() {
	forward := tcp.NewForwarder(r.stack, 0, maxHandshakes, r.tcpFlow)
	r.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		h := header.TCP(pkt.TransportHeader().Slice())
		if h.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) != header.TCPFlagSyn {
			return false // belongs to no flow: the stack answers with a reset
		}
		if !r.syns.add(id, h.SequenceNumber()) {
			return true // already being dialled
		}
		r.flows.Add(1)
		if forward.HandlePacket(id, pkt) {
			return true
		}
		r.syns.remove(id)
		r.flows.Done()
		return false
	})
	r.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(r.stack, r.udpFlow).HandlePacket)
	r.stack.SetTransportProtocolHandler(icmp.ProtocolNumber6, r.echo)
}

// target is where the router dials for a flow to dst.
type target struct {
	dialer Dialer
	family string // "4" or "6"
	addr   netip.AddrPort
}

// target is false for destinations that nobody serves.
func (r *Router) target(id stack.TransportEndpointID) (target, bool) {
	dst := fromAddr(id.LocalAddress)
	if dst.Is4() {
		return target{r.wan, "4", netip.AddrPortFrom(dst, id.LocalPort)}, dst.IsGlobalUnicast()
	}
	if v4, ok := r.extract(dst); ok {
		return target{r.wan, "4", netip.AddrPortFrom(v4, id.LocalPort)}, true
	}
	if r.opts.Dial6 == nil || r.now.Load().prefix.Contains(dst) || !dst.IsGlobalUnicast() {
		return target{}, false
	}
	return target{r.opts.Dial6, "6", netip.AddrPortFrom(dst, id.LocalPort)}, true
}

// extract returns the IPv4 address that dst stands for. It is false for those
// that no NAT64 may serve, such as loopback, which would be the router's own
// machine (spec SEC-11).
func (r *Router) extract(dst netip.Addr) (netip.Addr, bool) {
	prefix := r.now.Load().prefix
	v4, ok := prefix.Extract(dst)
	return v4, ok && nat64.NonGlobalAlways.Allows(prefix, v4)
}

// slot takes a place for one flow, or counts a drop.
func (r *Router) slot() bool {
	select {
	case r.slots <- struct{}{}:
		return true
	default:
		r.count.dropped.Add(1)
		return false
	}
}

// tcpFlow lives as long as one TCP flow. gVisor starts it when a SYN came; the
// SYN is answered only after the server's side is up.
func (r *Router) tcpFlow(req *tcp.ForwarderRequest) {
	defer r.flows.Done()
	id := req.ID()
	seq := r.syns.get(id)
	finish := func(reset bool) {
		req.Complete(reset)
		r.syns.remove(id)
	}
	if r.own(fromAddr(id.LocalAddress)) {
		finish(true)
		return
	}
	to, ok := r.target(id)
	if !ok || !r.slot() {
		finish(false)
		return
	}
	defer func() { <-r.slots }()
	ctx, cancel := context.WithTimeout(r.ctx, r.opts.DialTimeout)
	server, err := to.dialer.DialContext(ctx, "tcp"+to.family, to.addr.String())
	cancel()
	if err != nil {
		r.count.tcpFailed.Add(1)
		finish(refused(err))
		if unreachable(err) {
			r.sendError(id, protoTCP, codeNoRoute, seq)
		}
		return
	}
	defer server.Close()
	var wq waiter.Queue
	shaken := make(chan struct{})
	go r.giveUpHandshake(&wq, shaken)
	ep, terr := req.CreateEndpoint(&wq)
	close(shaken)
	finish(false)
	if terr != nil {
		return
	}
	idle := tcpip.KeepaliveIdleOption(keepalive)
	ep.SetSockOpt(&idle) // without it a lost client costs one slot, no more
	ep.SocketOptions().SetKeepAlive(true)
	r.count.tcp.Add(1)
	r.splice(gonet.NewTCPConn(&wq, ep), ep, server)
}

// giveUpHandshake lets a handshake with a client that has gone fail when the
// router ends; by itself gVisor would wait for minutes. It notifies until the
// handshake is over, since the one who waits may not wait yet.
func (r *Router) giveUpHandshake(wq *waiter.Queue, over <-chan struct{}) {
	select {
	case <-over:
		return
	case <-r.ctx.Done():
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		wq.Notify(waiter.WritableEvents)
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

// splice copies both ways until both ended. An end of stream is passed on to
// the other side alone; an error ends both sides with a reset.
func (r *Router) splice(client *gonet.TCPConn, ep tcpip.Endpoint, server net.Conn) {
	abort := sync.OnceFunc(func() {
		if t, ok := server.(interface{ SetLinger(sec int) error }); ok {
			t.SetLinger(0)
		}
		ep.Abort()
		server.Close()
	})
	stop := context.AfterFunc(r.ctx, abort)
	defer stop()
	var both sync.WaitGroup
	both.Go(func() {
		n, err := transfer(server, client)
		r.count.toServer.Add(uint64(n))
		if err != nil {
			abort()
		}
	})
	n, err := transfer(client, server)
	r.count.toHost.Add(uint64(n))
	if err != nil {
		abort()
	}
	both.Wait()
	client.Close()
}

// transfer copies src to dst and then closes dst for writing.
func transfer(dst, src net.Conn) (int64, error) {
	buf := make([]byte, 64<<10)
	// Hide ReadFrom and WriteTo, which would bring buffers of their own.
	n, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, buf)
	if err != nil {
		return n, err
	}
	half, ok := dst.(interface{ CloseWrite() error })
	if !ok {
		return n, errors.New("close one direction: the connection cannot")
	}
	return n, half.CloseWrite()
}

// refused tells whether a server's machine said that nobody listens.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// unreachable tells whether the network said that it cannot get there.
func unreachable(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// sendError sends an ICMPv6 destination unreachable about a packet of the flow,
// with the code that RFC 7915 section 4.2 gives. Its header is made anew from the flow; seq is the TCP sequence number that
// the client looks for.
func (r *Router) sendError(id stack.TransportEndpointID, proto, code byte, seq uint32) {
	client := fromAddr(id.RemoteAddress)
	if client.Is4() {
		return // native IPv4 is not what this router is for: silence
	}
	about := make([]byte, 20)[:udpLen]
	if proto == protoTCP {
		about = about[:20]
		binary.BigEndian.PutUint32(about[4:], seq)
		about[12], about[13] = 5<<4, byte(header.TCPFlagSyn)
	} else {
		about[5] = udpLen
	}
	binary.BigEndian.PutUint16(about[0:], id.RemotePort)
	binary.BigEndian.PutUint16(about[2:], id.LocalPort)
	msg := append([]byte{icmpUnreachable, code, 0, 0, 0, 0, 0, 0}, header6(client, fromAddr(id.LocalAddress), proto, 64, len(about))...)
	r.link.sendTo(client, icmp6(r.opts.Addr, client, 64, append(msg, about...))) // lost is lost
}

// syns remembers the sequence numbers of the SYNs that are being dialled.
type syns struct {
	mu  sync.Mutex
	seq map[stack.TransportEndpointID]uint32
}

// add is false when id is there already or too many are.
func (s *syns) add(id stack.TransportEndpointID, seq uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seq == nil {
		s.seq = make(map[stack.TransportEndpointID]uint32)
	}
	if _, there := s.seq[id]; there || len(s.seq) >= maxHandshakes {
		return false
	}
	s.seq[id] = seq
	return true
}

func (s *syns) get(id stack.TransportEndpointID) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq[id]
}

func (s *syns) remove(id stack.TransportEndpointID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seq, id)
}
