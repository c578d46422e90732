package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// cable is a port whose host is the test itself, segment by segment.
type cable struct {
	in     chan []byte
	out    chan segmentOut
	closed chan struct{}
	once   sync.Once
}

type segmentOut struct {
	hdr vnethdr.Header
	tcp header.TCP
}

func (c *cable) ReadPacket(buf []byte) (vnethdr.Header, int, error) {
	select {
	case p := <-c.in:
		return vnethdr.Header{Flags: vnethdr.DataValid}, copy(buf, p), nil
	case <-c.closed:
		return vnethdr.Header{}, 0, net.ErrClosed
	}
}

func (c *cable) WritePacket(h vnethdr.Header, head, tail []byte) error {
	p, ok := parse4(append(bytes.Clone(head), tail...))
	if !ok || p.proto != tcp {
		return nil
	}
	select {
	case c.out <- segmentOut{h, header.TCP(p.body)}:
	case <-c.closed:
	}
	return nil
}

func (c *cable) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// send gives the relay a segment of the host's.
func (c *cable) send(from, to uint16, seq, ack uint32, flags header.TCPFlags, options []byte) {
	t := make(header.TCP, header.TCPMinimumSize+len(options))
	t.Encode(&header.TCPFields{SrcPort: from, DstPort: to, SeqNum: seq, AckNum: ack, DataOffset: uint8(len(t)), Flags: flags, WindowSize: 65535})
	copy(t[header.TCPMinimumSize:], options)
	b := append(make([]byte, ip4Len), t...)
	putIPv4(b, clat4, server, tcp, len(b), 1, 0)
	binary.BigEndian.PutUint16(b[ip4Len+16:], ^fold(sum(t, pseudo(clat4, server, tcp, len(t)))))
	c.in <- b
}

// next is the relay's next segment.
func (c *cable) next(t *testing.T) segmentOut {
	t.Helper()
	select {
	case s := <-c.out:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("no segment came")
		return segmentOut{}
	}
}

// wired starts a relay on a cable.
func wired(t *testing.T, d Dialer, limits Limits) (*cable, *Relay) {
	t.Helper()
	c := &cable{in: make(chan []byte), out: make(chan segmentOut, 100), closed: make(chan struct{})}
	r, err := New(c, d, Config{CLAT4: clat4, MTU: maxPacket, Offload: true, Limits: limits, Policy: Policy{Prefix: prefix, NonGlobal: nat64.NonGlobalAlways}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return c, r
}

// synOptions offer MSS 65495, SACK, and windows of 2^10 bytes.
var synOptions = []byte{2, 4, 0xff, 0xd7, 4, 2, 3, 3, 10, 1, 1, 1}

// plenty is a server all of whose bytes are there at once.
type plenty struct {
	net.Conn
	bytes.Reader
	closed chan struct{}
	once   sync.Once
}

func (p *plenty) Read(b []byte) (int, error) { return p.Reader.Read(b) }
func (p *plenty) ReadReady(f func(io.Reader) bool) error {
	if p.Len() > 0 && f(&p.Reader) {
		return nil
	}
	<-p.closed
	return net.ErrClosed
}
func (p *plenty) WriteReady(f func(io.Writer) bool) error { f(io.Discard); return nil }
func (p *plenty) SetDeadline(time.Time) error             { return nil }
func (p *plenty) Close() error                            { p.once.Do(func() { close(p.closed) }); return nil }

type plentyDialer struct{ conn *plenty }

func (d plentyDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	return d.conn, nil
}

// TestSegments: the stack offers what it is offered, and a server's bytes go to the
// host in packets as large as can be, not in a large one and a small one by turns.
func TestSegments(t *testing.T) {
	sent := random(500000)
	p := &plenty{closed: make(chan struct{})}
	p.Reset(sent)
	c, _ := wired(t, plentyDialer{p}, Limits{})
	c.send(1000, 9, 7, 0, header.TCPFlagSyn, synOptions)
	answer := c.next(t)
	if got := header.ParseSynOptions(answer.tcp.Options(), true); answer.tcp.Flags() != header.TCPFlagSyn|header.TCPFlagAck ||
		answer.tcp.AckNumber() != 8 || got.MSS != 65535-40 || 65535<<max(got.WS, 0) < 1<<20 || !got.SACKPermitted {
		t.Fatalf("answer to the SYN: %v, ack %d, %+v", answer.tcp.Flags(), answer.tcp.AckNumber(), got)
	}
	first := answer.tcp.SequenceNumber() + 1
	c.send(1000, 9, 8, first, header.TCPFlagAck, nil)
	var got []byte
	var sizes []int
	for len(got) < len(sent) {
		s := c.next(t)
		head := int(s.tcp.DataOffset())
		if s.hdr.Flags&vnethdr.NeedsCsum == 0 || int(s.hdr.HdrLen) != ip4Len+head {
			t.Fatalf("%+v: the headers have %d bytes", s.hdr, ip4Len+head)
		}
		if s.tcp.SequenceNumber() == first+uint32(len(got)) { // not sent again
			got = append(got, s.tcp.Payload()...)
			sizes = append(sizes, len(s.tcp)-head)
		}
		c.send(1000, 9, 8, first+uint32(len(got)), header.TCPFlagAck, nil)
	}
	if !bytes.Equal(got, sent) {
		t.Error("other bytes than were sent")
	}
	if len(sizes) > 8 { // 500000 bytes by 65000, and not twice as many
		t.Errorf("packets of %v bytes", sizes)
	}
}

// TestOpeningBoundIsSaid: servers that do not answer hold places, and a SYN that
// finds none is dropped and counted; it comes again.
func TestOpeningBoundIsSaid(t *testing.T) {
	silent := make(chan struct{})
	d := &loop{fail: func(string) error {
		<-silent
		return context.DeadlineExceeded
	}}
	c, r := wired(t, d, Limits{Opening: 2})
	defer close(silent)
	for i := range uint16(5) {
		c.send(1000+i, 9, 7, 0, header.TCPFlagSyn, synOptions)
	}
	eventually(t, not("three SYNs are dropped"), func() bool { return r.Stats()["4to6-dropped-opening-limit"] == 3 })
	select {
	case s := <-c.out:
		t.Errorf("the host was answered: %v", s.tcp.Flags())
	default:
	}
}
