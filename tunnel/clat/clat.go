// Package clat is the user-space CLAT (RFC 6877): it moves packets between one
// packet port that carries both families and a tunnel/siit translator, and
// counts each verdict.
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

// bufSize holds the largest packet that a TUN gives, 65535 bytes of IP payload
// and header, with room to spare.
const bufSize = 65536 + 128

// CLAT is one running translator on one port.
type CLAT struct {
	log   logrus.FieldLogger
	port  Port
	tr    atomic.Pointer[siit.Translator]
	stats counters

	// Unreachable, if set before Run, is called when the network answered a packet
	// with ICMPv6 Destination Unreachable. It must not block.
	Unreachable func()
}

// New returns a CLAT that translates by tr. It starts nothing.
func New(log logrus.FieldLogger, port Port, tr *siit.Translator) *CLAT {
	c := &CLAT{log: log, port: port}
	c.tr.Store(tr)
	return c
}

// SetTranslator replaces the translator for all packets read from now on.
func (c *CLAT) SetTranslator(tr *siit.Translator) { c.tr.Store(tr) }

// Run translates until ctx ends or the port fails. It closes the port, and
// returns nil when ctx ended. It owns two goroutines: its own, which reads,
// translates and writes, and one that closes the port when ctx ends.
func (c *CLAT) Run(ctx context.Context) error {
	closed := make(chan struct{}) // by the second goroutine, when it is done
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = c.port.Close()
	})
	defer func() {
		if stop() {
			_ = c.port.Close()
			return
		}
		<-closed
	}()
	w := worker{clat: c, buf: make([]byte, bufSize), out: siit.NewBatch()}
	for {
		if err := w.one(); err != nil {
			if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("read packet: %w", err)
		}
	}
}

// worker is what one reading goroutine owns.
type worker struct {
	clat  *CLAT
	buf   []byte
	out   *siit.Batch
	limit siit.Limiter
	told  time.Time // when a lost packet was last logged
}

// one moves one packet. Only a failed read is an error: a packet that cannot be
// written is counted and lost, as on any link.
func (w *worker) one() error {
	h, n, err := w.clat.port.ReadPacket(w.buf)
	if err != nil {
		return err
	}
	w.out.Reset()
	dir, v := w.clat.tr.Load().Translate(w.out, h, w.buf[:n])
	w.clat.stats.add(dir, v, n)
	if dir == siit.Dir6to4 && v.Kind() == siit.Translated && w.clat.Unreachable != nil && isUnreachable(w.buf[:n]) {
		w.clat.Unreachable()
	}
	if v == siit.ZeroChecksum || v == siit.BadFragment {
		w.tell(time.Now(), v, w.buf[:n])
	}
	if v.Kind() == siit.Answered && !w.limit.Allow(time.Now(), v) {
		w.clat.stats.suppressed.Add(1)
		return nil
	}
	for _, p := range w.out.Packets() {
		if err := w.clat.port.WritePacket(p.Hdr, p.Head, p.Tail); err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			w.clat.stats.writeErrors.Add(1)
		}
	}
	return nil
}

// isUnreachable tells an ICMPv6 Destination Unreachable (type 1, RFC 4443 section
// 3.1) without extension headers, as routers send it.
func isUnreachable(pkt []byte) bool { return len(pkt) > 40 && pkt[6] == 58 && pkt[40] == 1 }

// tellEvery is how often a lost packet may be logged.
const tellEvery = time.Minute

// tell logs a packet that nobody else will report: what a sender did wrong, and
// cannot know since no error goes back (RFC 7915 sections 4.5 and 5.1.1).
func (w *worker) tell(now time.Time, v siit.Verdict, pkt []byte) {
	if !w.told.IsZero() && now.Sub(w.told) < tellEvery {
		return
	}
	w.told = now
	src, dst, ports := "", "", []byte(nil)
	if pkt[0]>>4 == 4 {
		src, dst, ports = netip.AddrFrom4([4]byte(pkt[12:])).String(), netip.AddrFrom4([4]byte(pkt[16:])).String(), pkt[int(pkt[0]&15)*4:]
	} else {
		src, dst, ports = netip.AddrFrom16([16]byte(pkt[8:])).String(), netip.AddrFrom16([16]byte(pkt[24:])).String(), pkt[40:]
	}
	log := w.clat.log.WithFields(logrus.Fields{"reason": v.String(), "source": src, "destination": dst})
	if v == siit.ZeroChecksum && len(ports) >= 4 && pkt[0]>>4 == 4 {
		log = log.WithFields(logrus.Fields{"source_port": binary.BigEndian.Uint16(ports), "destination_port": binary.BigEndian.Uint16(ports[2:])})
	}
	log.Warn("a packet cannot be translated; others like it are only counted for a minute")
}
