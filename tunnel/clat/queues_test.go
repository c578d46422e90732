package clat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// queuesPort is a port with queues.
type queuesPort struct {
	fakePort
	queues []*fakeQueue
}

func (p *queuesPort) Queues() []Queue {
	var list []Queue
	for _, q := range p.queues {
		list = append(list, q)
	}
	return list
}

// fakeQueue gives one batch after the other, then fails or waits until the port is
// closed.
type fakeQueue struct {
	port    *queuesPort
	batches [][]vnethdr.Packet
	fail    error
	refuse  error // of writes
	attend  error
	hdrs    []vnethdr.Header
	out     [][]byte
}

func (q *fakeQueue) ReadBatch(buf []byte, into []vnethdr.Packet) (int, error) {
	if len(q.batches) == 0 {
		if q.fail != nil {
			return 0, q.fail
		}
		<-q.port.closed
		return 0, net.ErrClosed
	}
	batch, n := q.batches[0], 0
	q.batches = q.batches[1:]
	for i, p := range batch {
		k := copy(buf[n:], p.Data)
		into[i] = vnethdr.Packet{Hdr: p.Hdr, Data: buf[n : n+k]}
		n += k
	}
	return len(batch), nil
}

func (q *fakeQueue) WriteParts(h vnethdr.Header, parts [][]byte) error {
	if q.refuse != nil {
		return q.refuse
	}
	q.hdrs, q.out = append(q.hdrs, h), append(q.out, bytes.Join(parts, nil))
	return nil
}

func (q *fakeQueue) SegmentsUDP() bool { return true }
func (q *fakeQueue) Attend() error     { return q.attend }

func withQueues(batches ...[][]vnethdr.Packet) *queuesPort {
	p := &queuesPort{fakePort: fakePort{closed: make(chan struct{})}}
	for _, b := range batches {
		p.queues = append(p.queues, &fakeQueue{port: p, batches: b})
	}
	return p
}

// many is n times the packet, as the kernel gives datagrams of a local sender: the
// checksum is still to be done.
func many(n int, pkt []byte) []vnethdr.Packet {
	pkt = bytes.Clone(pkt)
	copy(pkt[26:28], unhex("0201")) // the sum of the pseudo-header
	var list []vnethdr.Packet
	for range n {
		list = append(list, vnethdr.Packet{Hdr: vnethdr.Header{Flags: vnethdr.NeedsCsum, CsumStart: 20, CsumOffset: 6}, Data: pkt})
	}
	return list
}

func TestEachQueueHasAWorkerAndCountersAreSummed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := withQueues([][]vnethdr.Packet{many(3, udp4)}, [][]vnethdr.Packet{{{Data: ping}}, many(1, udp4), {{Data: []byte{0}}}})
		p.queues[1].refuse = errors.New("no buffer space")
		c := newCLAT(t, p)
		if err := start(t, c)(); err != nil {
			t.Errorf("Run = %v", err)
		}
		want := map[string]uint64{"4to6-translated": 4, "4to6-bytes": 128, "6to4-translated": 1, "6to4-bytes": 52, "none-dropped-not-ip": 1, "write-errors": 2}
		if d := cmp.Diff(want, c.Stats()); d != "" {
			t.Error(d)
		}
		q := p.queues[0]
		if len(q.out) != 1 || len(q.out[0]) != 48+3*4 || q.hdrs[0].GSOType != vnethdr.GSOUDPL4 || q.hdrs[0].GSOSize != 4 {
			t.Errorf("queue 0: written %x with %+v, want three datagrams in one packet", q.out, q.hdrs)
		}
		if len(p.queues[1].out) != 0 {
			t.Errorf("queue 1: written %x, want nothing: it refuses", p.queues[1].out)
		}
	})
}

func TestAnswersOfAllQueuesAreLimitedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batch []vnethdr.Packet
		for range 8 {
			batch = append(batch, vnethdr.Packet{Data: ttl1})
		}
		p := withQueues([][]vnethdr.Packet{batch}, [][]vnethdr.Packet{batch})
		c := newCLAT(t, p)
		stop := start(t, c)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if n := len(p.queues[0].out) + len(p.queues[1].out); n != 10 || c.Stats()["errors-suppressed"] != 6 {
			t.Errorf("%d answers, counters %v, want 10 and 6 suppressed", n, c.Stats())
		}
	})
}

// TestCommonPriorityIsTold: once, and the packets go on.
func TestCommonPriorityIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := withQueues([][]vnethdr.Packet{many(1, udp4)}, [][]vnethdr.Packet{many(1, udp4)})
		for _, q := range p.queues {
			q.attend = errors.New("not permitted")
		}
		c := newCLAT(t, p)
		log, hook := logtest.NewNullLogger()
		c.log = log
		stop := start(t, c)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if e := hook.LastEntry(); len(hook.AllEntries()) != 1 || e.Level != logrus.InfoLevel || e.Data[logrus.ErrorKey] != p.queues[0].attend {
			t.Errorf("entries %v, want one that tells why", hook.AllEntries())
		}
		if n := c.Stats()["4to6-translated"]; n != 2 {
			t.Errorf("%d packets translated, want 2", n)
		}
	})
}

func TestOneFailedQueueEndsAll(t *testing.T) {
	p := withQueues(nil, nil, nil)
	p.queues[1].fail = errors.New("device is gone")
	if err := newCLAT(t, p).Run(context.Background()); !errors.Is(err, p.queues[1].fail) {
		t.Errorf("Run = %v, want the queue's error", err)
	}
}

func TestOneBatchAllocatesNothing(t *testing.T) {
	p := withQueues(nil)
	c := newCLAT(t, p)
	w, batch := c.workers[0], append(many(60, udp4), vnethdr.Packet{Data: ping}, vnethdr.Packet{Data: ttl1})
	w.queue = quietQueue{batch}
	if n := testing.AllocsPerRun(100, func() { _ = w.batch() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if c.Stats()["4to6-translated"] == 0 {
		t.Error("nothing was translated")
	}
}

// quietQueue always gives the same batch.
type quietQueue struct{ batch []vnethdr.Packet }

func (q quietQueue) ReadBatch(_ []byte, into []vnethdr.Packet) (int, error) {
	return copy(into, q.batch), nil
}
func (quietQueue) WriteParts(vnethdr.Header, [][]byte) error { return nil }
func (quietQueue) SegmentsUDP() bool                         { return true }
func (quietQueue) Attend() error                             { return nil }

// BenchmarkBatch moves 64 datagrams of one flow.
func BenchmarkBatch(b *testing.B) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	w := newWorker(New(log, newPort(), translator(b)), quietQueue{many(64, udp4)})
	b.ReportAllocs()
	for b.Loop() {
		_ = w.batch()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/packet")
}
