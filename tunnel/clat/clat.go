// Package clat is the user-space CLAT (RFC 6877): it moves packets between one
// packet port that carries both families and a tunnel/siit translator, and
// counts each verdict.
//
// A port may have several queues; each gets a worker, which reads what is there,
// translates it, joins segments of one flow into super-packets, and writes to the
// queue that it read from. A flow that keeps to one queue keeps its order.
//
// The port is a TUN device: what the host sends over IPv4 comes out of it and
// goes back as IPv6 on its way to the uplink; what is steered to it as IPv6
// goes back as IPv4. Steering, addresses and routes are others' work
// (tunnel/bpf, platform/netcfg). It opens nothing and decides nothing.
package clat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Port is a packet device. ReadPacket reads one packet into buf, whose offload
// state it returns, and gives net.ErrClosed after Close. WritePacket sends head
// followed by tail as one packet and keeps neither.
type Port interface {
	ReadPacket(buf []byte) (vnethdr.Header, int, error)
	WritePacket(h vnethdr.Header, head, tail []byte) error
	Close() error
}

// Queued is a Port that has several queues, or moves several packets at once.
type Queued interface {
	Queues() []Queue
}

// Queue is one of a port's queues. Attend is called by the goroutine that will make all
// the other calls, and ends after them; an error is worth telling, no more. ReadBatch waits for a packet and reads those
// behind it that are there already, into buf; it says where in the first n elements of
// into. WriteParts sends one packet, of at most maxParts parts. SegmentsUDP tells
// whether that may be a UDP super-packet.
type Queue interface {
	Attend() error
	ReadBatch(buf []byte, into []vnethdr.Packet) (n int, err error)
	WriteParts(h vnethdr.Header, parts [][]byte) error
	SegmentsUDP() bool
}

const (
	// maxPacket is room for the largest packet that a TUN gives, 65535 bytes of IP
	// payload and header, with room to spare.
	maxPacket = 65536 + 128
	// maxBatch is how many packets are read before the first is written, and batchSize
	// how many bytes they have: enough to find neighbours of one flow among those of
	// many others, and not more than stays in a processor's cache.
	maxBatch  = 128
	batchSize = 4 * maxPacket
	maxParts  = 66
)

// CLAT is one running translator on one port.
type CLAT struct {
	log     logrus.FieldLogger
	port    Port
	tr      atomic.Pointer[siit.Translator]
	workers []*worker

	mu    sync.Mutex // guards what follows: rare, and shared by all workers
	limit siit.Limiter
	told  time.Time // when a lost packet was last logged

	// Unreachable, if set before Run, is called when the network answered a packet
	// with ICMPv6 Destination Unreachable. It must not block, and is called by
	// several goroutines.
	Unreachable func()
}

// New returns a CLAT that translates by tr. It starts nothing.
func New(log logrus.FieldLogger, port Port, tr *siit.Translator) *CLAT {
	c := &CLAT{log: log, port: port}
	c.tr.Store(tr)
	queues := []Queue{single{port}}
	if q, ok := port.(Queued); ok {
		queues = q.Queues()
	}
	for _, q := range queues {
		c.workers = append(c.workers, newWorker(c, q))
	}
	return c
}

// SetTranslator replaces the translator for all packets read from now on.
func (c *CLAT) SetTranslator(tr *siit.Translator) { c.tr.Store(tr) }

// Run translates until ctx ends or the port fails. It closes the port, and
// returns nil when ctx ended. It owns a goroutine per queue, which reads,
// translates and writes, and one that closes the port when ctx ends or one of
// them fails.
func (c *CLAT) Run(ctx context.Context) error {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	closed := make(chan struct{}) // by the goroutine that closes, when it is done
	context.AfterFunc(running, func() {
		defer close(closed)
		_ = c.port.Close()
	})
	errs := make([]error, len(c.workers))
	var all sync.WaitGroup
	for i, w := range c.workers {
		all.Go(func() {
			defer cancel()
			if err := w.queue.Attend(); err != nil && i == 0 {
				c.log.WithError(err).Info("the CLAT carries packets at a common priority")
			}
			for errs[i] == nil {
				errs[i] = w.batch()
			}
			if running.Err() != nil && errors.Is(errs[i], net.ErrClosed) {
				errs[i] = nil // it was the port's end, not the cause of it
			}
		})
	}
	all.Wait()
	<-closed
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return fmt.Errorf("read packet: %w", errs[i])
	}
	return nil
}

// worker is what the goroutine of one queue owns. Others read its counters.
type worker struct {
	clat  *CLAT
	queue Queue
	buf   []byte
	in    []vnethdr.Packet
	out   *siit.Batch
	send  sendList
	stats counters
}

func newWorker(c *CLAT, q Queue) *worker {
	return &worker{clat: c, queue: q, buf: make([]byte, batchSize), in: make([]vnethdr.Packet, maxBatch), out: siit.NewBatch(),
		send: sendList{udp: q.SegmentsUDP()}}
}

// batch moves what waits in the queue. Only a failed read is an error: a packet
// that cannot be written is counted and lost, as on any link.
func (w *worker) batch() error {
	n, err := w.queue.ReadBatch(w.buf, w.in)
	if err != nil {
		return err
	}
	w.out.Reset()
	w.send.reset()
	tr := w.clat.tr.Load()
	for _, p := range w.in[:n] {
		w.translate(tr, p.Hdr, p.Data)
	}
	for i := range w.send.packets {
		h, parts := w.send.packet(i)
		if err := w.queue.WriteParts(h, parts); err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			w.stats.writeErrors.Add(1)
		}
	}
	return nil
}

// translate puts what becomes of one packet into the list of those to send.
func (w *worker) translate(tr *siit.Translator, h vnethdr.Header, pkt []byte) {
	c, before := w.clat, len(w.out.Packets())
	dir, v := tr.Translate(w.out, h, pkt)
	w.stats.add(dir, v, len(pkt))
	if dir == siit.Dir6to4 && v.Kind() == siit.Translated && c.Unreachable != nil && isUnreachable(pkt) {
		c.Unreachable()
	}
	if v == siit.ZeroChecksum || v == siit.BadFragment {
		c.tell(time.Now(), v, pkt)
	}
	if v.Kind() == siit.Answered && !c.allow(time.Now(), v) {
		w.stats.suppressed.Add(1)
		return
	}
	for _, p := range w.out.Packets()[before:] {
		w.send.add(p)
	}
}

// allow is the limit of answers, of all workers together.
func (c *CLAT) allow(now time.Time, v siit.Verdict) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit.Allow(now, v)
}

// isUnreachable tells an ICMPv6 Destination Unreachable (type 1, RFC 4443 section
// 3.1) without extension headers, as routers send it.
func isUnreachable(pkt []byte) bool { return len(pkt) > 40 && pkt[6] == 58 && pkt[40] == 1 }

// tellEvery is how often a lost packet may be logged.
const tellEvery = time.Minute

// tell logs a packet that nobody else will report: what a sender did wrong, and
// cannot know since no error goes back (RFC 7915 sections 4.5 and 5.1.1).
func (c *CLAT) tell(now time.Time, v siit.Verdict, pkt []byte) {
	c.mu.Lock()
	again := !c.told.IsZero() && now.Sub(c.told) < tellEvery
	if !again {
		c.told = now
	}
	c.mu.Unlock()
	if again {
		return
	}
	src, dst, ports := "", "", []byte(nil)
	if pkt[0]>>4 == 4 {
		src, dst, ports = netip.AddrFrom4([4]byte(pkt[12:])).String(), netip.AddrFrom4([4]byte(pkt[16:])).String(), pkt[int(pkt[0]&15)*4:]
	} else {
		src, dst, ports = netip.AddrFrom16([16]byte(pkt[8:])).String(), netip.AddrFrom16([16]byte(pkt[24:])).String(), pkt[40:]
	}
	log := c.log.WithFields(logrus.Fields{"reason": v.String(), "source": src, "destination": dst})
	if v == siit.ZeroChecksum && len(ports) >= 4 && pkt[0]>>4 == 4 {
		log = log.WithFields(logrus.Fields{"source_port": binary.BigEndian.Uint16(ports), "destination_port": binary.BigEndian.Uint16(ports[2:])})
	}
	log.Warn("a packet cannot be translated; others like it are only counted for a minute")
}

// single is the queue of a port that has but one and moves packets one by one.
type single struct{ Port }

func (s single) ReadBatch(buf []byte, into []vnethdr.Packet) (int, error) {
	h, n, err := s.ReadPacket(buf)
	if err != nil {
		return 0, err
	}
	into[0] = vnethdr.Packet{Hdr: h, Data: buf[:n]}
	return 1, nil
}

func (single) Attend() error { return nil }

// WriteParts gets no more than two, since there was nothing to join.
func (s single) WriteParts(h vnethdr.Header, parts [][]byte) error {
	return s.WritePacket(h, parts[0], parts[1])
}

func (single) SegmentsUDP() bool { return false }
