// Package ping sends ICMPv6 echo requests of any size and hop limit, all at once,
// and gathers what comes back: replies, and the errors of routers on the way (RFC
// 4443).
//
// It needs a raw socket; where only the system's socket for echoes is permitted,
// replies are seen and errors are not. It sends nothing but what it is told to.
package ping

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"

	"github.com/reach64/reach64/platform"
)

// Kind is what came back.
type Kind string

// The kinds.
const (
	Reply       Kind = "echo reply"
	Exceeded    Kind = "time exceeded"
	Unreachable Kind = "unreachable"
	TooBig      Kind = "packet too big"
)

// Request is one echo request.
type Request struct {
	Size int // bytes of the whole packet, the IPv6 header included; at least MinSize
	Hops int // hop limit; 0: the system's
}

// MinSize is the smallest request: headers alone.
const MinSize = 48

// Answer is what came back to a request.
type Answer struct {
	Request
	Kind Kind
	From netip.Addr
	MTU  int // of TooBig, bytes
	Took time.Duration
}

// Conn is an open socket. One goroutine uses it.
type Conn struct {
	c   net.PacketConn
	p   *ipv6.PacketConn
	raw bool
	id  int
	df  bool
	// asked is the sequence number of the last request: none comes twice, so that an
	// answer that is late is nobody else's.
	asked uint16
}

// Open opens a raw socket, or else the system's socket for echoes. Without the right
// to either, the error is a *platform.PermissionError.
func Open() (*Conn, error) {
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err == nil {
		return openRaw(c)
	}
	echo, err := icmp.ListenPacket("udp6", "::")
	if errors.Is(err, fs.ErrPermission) {
		return nil, &platform.PermissionError{Doing: "open socket for echo requests", Need: "CAP_NET_RAW", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open socket for echo requests: %w", err)
	}
	return &Conn{c: echo, p: echo.IPv6PacketConn()}, nil
}

func openRaw(c net.PacketConn) (*Conn, error) {
	p := &Conn{c: c, p: ipv6.NewPacketConn(c), raw: true, id: os.Getpid() & 0xffff}
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	for _, t := range []ipv6.ICMPType{ipv6.ICMPTypeEchoReply, ipv6.ICMPTypeDestinationUnreachable, ipv6.ICMPTypePacketTooBig, ipv6.ICMPTypeTimeExceeded} {
		filter.Accept(t)
	}
	if err := p.p.SetICMPFilter(&filter); err != nil {
		c.Close()
		return nil, fmt.Errorf("filter messages: %w", err)
	}
	if s, ok := c.(syscall.Conn); ok {
		p.df = whole(s) == nil
	}
	return p, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return c.c.Close() }

// SeesErrors tells whether errors of routers are seen.
func (c *Conn) SeesErrors() bool { return c.raw }

// Whole tells whether big packets are sent in one piece, whatever path MTU the
// system has learned before.
func (c *Conn) Whole() bool { return c.df }

// Ask sends the requests and returns what came back until every one has an answer,
// enough is true of one, or ctx ends. One that could not be sent is as one that is
// not answered; when none could, that is an error.
func (c *Conn) Ask(ctx context.Context, to netip.Addr, requests []Request, enough func(Answer) bool) ([]Answer, error) {
	ended := make(chan struct{}) // closed when the deadline is set
	stop := context.AfterFunc(ctx, func() {
		_ = c.c.SetReadDeadline(time.Unix(1, 0))
		close(ended)
	})
	defer func() {
		if !stop() {
			<-ended // or the deadline would end the next read
			_ = c.c.SetReadDeadline(time.Time{})
		}
	}()
	sent := make([]time.Time, len(requests))
	var last error
	failed, before := 0, c.asked
	for i, r := range requests {
		c.asked++
		if err := c.send(to, int(c.asked), r); err != nil {
			last = err
			failed++
			continue
		}
		sent[i] = time.Now()
	}
	if failed == len(requests) {
		return nil, fmt.Errorf("send echo requests to %s: %w", to, last)
	}
	var out []Answer
	buf := make([]byte, 65536)
	for waiting := len(requests) - failed; waiting > 0; {
		n, from, err := c.c.ReadFrom(buf)
		if err != nil {
			return out, nil // the time is over, or the socket gives no more: what came is what there is
		}
		seq, a, ok := c.read(buf[:n], to, address(from))
		i := int(uint16(seq) - before)
		if !ok || i < 1 || i > len(requests) || sent[i-1].IsZero() || slices.ContainsFunc(out, func(o Answer) bool { return o.Request == requests[i-1] }) {
			continue
		}
		a.Request, a.Took = requests[i-1], time.Since(sent[i-1])
		out = append(out, a)
		waiting--
		if enough != nil && enough(a) {
			break
		}
	}
	return out, nil
}

func (c *Conn) send(to netip.Addr, seq int, r Request) error {
	m := icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: c.id, Seq: seq, Data: make([]byte, max(0, r.Size-MinSize))}}
	b, err := m.Marshal(nil) // the kernel fills in the checksum
	if err != nil {
		return err
	}
	hops := r.Hops
	if hops == 0 {
		hops = -1
	}
	if err := c.p.SetHopLimit(hops); err != nil {
		return fmt.Errorf("set hop limit: %w", err)
	}
	var dst net.Addr = &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	if !c.raw {
		dst = &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	}
	_, err = c.c.WriteTo(b, dst)
	return err
}

// read takes a message apart and returns the number of the request it answers.
func (c *Conn) read(b []byte, to, from netip.Addr) (seq int, a Answer, ok bool) {
	if len(b) < 8 {
		return 0, a, false
	}
	a.From = from
	switch ipv6.ICMPType(b[0]) {
	case ipv6.ICMPTypeEchoReply:
		a.Kind = Reply
		// The system's socket has an identifier of its own.
		return int(binary.BigEndian.Uint16(b[6:])), a, from == to && (!c.raw || int(binary.BigEndian.Uint16(b[4:])) == c.id)
	case ipv6.ICMPTypeTimeExceeded:
		a.Kind = Exceeded
	case ipv6.ICMPTypeDestinationUnreachable:
		a.Kind = Unreachable
	case ipv6.ICMPTypePacketTooBig:
		a.Kind, a.MTU = TooBig, int(binary.BigEndian.Uint32(b[4:]))
	default:
		return 0, a, false
	}
	seq, ok = quoted(b[8:], to, c.id)
	return seq, a, ok
}

// quoted finds our request in the packet that an error quotes.
func quoted(p []byte, to netip.Addr, id int) (seq int, ok bool) {
	if len(p) < MinSize || p[0]>>4 != 6 || p[6] != 58 || p[40] != byte(ipv6.ICMPTypeEchoRequest) {
		return 0, false
	}
	dst, _ := netip.AddrFromSlice(p[24:40])
	return int(binary.BigEndian.Uint16(p[46:])), dst == to.WithZone("") && int(binary.BigEndian.Uint16(p[44:])) == id
}

func address(a net.Addr) netip.Addr {
	var ip net.IP
	switch a := a.(type) {
	case *net.IPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	}
	out, _ := netip.AddrFromSlice(ip)
	return out
}
