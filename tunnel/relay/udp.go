package relay

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// How long a flow lives without a packet in either direction.
const (
	udpTimeout  = 5 * time.Minute  // RFC 4787 REQ-5(c)
	dnsTimeout  = 30 * time.Second // a well-known port's own, REQ-5(a): one question, one answer
	echoTimeout = time.Minute      // RFC 5508 REQ-1
)

const dnsPort = 53

// datagrams is a UDP or echo flow. One goroutine carries what comes from the
// server; the goroutine of Run sends what comes from the host.
type datagrams struct {
	relay   *Relay
	key     tuple
	conn    Stream
	timeout time.Duration
	last    atomic.Int64 // when the last packet passed, in nanoseconds of Unix time

	// Run's goroutine alone uses these.
	sending  []byte
	sendErr  error
	sendStep func(w io.Writer) bool

	// The flow's own goroutine alone uses these.
	head    [ip4Len + udpLen]byte
	recvErr error
	faults  int // in a row
}

// maxFaults is after how many errors in a row a flow is given up.
const maxFaults = 16

// maxDatagram is the longest payload of a datagram in bytes, in IPv6.
const maxDatagram = 65535

// received are buffers for datagrams, held only while one is carried.
var received = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// takeUDP carries a datagram, or those of a super-packet, to its server.
func (r *Relay) takeUDP(h vnethdr.Header, p *packet) {
	if len(p.body) < udpLen {
		r.stats.packet(droppedMalformed)
		return
	}
	length, each := int(binary.BigEndian.Uint16(p.body[4:])), maxDatagram
	switch h.GSOType &^ vnethdr.GSOECN {
	case vnethdr.GSONone:
		if length < udpLen || length > len(p.body) {
			r.stats.packet(droppedMalformed)
			return
		}
	case vnethdr.GSOUDPL4:
		length, each = len(p.body), int(h.GSOSize)
	default:
		each = 0
	}
	if each == 0 {
		r.stats.packet(droppedOffload)
		return
	}
	k := tuple{protoUDP, netip.AddrPortFrom(p.src, binary.BigEndian.Uint16(p.body)), netip.AddrPortFrom(p.dst, binary.BigEndian.Uint16(p.body[2:]))}
	payload := p.body[udpLen:length]
	for {
		n := min(each, len(payload))
		r.toServer(k, p, payload[:n])
		if payload = payload[n:]; len(payload) == 0 {
			return
		}
	}
}

// toServer sends one message of the flow k, which it makes if there is none.
func (r *Relay) toServer(k tuple, p *packet, message []byte) {
	for range 2 { // a flow may end just now
		d, full := r.flows.find(k)
		if d == nil {
			if d = r.begin(k, p, full); d == nil {
				return
			}
		}
		if err := d.send(message); !errors.Is(err, net.ErrClosed) {
			return
		}
		r.flows.drop(d)
	}
}

// begin makes a flow. It returns nil when there is to be none, and has said so.
func (r *Relay) begin(k tuple, p *packet, full bool) *datagrams {
	switch {
	case full:
		r.stats.packet(answeredFlowLimit)
		r.answerPacket(dummy, prohibited, p)
		return nil
	case !r.policy.Load().allows(p.dst):
		r.stats.packet(answeredNonGlobal)
		r.answerPacket(dummy, prohibited, p)
		return nil
	}
	d := &datagrams{relay: r, key: k, timeout: udpTimeout}
	conn, err := r.dialDatagrams(k)
	if err != nil {
		c := causeOf(err)
		r.stats.flow(k.proto, c.event)
		if c.answer != (icmpError{}) {
			r.answerPacket(dummy, c.answer, p)
		}
		return nil
	}
	if conn == nil {
		r.stats.packet(droppedEcho)
		return nil
	}
	switch {
	case k.proto == protoEcho:
		d.timeout = echoTimeout
	case k.dst.Port() == dnsPort:
		d.timeout = dnsTimeout
	}
	d.conn = streamOf(conn, maxDatagram)
	d.sendStep = func(w io.Writer) bool {
		_, d.sendErr = w.Write(d.sending)
		return true
	}
	d.touch()
	if !r.flows.put(d) {
		_ = conn.Close()
		return nil
	}
	r.stats.flow(k.proto, flowOpened)
	r.start(d.receive)
	return d
}

// dialDatagrams opens the socket of a flow; nil, nil where echo is not to be had.
func (r *Relay) dialDatagrams(k tuple) (net.Conn, error) {
	to := r.policy.Load().Prefix.Embed(k.dst.Addr())
	if k.proto == protoUDP {
		return r.dial.DialContext(r.ctx, "udp6", netip.AddrPortFrom(to, k.dst.Port()).String())
	}
	p, ok := r.dial.(Pinger)
	if !ok {
		return nil, nil
	}
	conn, err := p.DialEcho(r.ctx, to)
	if err != nil && causeOf(err).event == flowProhibited {
		return nil, nil
	}
	return conn, err
}

func (d *datagrams) touch() { d.last.Store(time.Now().UnixNano()) }

// send sends one message to the server. The error is net.ErrClosed when the flow
// has ended; others were handled.
func (d *datagrams) send(message []byte) error {
	d.sending, d.sendErr = message, nil
	err := d.conn.WriteReady(d.sendStep)
	if d.sending = nil; err == nil {
		err = d.sendErr
	}
	switch {
	case err == nil:
		d.touch()
		d.relay.stats.bytes4to6.Add(uint64(len(message)))
	case errors.Is(err, net.ErrClosed):
		return err
	case errors.Is(err, io.ErrShortWrite):
		d.relay.stats.packet(droppedQueue)
	default:
		d.fault(err)
	}
	return nil
}

// fault tells the host what an error of the socket says about the network, and
// whether the flow may go on.
func (d *datagrams) fault(err error) (goOn bool) {
	c := causeOf(err)
	if c.answer == (icmpError{}) {
		return false
	}
	r := d.relay
	r.stats.flow(d.key.proto, c.event)
	from, mtu := dummy, 0
	switch c.event {
	case flowRefused:
		from = d.key.dst.Addr()
	case flowTooBig:
		mtu = minMTU4
	case flowUnreachable:
		r.unreachable()
	}
	r.answer(from, c.answer, mtu, d.quote())
	return true
}

// minMTU4 is what fits into IPv6's least MTU, in bytes.
const minMTU4 = 1280 - 20

// receive carries what the server sends until nothing comes for the flow's time.
func (d *datagrams) receive() {
	defer d.relay.stats.flow(d.key.proto, flowEnded)
	defer d.conn.Close()
	defer d.relay.flows.drop(d)
	for {
		last := time.Unix(0, d.last.Load())
		_ = d.conn.SetReadDeadline(last.Add(d.timeout))
		err := d.conn.ReadReady(d.move)
		if err == nil {
			err = d.recvErr
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if d.last.Load() == last.UnixNano() {
				d.relay.stats.flow(d.key.proto, flowIdle)
				return
			}
		case errors.Is(err, net.ErrClosed):
			return
		default:
			if d.faults++; d.faults > maxFaults || !d.fault(err) {
				d.relay.stats.flow(d.key.proto, flowFailed)
				return
			}
		}
	}
}

// move gives the host what there is; see Stream.
func (d *datagrams) move(r io.Reader) (done bool) {
	buf := received.Get().(*[maxDatagram]byte)
	defer received.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if errors.Is(err, io.ErrNoProgress) {
			return false
		}
		if err != nil {
			d.recvErr = err
			return true
		}
		d.faults = 0
		d.touch()
		if d.key.proto == protoEcho {
			d.echoReply(buf[:n])
		} else if n <= 65535-ip4Len-udpLen {
			d.toHost(buf[:n])
		}
		d.relay.stats.bytes6to4.Add(uint64(n))
	}
}

// toHost gives the host a UDP datagram.
func (d *datagrams) toHost(payload []byte) {
	u, length, r := d.head[ip4Len:], udpLen+len(payload), d.relay
	binary.BigEndian.PutUint16(u, d.key.dst.Port())
	binary.BigEndian.PutUint16(u[2:], d.key.src.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(length))
	s := pseudo(d.key.src.Addr(), d.key.dst.Addr(), udp, length)
	var h vnethdr.Header
	if r.conf.Offload && ip4Len+length <= r.conf.MTU {
		h = vnethdr.Header{Flags: vnethdr.NeedsCsum, CsumStart: ip4Len, CsumOffset: 6}
		binary.BigEndian.PutUint16(u[6:], fold(s))
	} else {
		binary.BigEndian.PutUint16(u[6:], 0)
		check := ^fold(sum(payload, sum(u[:udpLen], s)))
		if check == 0 {
			check = 0xffff // 0 means none, RFC 768
		}
		binary.BigEndian.PutUint16(u[6:], check)
	}
	r.send(h, d.key.dst.Addr(), d.key.src.Addr(), udp, d.head[:], payload)
}

// quote is what an ICMP error quotes of a packet of the flow.
func (d *datagrams) quote() []byte {
	var b [8]byte
	if d.key.proto == protoEcho {
		b[0] = 8
		binary.BigEndian.PutUint16(b[4:], d.key.src.Port())
		return quoteOf(icmp4, d.key.src.Addr(), d.key.dst.Addr(), b)
	}
	binary.BigEndian.PutUint16(b[:], d.key.src.Port())
	binary.BigEndian.PutUint16(b[2:], d.key.dst.Port())
	binary.BigEndian.PutUint16(b[4:], udpLen)
	return quoteOf(udp, d.key.src.Addr(), d.key.dst.Addr(), b)
}

// abort implements flow.
func (d *datagrams) abort() { _ = d.conn.Close() }
