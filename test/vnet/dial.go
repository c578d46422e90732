package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// errnos are gVisor's words for what a kernel would say. gonet keeps only the
// text.
var errnos = map[string]syscall.Errno{
	(&tcpip.ErrConnectionRefused{}).String():  syscall.ECONNREFUSED,
	(&tcpip.ErrConnectionReset{}).String():    syscall.ECONNRESET,
	(&tcpip.ErrConnectionAborted{}).String():  syscall.ECONNABORTED,
	(&tcpip.ErrHostUnreachable{}).String():    syscall.EHOSTUNREACH,
	(&tcpip.ErrNetworkUnreachable{}).String(): syscall.ENETUNREACH,
	(&tcpip.ErrTimeout{}).String():            syscall.ETIMEDOUT,
	(&tcpip.ErrBadLocalAddress{}).String():    syscall.EADDRNOTAVAIL,
	(&tcpip.ErrHostDown{}).String():           syscall.EHOSTUNREACH,
}

// dial opens a connection through s, on one interface or, with nic zero, on
// whichever the routes say, from the address that from gives, if any. network is tcp, udp, tcp4, tcp6, udp4 or udp6; addr
// is a literal address and port. Errors are those of the net package.
func dial(ctx context.Context, s *stack.Stack, nic tcpip.NICID, from func(to netip.Addr) netip.Addr, network, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%q: want a literal address and port: %w", addr, err)}
	}
	ip := to.Addr().Unmap().WithZone("")
	if strings.HasSuffix(network, "4") && !ip.Is4() || strings.HasSuffix(network, "6") && !ip.Is6() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.AddrError{Err: "no suitable address", Addr: addr}}
	}
	remote := tcpip.FullAddress{NIC: nic, Addr: toAddr(ip), Port: to.Port()}
	var local tcpip.FullAddress
	if from != nil {
		local.Addr = toAddr(from(ip))
	}
	var c net.Conn
	switch strings.TrimRight(network, "46") {
	case "tcp":
		c, err = dialTCP(ctx, s, local, remote, protocolOf(ip))
	case "udp":
		c, err = dialUDP(s, local, remote, protocolOf(ip))
	default:
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: plain(err)}
	}
	return c, nil
}

func dialTCP(ctx context.Context, s *stack.Stack, from, to tcpip.FullAddress, proto tcpip.NetworkProtocolNumber) (net.Conn, error) {
	c, err := gonet.DialTCPWithBind(ctx, s, from, to, proto)
	if err != nil {
		return nil, err
	}
	return tcpConn{conn{c}, c}, nil
}

// dialUDP does what gonet.DialUDP does, and in addition lets a reader see ICMP
// errors, as a kernel does.
func dialUDP(s *stack.Stack, from, to tcpip.FullAddress, proto tcpip.NetworkProtocolNumber) (net.Conn, error) {
	var wq waiter.Queue
	ep, terr := s.NewEndpoint(udp.ProtocolNumber, proto, &wq)
	if terr != nil {
		return nil, opError("socket", terr)
	}
	if from != (tcpip.FullAddress{}) {
		if terr := ep.Bind(from); terr != nil {
			ep.Close()
			return nil, opError("bind", terr)
		}
	}
	if terr := ep.Connect(to); terr != nil {
		ep.Close()
		return nil, opError("connect", terr)
	}
	// gonet's reader sleeps through errors. A goroutine, for the queue is locked.
	wake := waiter.NewFunctionEntry(waiter.EventErr, func(waiter.EventMask) { go wq.Notify(waiter.ReadableEvents) })
	wq.EventRegister(&wake)
	c := gonet.NewUDPConn(&wq, ep)
	return udpConn{conn{c}, c}, nil
}

// opError is what gonet makes of a gVisor error.
func opError(op string, err tcpip.Error) error {
	return &net.OpError{Op: op, Err: errors.New(err.String())}
}

// plain takes the words out of gonet's error and puts the errno in their place.
func plain(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	if e, ok := errnos[op.Err.Error()]; ok {
		return os.NewSyscallError(op.Op, e)
	}
	return op.Err
}

// conn is a gonet connection that reports a kernel's errors.
type conn struct{ net.Conn }

func (c conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.errno(err)
}

func (c conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.errno(err)
}

// tcpConn and udpConn have beside that what callers look for in a net.TCPConn
// and a net.UDPConn.
type tcpConn struct {
	conn
	tcp *gonet.TCPConn
}

// CloseWrite ends the sending direction.
func (c tcpConn) CloseWrite() error { return c.tcp.CloseWrite() }

type udpConn struct {
	conn
	udp *gonet.UDPConn
}

// ReadFrom implements net.PacketConn.
func (c udpConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.udp.ReadFrom(b)
	return n, from, c.errno(err)
}

// WriteTo implements net.PacketConn.
func (c udpConn) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := c.udp.WriteTo(b, to)
	return n, c.errno(err)
}

// errno puts the errno into a net.OpError, and leaves other errors alone.
func (c conn) errno(err error) error {
	var op *net.OpError
	if err == nil || !errors.As(err, &op) || op.Err == nil {
		return err
	}
	if e, ok := errnos[op.Err.Error()]; ok {
		return &net.OpError{Op: op.Op, Net: op.Net, Source: op.Source, Addr: op.Addr, Err: os.NewSyscallError(op.Op, e)}
	}
	return err
}
