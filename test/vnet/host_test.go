package vnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// The CLAT's addresses in the tests.
var (
	clat4 = netip.MustParseAddr("192.0.0.1")
	clat6 = netip.MustParseAddr("2001:db8:1::c1a7")
)

// addrState returns the state of an address of the uplink.
func addrState(s netstate.Snapshot, ip netip.Addr) (netstate.Addr, bool) {
	l, _ := s.Link(Uplink)
	i := slices.IndexFunc(l.Addrs, func(a netstate.Addr) bool { return a.Prefix.Addr() == ip })
	if i < 0 {
		return netstate.Addr{}, false
	}
	return l.Addrs[i], true
}

// tunnel opens a TUN with the CLAT's addresses, a default IPv4 route to it and
// packets steered to it: what reach64 sets up.
func (w *world) tunnel() *TUN {
	w.Helper()
	w.online()
	d, err := w.host.OpenTUN("clat0", 1480)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { d.Close() })
	if err := w.host.AddAddr(Uplink, netip.PrefixFrom(clat6, 128), true); err != nil {
		w.Fatal(err)
	}
	if err := w.host.AddAddr(d.Index(), netip.PrefixFrom(clat4, 32), false); err != nil {
		w.Fatal(err)
	}
	if err := w.host.AddRoute(netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: d.Index(), Metric: 2048}); err != nil {
		w.Fatal(err)
	}
	w.until("the CLAT address is usable", func(s netstate.Snapshot) bool {
		a, ok := addrState(s, clat6)
		return ok && !a.Tentative
	})
	s, err := w.host.Steer(d.Index(), Uplink, clat6, []nat64.Prefix{nat64.WellKnown()})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { s.Close() })
	return d
}

// translate is a CLAT for UDP and TCP packets without options and fragments, by
// gopacket: just enough to see packets go the whole way.
func translate(pkt []byte) ([]byte, error) {
	first, want := layers.LayerTypeIPv4, gopacket.LayerType(layers.LayerTypeIPv4)
	if pkt[0]>>4 == 6 {
		first, want = layers.LayerTypeIPv6, layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(pkt, first, gopacket.NoCopy)
	var network gopacket.NetworkLayer
	var out gopacket.SerializableLayer
	switch ip := p.Layer(want).(type) {
	case *layers.IPv4:
		dst, _ := netip.AddrFromSlice(ip.DstIP.To4())
		n := &layers.IPv6{Version: 6, NextHeader: ip.Protocol, HopLimit: ip.TTL, SrcIP: clat6.AsSlice(), DstIP: nat64.WellKnown().Embed(dst).AsSlice()}
		network, out = n, n
	case *layers.IPv6:
		src, _ := netip.AddrFromSlice(ip.SrcIP)
		v4, _ := nat64.WellKnown().Extract(src)
		n := &layers.IPv4{Version: 4, Protocol: ip.NextHeader, TTL: ip.HopLimit, SrcIP: v4.AsSlice(), DstIP: clat4.AsSlice()}
		network, out = n, n
	}
	var transport gopacket.SerializableLayer
	switch t := p.TransportLayer().(type) {
	case *layers.TCP:
		t.SetNetworkLayerForChecksum(network)
		transport = t
	case *layers.UDP:
		t.SetNetworkLayerForChecksum(network)
		transport = t
	default:
		return nil, errors.New("neither TCP nor UDP")
	}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		out, transport, gopacket.Payload(p.TransportLayer().LayerPayload()))
	return buf.Bytes(), err
}

// translateAll runs a CLAT on the device until it is closed.
func translateAll(d *TUN) {
	buf := make([]byte, 2000)
	for {
		_, n, err := d.ReadPacket(buf)
		if err != nil {
			return
		}
		if out, err := translate(buf[:n]); err == nil {
			d.WritePacket(vnethdr.Header{}, out[:20], out[20:])
		}
	}
}

// TestIPv4ClientThroughCLAT is the whole way of an IPv4-only client: host, TUN,
// CLAT, uplink, NAT64, server, and back.
func TestIPv4ClientThroughCLAT(t *testing.T) {
	w := newWorld(t, Options{})
	if c, err := w.host.DialContext(short(t), "tcp4", netip.AddrPortFrom(server, 443).String()); err == nil {
		c.Close()
		t.Fatal("connected over IPv4 without a tunnel")
	} else if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("error %v, want unreachable", err)
	}
	d := w.tunnel()
	go translateAll(d)
	w.listen(443, echoBack)
	for _, network := range []string{"tcp4", "tcp6"} { // the tunnel leaves IPv6 as it was
		ip := server
		if network == "tcp6" {
			ip = server6
		}
		c := w.dial(network, ip, 443)
		if local := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(); local == clat6 || network == "tcp4" && local != clat4 {
			t.Errorf("%s: source %v", network, local)
		}
		sent := strings.Repeat(network, 100_000)
		go func() {
			io.WriteString(c, sent)
			c.(tcpConn).CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || string(got) != sent {
			t.Errorf("%s: got %d bytes, %v, want the %d that were sent", network, len(got), err, len(sent))
		}
	}
	if n := w.router.Counters(); n.TCP != 2 {
		t.Errorf("counters %v, want both flows through the NAT64", n)
	}
}

// echoRequest is an ICMPv6 echo request from the CLAT's address.
func echoRequest(to netip.Addr, payload int) []byte {
	msg := append([]byte{icmpEcho, 0, 0, 0, 0x12, 0x34, 0, 7}, make([]byte, payload)...)
	return icmp6(clat6, to, 64, msg)
}

// readType reads packets until an ICMPv6 one of the type comes, false after the
// time.
func readType(d *TUN, want layers.ICMPv6TypeCode, limit time.Duration) ([]byte, bool) {
	got := make(chan []byte, 1)
	go func() {
		buf := make([]byte, 65536)
		for {
			_, n, err := d.ReadPacket(buf)
			if err != nil {
				return
			}
			p := gopacket.NewPacket(buf[:n], layers.LayerTypeIPv6, gopacket.Default)
			if m, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok && m.TypeCode == want {
				got <- slices.Clone(buf[:n])
				return
			}
		}
	}()
	select {
	case p := <-got:
		return p, true
	case <-time.After(limit):
		return nil, false
	}
}

func TestEcho(t *testing.T) {
	w := newWorld(t, Options{DialTimeout: time.Second})
	if err := w.net.AddHost(server); err != nil {
		t.Fatal(err)
	}
	d := w.tunnel()
	reply := layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoReply, 0)
	for _, size := range []int{0, 56, 1400} {
		ask := echoRequest(server6, size)
		if err := d.WritePacket(vnethdr.Header{}, ask, nil); err != nil {
			t.Fatal(err)
		}
		got, ok := readType(d, reply, limit)
		if !ok {
			t.Fatalf("%d bytes: no reply", size)
		}
		// The same identifier, number and payload from the address that was asked.
		want := icmp6(server6, clat6, 64, append([]byte{icmpEchoReply}, ask[ip6Len+1:]...))
		if string(got) != string(want) {
			t.Errorf("%d bytes: reply\n%x, want\n%x", size, got, want)
		}
	}
	// Last, because the readers above end only with a packet.
	ask := echoRequest(netip.MustParseAddr("64:ff9b::c633:6463"), 56)
	if err := d.WritePacket(vnethdr.Header{}, ask, nil); err != nil {
		t.Fatal(err)
	}
	if got, ok := readType(d, reply, 1500*time.Millisecond); ok {
		t.Errorf("reply %x from a server that does not exist: the router answered by itself", got)
	}
	if n := w.router.Counters(); n.Echo != 4 || n.EchoReply != 3 {
		t.Errorf("counters %v, want 4 requests and 3 replies", n)
	}
}

// TestErrorsReachTheClient: a NAT64 tells the client what the IPv4 side said.
func TestErrorsReachTheClient(t *testing.T) {
	t.Run("UDP port", func(t *testing.T) {
		w := newWorld(t, Options{})
		w.online()
		if err := w.net.AddHost(server); err != nil {
			t.Fatal(err)
		}
		c := w.dial("udp6", server6, 9)
		io.WriteString(c, "anyone?")
		if _, err := c.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v, want connection refused", err)
		}
	})
	for name, cause := range map[string]error{"no route": syscall.ENETUNREACH, "no neighbour": syscall.EHOSTUNREACH} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{})
			w.router.wan = brokenWAN{cause}
			w.online()
			begin := time.Now()
			_, err := w.host.DialContext(w.within(), "tcp6", netip.AddrPortFrom(server6, 443).String())
			if !errors.Is(err, syscall.ENETUNREACH) || time.Since(begin) > 5*time.Second {
				t.Errorf("error %v after %v, want network unreachable at once", err, time.Since(begin))
			}
		})
	}
}

// brokenWAN fails to dial.
type brokenWAN struct{ err error }

func (b brokenWAN) DialContext(context.Context, string, string) (net.Conn, error) { return nil, b.err }
func (b brokenWAN) Ping(context.Context, netip.Addr, uint16, uint16, []byte) error {
	return b.err
}
