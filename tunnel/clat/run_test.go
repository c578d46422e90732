package clat

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// offloadPort is a port with offload state: it gives what feed sends and keeps
// what is written with its header.
type offloadPort struct {
	feed   chan frame
	closed chan struct{}
	slow   time.Duration // how long Close takes after it has woken the reader
	closes atomic.Int32  // calls of Close that have returned
	out    []frame       // written by the worker, read when it rests
}

type frame struct {
	h vnethdr.Header
	p []byte
}

func newOffloadPort() *offloadPort {
	return &offloadPort{feed: make(chan frame), closed: make(chan struct{})}
}

func (p *offloadPort) ReadPacket(buf []byte) (vnethdr.Header, int, error) {
	select {
	case f := <-p.feed:
		return f.h, copy(buf, f.p), nil
	case <-p.closed:
		return vnethdr.Header{}, 0, net.ErrClosed
	}
}

func (p *offloadPort) WritePacket(h vnethdr.Header, head, tail []byte) error {
	p.out = append(p.out, frame{h, append(bytes.Clone(head), tail...)})
	return nil
}

func (p *offloadPort) Close() error {
	close(p.closed) // panics when the port is closed twice
	time.Sleep(p.slow)
	p.closes.Add(1)
	return nil
}

// start runs c and returns what ends it and waits.
func start(t *testing.T, c *CLAT) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func TestRunEndsAfterThePortIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newOffloadPort()
		p.slow = time.Second
		if err := start(t, newCLAT(t, p))(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if n := p.closes.Load(); n != 1 {
			t.Errorf("Run returned when Close had ended %d times, want once", n)
		}
	})
}

func TestRunWithAnEndedContext(t *testing.T) {
	p := newOffloadPort()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newCLAT(t, p).Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
	if n := p.closes.Load(); n != 1 {
		t.Errorf("the port was closed %d times, want once", n)
	}
}

func TestErrorOfTheDeviceIsToldThoughTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := newPort()
	p.fail = errors.New("device is gone")
	if err := newCLAT(t, p).Run(ctx); !errors.Is(err, p.fail) {
		t.Errorf("Run = %v, want the port's error", err)
	}
}

func TestOffloadStateGoesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newOffloadPort()
		stop := start(t, newCLAT(t, p))
		// SIIT-91a of the spec, and a packet without offload after it.
		super := make([]byte, 4336)
		copy(super, unhex("450010f0 12344000 400695b1 c0000001 c0000221 c00001bb 00000001 00000001 8010ffff 93050000"))
		in := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOTCPv4, HdrLen: 52, GSOSize: 1428, CsumStart: 20, CsumOffset: 16}
		p.feed <- frame{in, super}
		p.feed <- frame{vnethdr.Header{}, udp4}
		synctest.Wait()
		want := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOTCPv6, HdrLen: 72, GSOSize: 1428, CsumStart: 40, CsumOffset: 16}
		if len(p.out) != 2 || p.out[0].h != want || len(p.out[0].p) != 4356 || p.out[1].h != (vnethdr.Header{}) || !bytes.Equal(p.out[1].p, udp6) {
			t.Errorf("%d packets came out: %+v", len(p.out), p.out)
		}
		if err := stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestAnswersAreAllowedAgainWithTime(t *testing.T) { // SIIT-68
	synctest.Test(t, func(t *testing.T) {
		p := newOffloadPort()
		c := newCLAT(t, p)
		stop := start(t, c)
		for range 15 {
			p.feed <- frame{p: ttl1}
		}
		time.Sleep(300 * time.Millisecond)
		for range 5 {
			p.feed <- frame{p: ttl1}
		}
		p.feed <- frame{p: udp4} // what is translated has no limit
		synctest.Wait()
		want := map[string]uint64{"4to6-answered-ttl-expired": 20, "errors-suppressed": 7, "4to6-translated": 1, "4to6-bytes": 32}
		if d := cmp.Diff(want, c.Stats()); d != "" || len(p.out) != 14 {
			t.Errorf("%d packets out, counters %s", len(p.out), d)
		}
		if err := stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestTranslatorIsReplacedBetweenPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newOffloadPort()
		c := newCLAT(t, p)
		stop := start(t, c)
		p.feed <- frame{p: udp4}
		synctest.Wait()
		tr, err := siit.New(siit.Config{Prefix: nat64.MustParse("2001:db8:64::/96"), CLAT4: netip.MustParseAddr("192.0.0.1"),
			CLAT6: netip.MustParseAddr("2001:db8:1:2:c1a7:0:0:1"), MTU4: 1480, MTU6: 1500})
		if err != nil {
			t.Fatal(err)
		}
		c.SetTranslator(tr)
		p.feed <- frame{p: udp4}
		synctest.Wait()
		for i, prefix := range []string{"0064ff9b 00000000 00000000", "20010db8 00640000 00000000"} {
			if len(p.out) != 2 || !bytes.Equal(p.out[i].p[24:36], unhex(prefix)) {
				t.Fatalf("packet %d of %d does not go to %s", i, len(p.out), prefix)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// Stats may be read while packets go through.
func TestCountersAreReadWhileItRuns(t *testing.T) {
	p := newOffloadPort()
	c := newCLAT(t, p)
	stop := start(t, c)
	for i := range 1000 {
		p.feed <- frame{p: udp4}
		if n := c.Stats()["4to6-translated"]; n < uint64(max(0, i-1)) || n > uint64(i+1) {
			t.Fatalf("%d packets counted after %d", n, i+1)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if n := c.Stats()["4to6-bytes"]; n != 32000 {
		t.Errorf("%d bytes counted, want 32000", n)
	}
}

func TestOnePacketAllocatesNothing(t *testing.T) {
	p := quietPort{udp4}
	w := newCLAT(t, p).workers[0]
	if n := testing.AllocsPerRun(100, func() { _ = w.batch() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if w.clat.Stats()["4to6-translated"] == 0 {
		t.Error("nothing was translated")
	}
}

// quietPort always gives the same packet.
type quietPort struct{ p []byte }

func (q quietPort) ReadPacket(buf []byte) (vnethdr.Header, int, error) {
	return vnethdr.Header{}, copy(buf, q.p), nil
}
func (quietPort) WritePacket(vnethdr.Header, []byte, []byte) error { return nil }
func (quietPort) Close() error                                     { return nil }

// A packet whose loss nobody else reports is logged, but not each.
func TestLostPacketsAreToldOnceAMinute(t *testing.T) { // SIIT-31, 7915-32
	synctest.Test(t, func(t *testing.T) {
		p := newOffloadPort()
		c := newCLAT(t, p)
		log, hook := logtest.NewNullLogger()
		c.log = log
		stop := start(t, c)
		first := unhex("45000024 12342000 4011c672 c0000001 c0000221 13880035 00100000 68693634 68693634 00000000")
		put := func(b []byte) {
			clear(b[10:12])
			sum := 0
			for i := 0; i < 20; i += 2 {
				sum += int(b[i])<<8 | int(b[i+1])
			}
			for sum > 0xffff {
				sum = sum>>16 + sum&0xffff
			}
			b[10], b[11] = byte(^sum>>8), byte(^sum)
			b[3] = 36
			p.feed <- frame{p: b}
			synctest.Wait()
		}
		put(first)
		put(first)
		if n := len(hook.AllEntries()); n != 1 || c.Stats()["4to6-dropped-zero-checksum"] != 2 {
			t.Errorf("%d entries, counters %v", n, c.Stats())
		}
		e := hook.LastEntry()
		if e == nil || e.Data["reason"] != "dropped-zero-checksum" || e.Data["source"] != "192.0.0.1" || e.Data["destination"] != "192.0.2.33" || e.Data["destination_port"] != uint16(53) {
			t.Errorf("entry %+v", e)
		}
		time.Sleep(tellEvery)
		put(first)
		if n := len(hook.AllEntries()); n != 2 {
			t.Errorf("%d entries after a minute, want 2", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
