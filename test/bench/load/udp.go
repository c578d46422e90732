package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// Datagrams is a test of datagrams.
type Datagrams struct {
	Addr   string        `json:"addr"`
	Flows  int           `json:"flows"` // source ports, used in turn
	Size   int           `json:"size"`  // bytes of payload, at least 12
	Long   time.Duration `json:"long"`
	Rate   float64       `json:"rate"`   // datagrams a second, 0: as fast as it goes
	Batch  int           `json:"batch"`  // datagrams of one flow in a row and in one system call
	Return bool          `json:"return"` // the server sends them back
}

// DatagramsResult is what was sent; what arrived is for the receiver's kernel to
// tell, unless they come back.
type DatagramsResult struct {
	Sent   uint64   `json:"sent"`
	Back   uint64   `json:"back"` // came back
	Late   uint64   `json:"late"` // of these: after a later one of the same flow
	Errors []string `json:"errors"`
}

// maxDatagram is the largest payload in bytes.
const maxDatagram = 9000

// patience is how long to wait for the last ones to come back.
const patience = 500 * time.Millisecond

// Run sends. Each payload is a zero byte or echo, then the flow's number (3 bytes) and
// the datagram's within the flow (8 bytes), big endian. It owns a goroutine per flow
// that reads what comes back.
func (d Datagrams) Run(ctx context.Context) (r DatagramsResult) {
	conns := make([]*net.UDPConn, d.Flows)
	var back, late atomic.Uint64
	var all sync.WaitGroup
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.SetReadDeadline(time.Now().Add(patience))
			}
		}
		all.Wait()
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
		r.Back, r.Late = back.Load(), late.Load()
	}()
	for i := range conns {
		c, err := net.Dial("udp", d.Addr)
		if err != nil {
			r.Errors = append(r.Errors, fmt.Sprintf("flow %d: %v", i, err))
			return r
		}
		conns[i] = c.(*net.UDPConn)
		if d.Return {
			_ = conns[i].SetReadBuffer(1 << 20)
			all.Go(func() { watch(conns[i], &back, &late) })
		}
	}
	r.Sent, r.Errors = d.send(ctx, conns)
	return r
}

func (d Datagrams) send(ctx context.Context, conns []*net.UDPConn) (sent uint64, errs []string) {
	batch := make([]ipv4.Message, max(1, d.Batch))
	for i := range batch {
		batch[i].Buffers = [][]byte{make([]byte, max(12, d.Size))}
	}
	writers := make([]*ipv4.PacketConn, len(conns)) // of whichever family: only the batch is of use
	for i, c := range conns {
		writers[i] = ipv4.NewPacketConn(c)
	}
	next, refused := make([]uint64, len(conns)), 0
	begin := time.Now()
	for flow := 0; ctx.Err() == nil && time.Since(begin) < d.Long; flow = (flow + 1) % len(conns) {
		pause(begin, sent, d.Rate)
		for i := range batch {
			b := batch[i].Buffers[0]
			binary.BigEndian.PutUint32(b, uint32(flow))
			if d.Return {
				b[0] = byte(echo)
			}
			binary.BigEndian.PutUint64(b[4:], next[flow]+uint64(i))
		}
		n, err := writers[flow].WriteBatch(batch, 0)
		if err != nil {
			refused++ // no buffer space, or an ICMP error of the one before
			continue
		}
		sent += uint64(n)
		next[flow] += uint64(n)
	}
	if refused > 0 {
		errs = append(errs, fmt.Sprintf("%d writes were refused", refused))
	}
	return sent, errs
}

// watch counts what comes back to one flow, until its deadline.
func watch(c *net.UDPConn, back, late *atomic.Uint64) {
	buf, next := make([]byte, maxDatagram), uint64(0)
	for {
		n, err := c.Read(buf)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, net.ErrClosed):
			return
		case err != nil || n < 12:
			continue // an ICMP error, which the sender sees as well
		}
		back.Add(1)
		if seq := binary.BigEndian.Uint64(buf[4:]); seq < next {
			late.Add(1)
		} else {
			next = seq + 1
		}
	}
}
