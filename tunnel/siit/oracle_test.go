package siit

import (
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/reach64/reach64/resolver/nat64"
)

// The oracle is a second translation of TCP, UDP and echo, written plainly on
// gopacket, which computes every length and checksum from scratch. It shares no
// code with the package.

// oracleTo6 returns the IPv6 packet for an IPv4 one, without any check.
func oracleTo6(t testing.TB, c Config, pkt []byte) []byte {
	in := gopacket.NewPacket(pkt, layers.LayerTypeIPv4, gopacket.Default)
	ip4, ok := in.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok {
		t.Fatalf("not IPv4: %v", in)
	}
	ip6 := &layers.IPv6{Version: 6, TrafficClass: ip4.TOS, HopLimit: ip4.TTL - 1, NextHeader: ip4.Protocol,
		SrcIP: c.CLAT6.AsSlice(), DstIP: embed(c.Prefix, ip4.DstIP)}
	// gopacket looks into tunnels, so that only the IP header says what follows it.
	if ip4.Protocol == layers.IPProtocolICMPv4 {
		echo := in.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		ip6.NextHeader = layers.IPProtocolICMPv6
		typ := uint8(layers.ICMPv6TypeEchoRequest)
		if echo.TypeCode.Type() == layers.ICMPv4TypeEchoReply {
			typ = layers.ICMPv6TypeEchoReply
		}
		six := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
		return serialize(t, ip6, six, &layers.ICMPv6Echo{Identifier: echo.Id, SeqNumber: echo.Seq}, gopacket.Payload(echo.Payload))
	}
	return serialize(t, append([]gopacket.SerializableLayer{ip6}, transport(in, ip4.Protocol)...)...)
}

// oracleTo4 returns the IPv4 packet for an IPv6 one, with Identification 0.
func oracleTo4(t testing.TB, c Config, pkt []byte) []byte {
	in := gopacket.NewPacket(pkt, layers.LayerTypeIPv6, gopacket.Default)
	ip6, ok := in.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	if !ok {
		t.Fatalf("not IPv6: %v", in)
	}
	ip4 := &layers.IPv4{Version: 4, IHL: 5, TOS: ip6.TrafficClass, TTL: ip6.HopLimit - 1, Protocol: ip6.NextHeader,
		SrcIP: embedded(c.Prefix, ip6.SrcIP), DstIP: c.CLAT4.AsSlice()}
	if len(pkt)-20 > 1260 {
		ip4.Flags = layers.IPv4DontFragment
	}
	if ip6.NextHeader == layers.IPProtocolICMPv6 {
		icmp := in.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		ip4.Protocol = layers.IPProtocolICMPv4
		typ := uint8(layers.ICMPv4TypeEchoRequest)
		if icmp.TypeCode.Type() == layers.ICMPv6TypeEchoReply {
			typ = layers.ICMPv4TypeEchoReply
		}
		echo := in.Layer(layers.LayerTypeICMPv6Echo).(*layers.ICMPv6Echo)
		return serialize(t, ip4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, 0), Id: echo.Identifier, Seq: echo.SeqNumber},
			gopacket.Payload(echo.Payload))
	}
	return serialize(t, append([]gopacket.SerializableLayer{ip4}, transport(in, ip6.NextHeader)...)...)
}

// transport copies the TCP or UDP layer with its payload.
func transport(in gopacket.Packet, proto layers.IPProtocol) []gopacket.SerializableLayer {
	if proto == layers.IPProtocolTCP {
		tcp := in.Layer(layers.LayerTypeTCP).(*layers.TCP)
		_ = tcp.SetNetworkLayerForChecksum(in.NetworkLayer())
		return []gopacket.SerializableLayer{tcp, gopacket.Payload(tcp.Payload)}
	}
	udp := in.Layer(layers.LayerTypeUDP).(*layers.UDP)
	return []gopacket.SerializableLayer{udp, gopacket.Payload(udp.Payload)}
}

// serialize writes layers, all lengths and checksums computed. The first is IP.
func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	ip := ls[0].(gopacket.NetworkLayer)
	for _, l := range ls[1:] {
		switch l := l.(type) {
		case *layers.TCP:
			_ = l.SetNetworkLayerForChecksum(ip)
		case *layers.UDP:
			_ = l.SetNetworkLayerForChecksum(ip)
		case *layers.ICMPv6:
			_ = l.SetNetworkLayerForChecksum(ip)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// embed puts an IPv4 address behind the prefix, in as many bytes as it takes but
// for byte 8 (RFC 6052 section 2.2).
func embed(p nat64.Prefix, v4 net.IP) net.IP {
	a := p.Netip().Addr().AsSlice()
	for i, b := range v4.To4() {
		a[place(p, i)] = b
	}
	return a
}

// embedded is the IPv4 address behind the prefix.
func embedded(p nat64.Prefix, v6 net.IP) (v4 net.IP) {
	for i := range 4 {
		v4 = append(v4, v6[place(p, i)])
	}
	return v4
}

func place(p nat64.Prefix, i int) int {
	if at := p.Bits()/8 + i; at < 8 || p.Bits() == 96 {
		return at
	}
	return p.Bits()/8 + i + 1
}

// sample makes a valid packet of one kind towards 192.0.2.33.
func sample(t testing.TB, c Config, kind string, tos, ttl uint8, ports uint32, payload []byte) []byte {
	ip := &layers.IPv4{Version: 4, IHL: 5, TOS: tos, TTL: ttl, Flags: layers.IPv4DontFragment, Id: 7,
		SrcIP: c.CLAT4.AsSlice(), DstIP: netip.MustParseAddr("192.0.2.33").AsSlice()}
	src, dst := uint16(ports>>16), uint16(ports)
	switch kind {
	case "tcp":
		ip.Protocol = layers.IPProtocolTCP
		return serialize(t, ip, &layers.TCP{SrcPort: layers.TCPPort(src), DstPort: layers.TCPPort(dst), Seq: ports, ACK: true, PSH: true, Window: dst}, gopacket.Payload(payload))
	case "udp":
		ip.Protocol = layers.IPProtocolUDP
		return serialize(t, ip, &layers.UDP{SrcPort: layers.UDPPort(src), DstPort: layers.UDPPort(dst)}, gopacket.Payload(payload))
	}
	ip.Protocol = layers.IPProtocolICMPv4
	return serialize(t, ip, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: src, Seq: dst}, gopacket.Payload(payload))
}

// back makes the answer to an IPv6 packet: addresses, and echo, turned round.
func back(t testing.TB, pkt []byte) []byte {
	in := gopacket.NewPacket(pkt, layers.LayerTypeIPv6, gopacket.Default)
	ip := in.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	out := &layers.IPv6{Version: 6, TrafficClass: ip.TrafficClass, HopLimit: 55, NextHeader: ip.NextHeader, SrcIP: ip.DstIP, DstIP: ip.SrcIP}
	if ip.NextHeader == layers.IPProtocolICMPv6 {
		echo := in.Layer(layers.LayerTypeICMPv6Echo).(*layers.ICMPv6Echo)
		return serialize(t, out, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoReply, 0)},
			&layers.ICMPv6Echo{Identifier: echo.Identifier, SeqNumber: echo.SeqNumber}, gopacket.Payload(echo.Payload))
	}
	return serialize(t, append([]gopacket.SerializableLayer{out}, transport(in, ip.NextHeader)...)...)
}
