package vnet

import (
	"context"
	"encoding/binary"
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

// TestSteering says which arriving packets the TUN's reader gets.
func TestSteering(t *testing.T) {
	w := newWorld(t, Options{})
	d := w.tunnel()
	other := netip.MustParseAddr("2001:db8:2::1")
	unreachable := append([]byte{icmpUnreachable, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 40)...)
	solicit := append([]byte{icmpNS, 0, 0, 0, 0, 0, 0, 0}, clat6.AsSlice()...)
	udp := []byte{0, 9, 0, 9, 0, 8, 0, 1}
	for _, c := range []struct {
		name string
		pkt  []byte
		want bool
	}{
		{"from the prefix", append(header6(server6, clat6, protoUDP, 64, 8), udp...), true},
		{"a fragment from the prefix", append(header6(server6, clat6, protoFragment, 64, 8), protoUDP, 0, 0, 8, 0, 0, 0, 1), true},
		{"from elsewhere", append(header6(other, clat6, protoUDP, 64, 8), udp...), false},
		{"from the prefix to another address", append(header6(server6, other, protoUDP, 64, 8), udp...), false},
		{"an error from a router on the path", icmp6(other, clat6, 64, unreachable), true},
		{"neighbor discovery", icmp6(netip.MustParseAddr("fe80::1"), clat6, 255, solicit), false},
		{"cut short", header6(server6, clat6, protoUDP, 64, 0)[:39], false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.host.take(etherIPv6, c.pkt)
			select {
			case got := <-d.queue:
				if !c.want || string(got) != string(c.pkt) {
					t.Errorf("the reader got %x", got)
				}
			default:
				if c.want {
					t.Error("the reader got nothing")
				}
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	p := netip.PrefixFrom(clat6, 128)
	if err := w.host.AddAddr(Uplink, p, true); err != nil {
		t.Fatal(err)
	}
	if a, ok := addrState(w.host.Snapshot(), clat6); !ok || !a.Tentative {
		t.Errorf("state %+v %v, want tentative at first", a, ok)
	}
	w.until("detection ends", func(s netstate.Snapshot) bool {
		a, ok := addrState(s, clat6)
		return ok && a == netstate.Addr{Prefix: p, Deprecated: true}
	})
	if err := w.host.RemoveAddr(Uplink, p); err != nil {
		t.Error(err)
	}
	if _, ok := addrState(w.host.Snapshot(), clat6); ok {
		t.Error("the address is still there")
	}
	if err := w.host.RemoveAddr(Uplink, p); err == nil {
		t.Error("removed an address twice without an error")
	}
	if err := w.host.AddAddr(99, p, true); err == nil {
		t.Error("added an address to a link that does not exist")
	}
	// The router has this one.
	taken := netip.PrefixFrom(routerIP, 128)
	if err := w.host.AddAddr(Uplink, taken, true); err != nil {
		t.Fatal(err)
	}
	w.until("detection finds the other owner", func(s netstate.Snapshot) bool {
		a, ok := addrState(s, routerIP)
		return ok && a.DADFailed && !a.Tentative
	})
	if err := w.host.RemoveAddr(Uplink, taken); err != nil {
		t.Error(err)
	}
}

func TestRoutes(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	d, err := w.host.OpenTUN("clat0", 1400)
	if err != nil {
		t.Fatal(err)
	}
	r := netstate.Route{Dst: netip.MustParsePrefix("198.51.100.0/24"), Link: d.Index(), Metric: 100, MTU: 1300}
	if err := w.host.AddRoute(r); err != nil {
		t.Fatal(err)
	}
	if got := w.host.Snapshot().Routes; !slices.Contains(got, r) {
		t.Errorf("routes %+v, want %+v among them", got, r)
	}
	for name, bad := range map[string]netstate.Route{
		"the same again": r,
		"no such link":   {Dst: r.Dst, Link: 99},
		"reject":         {Dst: r.Dst, Link: d.Index(), Reject: true},
	} {
		if err := w.host.AddRoute(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := w.host.RemoveRoute(r); err != nil || slices.Contains(w.host.Snapshot().Routes, r) {
		t.Errorf("remove: %v; routes %+v", err, w.host.Snapshot().Routes)
	}
	if err := w.host.RemoveRoute(r); err == nil {
		t.Error("removed a route twice without an error")
	}
	if err := w.host.AddRoute(r); err != nil {
		t.Fatal(err)
	}
	d.Close()
	s := w.host.Snapshot()
	if _, ok := s.LinkByName("clat0"); ok || slices.Contains(s.Routes, r) {
		t.Errorf("state %+v, want neither device nor route after Close", s)
	}
}

func TestTUN(t *testing.T) {
	w := newWorld(t, Options{})
	d := w.tunnel()
	if l, ok := w.host.Snapshot().LinkByName("clat0"); !ok || l.Index != d.Index() || !l.Tunnel || !l.Up || l.MTU != 1480 || l.Ethernet {
		t.Errorf("link %+v %v", l, ok)
	}
	for _, taken := range []string{"clat0", "eth0"} {
		if _, err := w.host.OpenTUN(taken, 1400); err == nil || !strings.Contains(err.Error(), taken) {
			t.Errorf("open %q: error %v, want one that names it", taken, err)
		}
	}
	if err := w.host.SetMTU(d.Index(), 1300); err != nil {
		t.Error(err)
	}
	if l, _ := w.host.Snapshot().LinkByName("clat0"); l.MTU != 1300 {
		t.Errorf("MTU %d, want 1300", l.MTU)
	}
	c := w.dial("udp4", server, 9)
	io.WriteString(c, "hello")
	buf := make([]byte, 64)
	if _, _, err := d.ReadPacket(buf[:20]); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("error %v, want short buffer", err)
	}
	io.WriteString(c, "hello")
	h, n, err := d.ReadPacket(buf)
	p := gopacket.NewPacket(buf[:n], layers.LayerTypeIPv4, gopacket.Default)
	ip, _ := p.NetworkLayer().(*layers.IPv4)
	if err != nil || h != (vnethdr.Header{}) || ip == nil || !ip.SrcIP.Equal(clat4.AsSlice()) || !ip.DstIP.Equal(server.AsSlice()) || string(p.TransportLayer().LayerPayload()) != "hello" {
		t.Errorf("read %v, header %+v, %v", p, h, err)
	}
	// A reply whose UDP checksum the CLAT left to be finished.
	reply := slices.Clone(buf[:n])
	copy(reply[12:], server.AsSlice())
	copy(reply[16:], clat4.AsSlice())
	reply[20], reply[21], reply[22], reply[23] = reply[22], reply[23], reply[20], reply[21]
	binary.BigEndian.PutUint16(reply[26:], sum(protoUDP+13, reply[12:20]))
	partial := vnethdr.Header{Flags: vnethdr.NeedsCsum, CsumStart: 20, CsumOffset: 6}
	if err := d.WritePacket(partial, reply[:20], reply[20:]); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Errorf("the client read %q, %v", buf[:n], err)
	}
	for name, h := range map[string]vnethdr.Header{
		"super-packet":             {GSOType: vnethdr.GSOTCPv4, GSOSize: 1000},
		"checksum outside of it":   {Flags: vnethdr.NeedsCsum, CsumStart: 9000},
		"checksum field beyond it": {Flags: vnethdr.NeedsCsum, CsumStart: 20, CsumOffset: 60000},
	} {
		if err := d.WritePacket(h, reply, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, junk := range [][]byte{nil, {0x60}, make([]byte, 40), append([]byte{0x60}, make([]byte, 30)...)} {
		d.WritePacket(vnethdr.Header{}, junk, nil) // must not panic
	}
}

func TestClosedTUN(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	d, err := w.host.OpenTUN("clat0", 1400)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, _, err := d.ReadPacket(make([]byte, 100))
		read <- err
	}()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-read:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: error %v, want net.ErrClosed", err)
		}
	case <-time.After(limit):
		t.Fatal("the reader still waits")
	}
	if err := d.WritePacket(vnethdr.Header{}, make([]byte, 40), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: error %v, want net.ErrClosed", err)
	}
	if err := d.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: error %v, want net.ErrClosed", err)
	}
	if d, err = w.host.OpenTUN("clat0", 1400); err != nil {
		t.Errorf("the name is free again: %v", err)
	} else {
		d.Close()
	}
}

func TestLinkDownAndUp(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	if err := w.host.SetLink(Uplink, false); err != nil {
		t.Fatal(err)
	}
	s := w.host.Snapshot()
	if _, ok := s.Default(true); ok {
		t.Errorf("state %+v, want no default route", s)
	}
	if c, err := w.host.DialContext(short(t), "tcp6", netip.AddrPortFrom(server6, 443).String()); err == nil {
		c.Close()
		t.Error("connected over a link that is down")
	}
	if err := w.host.SetLink(Uplink, true); err != nil {
		t.Fatal(err)
	}
	w.online()
}

func TestDialRefusesNonsense(t *testing.T) {
	w := newWorld(t, Options{})
	for _, c := range []struct{ network, addr string }{
		{"tcp4", "[::1]:80"}, {"tcp6", "192.0.2.1:80"}, {"tcp6", "example.com:80"}, {"tcp6", "64:ff9b::1"}, {"sctp6", "[::1]:80"},
	} {
		conn, err := w.host.DialContext(short(t), c.network, c.addr)
		var op *net.OpError
		if err == nil {
			conn.Close()
		}
		if !errors.As(err, &op) {
			t.Errorf("%s %s: error %v, want a net.OpError", c.network, c.addr, err)
		}
	}
}

// TestEndWithoutStart: what New made ends also when Run never got to work, and
// the world goes on as errors say when the cable is cut.
func TestEndWithoutStart(t *testing.T) {
	internet, err := NewInternet()
	if err != nil {
		t.Fatal(err)
	}
	defer internet.Close()
	a, b := Pipe()
	r, err := New(Options{}, a, internet)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHost(HostOptions{}, b)
	if err != nil {
		t.Fatal(err)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Run(done); err != nil {
		t.Errorf("router: %v", err)
	}
	if err := h.Run(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("host: error %v, want the cut cable", err)
	}
	if _, err := h.OpenTUN("late0", 1400); !errors.Is(err, net.ErrClosed) {
		t.Errorf("open after the end: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"MTU below 1280":          {MTU: 1279},
		"multicast MAC":           {MAC: net.HardwareAddr{1, 0, 0, 0, 0, 0}},
		"IPv4 prefix":             {PIO: netip.MustParsePrefix("192.0.2.0/24")},
		"address outside the PIO": {Addr: netip.MustParseAddr("2001:db8:2::1")},
	} {
		a, _ := Pipe()
		if _, err := New(o, a, brokenWAN{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
