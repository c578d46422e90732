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
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

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
			w.host.take(Uplink, etherIPv6, c.pkt)
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
