package vnet

import (
	"context"
	"net"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// udpFlow starts a UDP flow at its first datagram. It is false when the stack
// shall answer that the port is unreachable.
func (r *Router) udpFlow(req *udp.ForwarderRequest) bool {
	id := req.ID()
	if r.own(fromAddr(id.LocalAddress)) {
		return false
	}
	to, ok := r.target(id)
	if !ok || !r.slot() {
		return true
	}
	var wq waiter.Queue
	ep, err := req.CreateEndpoint(&wq) // here, so that the next datagram finds it
	if err != nil {
		<-r.slots
		return true
	}
	r.flows.Go(func() {
		defer func() { <-r.slots }()
		r.relay(gonet.NewUDPConn(&wq, ep), id, to)
	})
	return true
}

// relay copies datagrams both ways until none came for a while.
func (r *Router) relay(client net.Conn, id stack.TransportEndpointID, to target) {
	defer client.Close()
	server, err := to.dialer.DialContext(r.ctx, "udp"+to.family, to.addr.String())
	if err != nil {
		if unreachable(err) {
			r.sendError(id, protoUDP, codeNoRoute, 0)
		}
		return
	}
	end := sync.OnceFunc(func() { client.Close(); server.Close() })
	defer end()
	stop := context.AfterFunc(r.ctx, end)
	defer stop()
	idle := time.AfterFunc(r.opts.UDPIdle, end)
	defer idle.Stop()
	r.count.udp.Add(1)
	alive := func() { idle.Reset(r.opts.UDPIdle) }
	var both sync.WaitGroup
	both.Go(func() { datagrams(server, client, alive); end() })
	if err := datagrams(client, server, alive); refused(err) {
		r.sendError(id, protoUDP, codePort, 0)
	}
	end()
	both.Wait()
}

// datagrams copies until src fails. What dst does not take is lost.
func datagrams(dst, src net.Conn, alive func()) error {
	buf := make([]byte, 65536)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return err
		}
		alive()
		dst.Write(buf[:n])
	}
}

// echo deals with ICMPv6 echo requests. It is false for those that the stack
// shall answer: the ones to the router itself.
func (r *Router) echo(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	msg := append(append([]byte(nil), pkt.TransportHeader().Slice()...), pkt.Data().AsRange().ToSlice()...)
	if len(msg) < 8 || msg[0] != icmpEcho {
		return false
	}
	ip := header.IPv6(pkt.NetworkHeader().Slice())
	client, dst := fromAddr(ip.SourceAddress()), fromAddr(ip.DestinationAddress())
	if r.own(dst) || dst.IsMulticast() {
		return false
	}
	v4, ok := r.extract(dst)
	if !ok {
		return true
	}
	r.count.echo.Add(1)
	select {
	case r.pings <- struct{}{}:
	default:
		r.count.dropped.Add(1)
		return true
	}
	r.flows.Go(func() {
		defer func() { <-r.pings }()
		ctx, cancel := context.WithTimeout(r.ctx, r.opts.DialTimeout)
		defer cancel()
		idn, seq := uint16(msg[4])<<8|uint16(msg[5]), uint16(msg[6])<<8|uint16(msg[7])
		if r.wan.Ping(ctx, v4, idn, seq, msg[8:]) != nil {
			return
		}
		msg[0] = icmpEchoReply
		reply := icmp6(dst, client, 64, msg)
		for _, f := range fragment6(reply, r.opts.MTU, r.stack.InsecureRNG().Uint32()) {
			r.link.sendTo(client, f) // lost is lost
		}
		r.count.echoReply.Add(1)
	})
	return true
}
