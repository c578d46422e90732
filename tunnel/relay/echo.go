package relay

import (
	"encoding/binary"
	"net/netip"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Types of ICMPv6, RFC 4443 section 4.
const (
	echoRequest6 = 128
	echoReply6   = 129
)

// takeEcho carries an echo request to its server.
func (r *Relay) takeEcho(p *packet) {
	if !isEcho(p.body) {
		r.stats.packet(droppedICMPType)
		return
	}
	id := binary.BigEndian.Uint16(p.body[4:])
	k := tuple{protoEcho, netip.AddrPortFrom(p.src, id), netip.AddrPortFrom(p.dst, 0)}
	// The packet is ours: it becomes an ICMPv6 message where it is. Its checksum is
	// the socket's business.
	p.body[0] = echoRequest6
	r.toServer(k, p, p.body)
	p.body[0] = 8
}

// echoReply gives the host an answer.
func (d *datagrams) echoReply(message []byte) {
	if len(message) < 8 || message[0] != echoReply6 || message[1] != 0 || len(message) > 65535-ip4Len {
		return
	}
	u := d.head[ip4Len:]
	u[0], u[1], u[2], u[3] = 0, 0, 0, 0
	binary.BigEndian.PutUint16(u[4:], d.key.src.Port())
	copy(u[6:8], message[6:8])
	binary.BigEndian.PutUint16(u[2:], ^fold(sum(message[8:], sum(u[:8], 0))))
	d.relay.send(vnethdr.Header{}, d.key.dst.Addr(), d.key.src.Addr(), icmp4, d.head[:], message[8:])
}
