package vnet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Counters is what a Router has done so far.
type Counters struct {
	RS, RA           uint64            // router solicitations received, advertisements sent
	TCP, UDP         uint64            // flows that were dialled successfully
	TCPFailed        uint64            // flows whose IPv4 side could not be dialled
	Dropped          uint64            // flows over the limit
	Echo, EchoReply  uint64            // echo requests into the prefix, and their replies
	Flows            int               // TCP and UDP flows now
	ToServer, ToHost uint64            // bytes of TCP payload
	DNS              map[string]uint64 // queries by type, such as "AAAA"
}

// String is one line of name=value pairs in a fixed order.
func (c Counters) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rs=%d ra=%d tcp=%d tcp-failed=%d udp=%d echo=%d echo-reply=%d dropped=%d flows=%d to-server=%d to-host=%d",
		c.RS, c.RA, c.TCP, c.TCPFailed, c.UDP, c.Echo, c.EchoReply, c.Dropped, c.Flows, c.ToServer, c.ToHost)
	for _, t := range slices.Sorted(maps.Keys(c.DNS)) {
		fmt.Fprintf(&b, " dns-%s=%d", t, c.DNS[t])
	}
	return b.String()
}

// counts are the running counters.
type counts struct {
	rs, ra, tcp, tcpFailed, udp, dropped, echo, echoReply, toServer, toHost atomic.Uint64

	mu  sync.Mutex // guards dns
	dns map[string]uint64
}

// query counts a DNS query.
func (c *counts) query(qtype string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dns == nil {
		c.dns = make(map[string]uint64)
	}
	c.dns[qtype]++
}

// Counters returns a copy of the counters.
func (r *Router) Counters() Counters {
	c := &r.count
	c.mu.Lock()
	defer c.mu.Unlock()
	return Counters{RS: c.rs.Load(), RA: c.ra.Load(), TCP: c.tcp.Load(), TCPFailed: c.tcpFailed.Load(), UDP: c.udp.Load(),
		Dropped: c.dropped.Load(), Echo: c.echo.Load(), EchoReply: c.echoReply.Load(), Flows: len(r.slots),
		ToServer: c.toServer.Load(), ToHost: c.toHost.Load(), DNS: maps.Clone(c.dns)}
}
