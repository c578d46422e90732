package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/ipv4"
)

// Datagrams is a test of datagrams.
type Datagrams struct {
	Addr  string        `json:"addr"`
	Flows int           `json:"flows"` // source ports, used in turn
	Size  int           `json:"size"`  // bytes of payload, at least 12
	Long  time.Duration `json:"long"`
	Rate  float64       `json:"rate"`  // datagrams a second, 0: as fast as it goes
	Batch int           `json:"batch"` // datagrams of one flow in a row and in one system call
}

// DatagramsResult is what was sent; what arrived is for the receiver's kernel to tell.
type DatagramsResult struct {
	Sent   uint64   `json:"sent"`
	Errors []string `json:"errors"`
}

// Run sends. Each payload is a zero byte, then the flow's number (3 bytes) and the
// datagram's within the flow (8 bytes), big endian.
func (d Datagrams) Run(ctx context.Context) DatagramsResult {
	var r DatagramsResult
	conns := make([]*ipv4.PacketConn, d.Flows)
	for i := range conns {
		c, err := net.Dial("udp", d.Addr)
		if err != nil {
			r.Errors = append(r.Errors, fmt.Sprintf("flow %d: %v", i, err))
			return r
		}
		defer c.Close()
		conns[i] = ipv4.NewPacketConn(c.(*net.UDPConn)) // of whichever family: only the batch is of use
	}
	batch := make([]ipv4.Message, max(1, d.Batch))
	for i := range batch {
		batch[i].Buffers = [][]byte{make([]byte, max(12, d.Size))}
	}
	next := make([]uint64, d.Flows)
	refused := uint64(0)
	for begin, flow := time.Now(), 0; ctx.Err() == nil; flow = (flow + 1) % d.Flows {
		passed := time.Since(begin)
		if passed >= d.Long {
			break
		}
		if d.Rate > 0 {
			if early := time.Duration(float64(r.Sent)/d.Rate*1e9) - passed; early > 0 {
				time.Sleep(early)
			}
		}
		for i := range batch {
			b := batch[i].Buffers[0]
			binary.BigEndian.PutUint32(b, uint32(flow))
			binary.BigEndian.PutUint64(b[4:], next[flow]+uint64(i))
		}
		n, err := conns[flow].WriteBatch(batch, 0)
		if err != nil {
			refused++ // no buffer space, or an ICMP error of the one before
			continue
		}
		r.Sent += uint64(n)
		next[flow] += uint64(n)
	}
	if refused > 0 {
		r.Errors = append(r.Errors, fmt.Sprintf("%d writes were refused", refused))
	}
	return r
}
