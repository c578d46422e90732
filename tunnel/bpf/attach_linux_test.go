package bpf

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// TestSteering goes through one life of a Steering per mode: a step builds on
// the neighbours and counters of the ones before.
func TestSteering(t *testing.T) {
	for _, m := range []Mode{TCX, Clsact} {
		t.Run(m.String(), func(t *testing.T) {
			l := newLab(t)
			l.openTUN(t)
			before := l.client.forwarding(t)
			s := l.attach(t, l.config(m))
			if s.Mode() != m.String() {
				t.Errorf("mode %q, want %q", s.Mode(), m)
			}
			for _, step := range []struct {
				name string
				run  func(t *testing.T, l *lab, s *Steering)
			}{
				{"first packet out, no neighbour known", firstPacketOut},
				{"echo by the reader", echoByReader},
				{"neighbour discovery of the CLAT address", neighbourDiscovery},
				{"the host's own traffic", ownTraffic},
				{"to the CLAT address from elsewhere", fromElsewhere},
				{"what may not leave", mayNotLeave},
				{"UDP super-packets both ways", superUDP},
				{"TCP super-packets", superTCP},
				{"a program behind ours", programBehind},
			} {
				if !t.Run(step.name, func(t *testing.T) { step.run(t, l, s) }) {
					t.Logf("counters: %v", show(s))
				}
			}
			if got := l.client.forwarding(t); got != before {
				t.Errorf("forwarding sysctls were %s are %s", before, got)
			}
			l.client.do(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("second close: %v", err)
				}
			})
			if _, err := s.Counters(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("counters after close: error %v, want net.ErrClosed", err)
			}
			wantNothingLeft(t, l, l.uplink, l.tun.Index())
		})
	}
}

func show(s *Steering) map[string]uint64 {
	c, _ := s.Counters()
	return c
}

func firstPacketOut(t *testing.T, l *lab, s *Steering) {
	c := l.server.listen(t, labServer, 4000)
	l.client.run(t, "ip -6 neigh flush dev up0")
	l.server.run(t, "ip -6 neigh flush dev srv0")
	p := udp(labCLAT, labServer, 5000, 4000, "hello")
	if err := l.tun.WritePacket(vnethdr.Header{}, p[:40], p[40:]); err != nil {
		t.Fatal(err)
	}
	if err := receive(c, netip.AddrPortFrom(labCLAT, 5000), "hello"); err != nil {
		t.Errorf("packet of the reader at the server: %v", err)
	}
	if n := counter(t, s, "egress_redirected"); n != 1 {
		t.Errorf("egress_redirected %d, want 1", n)
	}
	// The kernel solicits from the CLAT address, so the answer comes to it.
	if n := counter(t, s, "ingress_neighbour_discovery"); n == 0 {
		t.Error("ingress_neighbour_discovery 0, want the answer to the client's solicitation")
	}
}

func echoByReader(t *testing.T, l *lab, s *Steering) {
	c := l.server.listen(t, labServer, 0)
	if err := exchange(c, netip.AddrPortFrom(labCLAT, 7), "ping"); err != nil {
		t.Errorf("exchange with the CLAT address: %v", err)
	}
	if got := l.drain(labServer); len(got) != 1 || string(got[0].packet[48:]) != "ping" {
		t.Errorf("the reader got %d packets, want the one", len(got))
	}
	if n := counter(t, s, "ingress_redirected"); n != 1 {
		t.Errorf("ingress_redirected %d, want 1", n)
	}
}

func neighbourDiscovery(t *testing.T, l *lab, _ *Steering) {
	c := l.server.listen(t, labServer, 0)
	for range 2 {
		l.server.run(t, "ip -6 neigh flush dev srv0")
		l.client.run(t, "ip -6 neigh flush dev up0")
		if err := exchange(c, netip.AddrPortFrom(labCLAT, 7), "after a flush"); err != nil {
			t.Errorf("exchange after a flush: %v", err)
		}
	}
	l.drain(labServer)
}

// kernelEcho answers on a socket of the client until the test ends.
func kernelEcho(t *testing.T, l *lab, a netip.Addr) netip.AddrPort {
	t.Helper()
	c := l.client.listen(t, a, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func ownTraffic(t *testing.T, l *lab, s *Steering) {
	to := kernelEcho(t, l, labHost)
	before := show(s)
	for _, from := range []netip.Addr{labRouter, labServer} {
		if err := exchange(l.server.listen(t, from, 0), to, "to the host"); err != nil {
			t.Errorf("from %v to the host's own address: %v", from, err)
		}
		if got := l.drain(from); len(got) != 0 {
			t.Errorf("the reader got %d packets that are for the host", len(got))
		}
	}
	if after := show(s); after["ingress_redirected"] != before["ingress_redirected"] || after["ingress_passed_other"] != before["ingress_passed_other"] {
		t.Errorf("counters %v, before %v, want no change", after, before)
	}
}

func fromElsewhere(t *testing.T, l *lab, s *Steering) {
	to := kernelEcho(t, l, labCLAT)
	before := counter(t, s, "ingress_passed_other")
	if err := exchange(l.server.listen(t, labRouter, 0), to, "no NAT64"); err != nil {
		t.Errorf("the kernel's answer from the CLAT address: %v", err)
	}
	if got := l.drain(labRouter); len(got) != 0 {
		t.Errorf("the reader got %d packets from outside the prefix", len(got))
	}
	if n := counter(t, s, "ingress_passed_other") - before; n != 1 {
		t.Errorf("ingress_passed_other moved by %d, want 1", n)
	}
}

func mayNotLeave(t *testing.T, l *lab, s *Steering) {
	c := l.server.listen(t, labServer, 4000)
	before := show(s)
	bad := [][]byte{
		udp(labHost, labServer, 1, 4000, "spoofed"),
		udp(labCLAT, netip.MustParseAddr("ff02::1"), 1, 4000, "all nodes"),
		udp(labCLAT, netip.MustParseAddr("fe80::1"), 1, 4000, "link-local"),
		udp(labCLAT, labServer, 1, 4000, "cut off")[:39],
	}
	for _, p := range bad {
		if err := l.tun.WritePacket(vnethdr.Header{}, p, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := receive(c, netip.AddrPort{}, ""); !timedOut(err) {
		t.Errorf("the server: %v, want nothing to come", err)
	}
	after := show(s)
	if n := after["egress_dropped"] - before["egress_dropped"]; n != uint64(len(bad)) {
		t.Errorf("egress_dropped moved by %d, want %d", n, len(bad))
	}
	if after["egress_redirected"] != before["egress_redirected"] {
		t.Errorf("egress_redirected moved from %d to %d", before["egress_redirected"], after["egress_redirected"])
	}
}

func superUDP(t *testing.T, l *lab, _ *Steering) {
	const segment, segments = 1200, 40
	c := l.server.listen(t, labServer, 0)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, segment) })
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(labCLAT, 7)
	if _, err := c.WriteToUDPAddrPort([]byte(strings.Repeat("x", segment*segments)), to); err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		if err := receive(c, to, strings.Repeat("x", segment)); err != nil {
			t.Fatalf("segment %d from the CLAT: %v", i, err)
		}
	}
	got := l.drain(labServer)
	if len(got) != 1 || len(got[0].packet) != 48+segment*segments {
		t.Fatalf("the reader got %d packets, want one with all segments", len(got))
	}
	if h := got[0].header; h.GSOType != vnethdr.GSOUDPL4 || h.GSOSize != segment || h.Flags&vnethdr.NeedsCsum == 0 || h.CsumStart != 40 {
		t.Errorf("header %+v, want UDP segments of %d", h, segment)
	}
}

func superTCP(t *testing.T, l *lab, _ *Steering) {
	const size = 1 << 20
	var c *net.TCPConn
	var err error
	l.server.do(func() {
		c, err = net.DialTCP("tcp6", &net.TCPAddr{IP: labServer.AsSlice()}, &net.TCPAddr{IP: labCLAT.AsSlice(), Port: 443})
	})
	if err != nil {
		t.Fatalf("connect to the reader: %v", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || timedOut(err) { // the sink's FIN comes after it has all
		t.Fatalf("end of the connection: %v", err)
	}
	longest := seen{}
	total := 0
	for _, s := range l.drain(labServer) {
		if s.packet[6] != unix.IPPROTO_TCP {
			continue
		}
		total += len(s.packet) - 40 - int(s.packet[52]>>4)*4
		if len(s.packet) > len(longest.packet) {
			longest = s
		}
	}
	if total < size {
		t.Errorf("the reader got %d bytes, want %d", total, size)
	}
	if h := longest.header; h.GSOType != vnethdr.GSOTCPv6 || h.GSOSize != 1440 || len(longest.packet) < 10000 {
		t.Errorf("longest packet %d bytes with header %+v, want TCP segments of 1440", len(longest.packet), h)
	}
}

// programBehind attaches a program that drops everything: it must get what ours
// leaves to the kernel, and nothing that ours redirects.
func programBehind(t *testing.T, l *lab, s *Steering) {
	to := kernelEcho(t, l, labHost)
	c := l.server.listen(t, labServer, 0)
	clat := netip.AddrPortFrom(labCLAT, 7)
	if err := errors.Join(exchange(c, to, "to the host"), exchange(c, clat, "to the CLAT")); err != nil {
		t.Fatal(err)
	}
	drop, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "MIT", Name: "other",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, shot), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	if s.mode == TCX {
		var other link.Link
		l.client.do(func() {
			other, err = link.AttachTCX(link.TCXOptions{Interface: l.uplink, Program: drop, Attach: ebpf.AttachTCXIngress})
		})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
	} else {
		f := otherFilter(l.uplink, drop)
		l.client.do(func() { err = netlink.FilterAdd(f) })
		if err != nil {
			t.Fatal(err)
		}
		defer l.client.do(func() { netlink.FilterDel(f) })
	}
	if err := exchange(c, to, "to the host"); !timedOut(err) {
		t.Errorf("to the host: %v, want the program behind ours to drop it", err)
	}
	if err := exchange(c, clat, "to the CLAT"); err != nil {
		t.Errorf("to the CLAT: %v", err)
	}
	l.drain(labServer)
}

// otherFilter is a filter that only differs from ours in its name and place.
func otherFilter(index int, p *ebpf.Program) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs:  netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 65, Protocol: unix.ETH_P_IPV6},
		Fd:           p.FD(),
		Name:         "other",
		DirectAction: true,
	}
}

// wantNothingLeft looks for programs, filters and qdiscs.
func wantNothingLeft(t *testing.T, l *lab, indexes ...int) {
	t.Helper()
	for _, index := range indexes {
		if n := tcxPrograms(t, l, index); n != 0 {
			t.Errorf("interface %d: %d tcx programs are left", index, n)
		}
		l.client.do(func() {
			if f, err := netlink.FilterList(byIndex(index), netlink.HANDLE_MIN_INGRESS); err != nil || len(f) != 0 {
				t.Errorf("interface %d: filters %v are left (error %v)", index, f, err)
			}
			if hasClsact(t, index) {
				t.Errorf("interface %d: the clsact qdisc is left", index)
			}
		})
	}
}

func tcxPrograms(t *testing.T, l *lab, index int) (n int) {
	t.Helper()
	l.client.do(func() {
		r, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			t.Errorf("query tcx programs: %v", err)
			return
		}
		n = len(r.Programs)
	})
	return n
}

func hasClsact(t *testing.T, index int) bool {
	t.Helper()
	qdiscs, err := netlink.QdiscList(byIndex(index))
	if err != nil {
		t.Errorf("list qdiscs: %v", err)
	}
	for _, q := range qdiscs {
		if q.Type() == "clsact" {
			return true
		}
	}
	return false
}

// TestAutoTakesTCX holds on kernels that have it (6.6).
func TestAutoTakesTCX(t *testing.T) {
	l := newLab(t)
	l.openTUN(t)
	s := l.attach(t, l.config(Auto))
	if s.Mode() != "tcx" {
		t.Errorf("mode %q, want tcx", s.Mode())
	}
	if n := tcxPrograms(t, l, l.uplink); n != 1 {
		t.Errorf("%d tcx programs on the uplink, want 1", n)
	}
}

// TestBothOrNone: the uplink does not exist, so the TUN's program must go again.
func TestBothOrNone(t *testing.T) {
	l := newLab(t)
	l.openTUN(t)
	for _, m := range []Mode{TCX, Clsact} {
		c := l.config(m)
		c.Uplink = 9999
		l.client.do(func() {
			s, err := Attach(c)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, unix.ENODEV) {
				t.Errorf("%v: error %v, want ENODEV", m, err)
			}
		})
		wantNothingLeft(t, l, l.tun.Index())
	}
}

// TestRawIPUplink takes a second TUN for a modem: packets without Ethernet.
func TestRawIPUplink(t *testing.T) {
	for _, m := range []Mode{TCX, Clsact} {
		t.Run(m.String(), func(t *testing.T) {
			l := newLab(t)
			l.openTUN(t)
			var modem *tun.Device
			var err error
			if l.client.do(func() { modem, err = tun.Open("wwan0") }); err != nil {
				t.Fatal(err)
			}
			defer modem.Close()
			l.client.run(t, "ip link set wwan0 addrgenmode none")
			l.client.run(t, "ip link set wwan0 up")
			c := l.config(m)
			c.Uplink, c.Ethernet = modem.Index(), false
			s := l.attach(t, c)
			// The lab's reader sends it back, so it goes both ways.
			ask := udp(labServer, labCLAT, 4000, 7, "through the modem")
			if err := modem.WritePacket(vnethdr.Header{}, ask, nil); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, tun.MaxPacket)
			answered := make(chan int, 1)
			go func() {
				_, n, _ := modem.ReadPacket(got)
				answered <- n
			}()
			select {
			case n := <-answered:
				if want := udp(labCLAT, labServer, 7, 4000, "through the modem"); string(got[:n]) != string(want) {
					t.Errorf("from the modem % x, want % x", got[:n], want)
				}
			case <-time.After(2 * time.Second):
				modem.Close()
				<-answered
				t.Errorf("nothing came back; counters %v", show(s))
			}
		})
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	good := Config{TUN: 1, Uplink: 2, CLAT6: labCLAT, Prefixes: []nat64.Prefix{labPrefix}}
	if err := good.validate(); err != nil {
		t.Fatalf("good configuration: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"no TUN":               func(c *Config) { c.TUN = 0 },
		"no uplink":            func(c *Config) { c.Uplink = -1 },
		"TUN is the uplink":    func(c *Config) { c.Uplink = c.TUN },
		"no address":           func(c *Config) { c.CLAT6 = netip.Addr{} },
		"IPv4 address":         func(c *Config) { c.CLAT6 = netip.MustParseAddr("192.0.0.1") },
		"mapped address":       func(c *Config) { c.CLAT6 = netip.MustParseAddr("::ffff:192.0.0.1") },
		"link-local address":   func(c *Config) { c.CLAT6 = netip.MustParseAddr("fe80::1") },
		"address with a zone":  func(c *Config) { c.CLAT6 = c.CLAT6.WithZone("up0") },
		"multicast address":    func(c *Config) { c.CLAT6 = netip.MustParseAddr("ff02::1") },
		"unspecified address":  func(c *Config) { c.CLAT6 = netip.IPv6Unspecified() },
		"no prefix":            func(c *Config) { c.Prefixes = nil },
		"empty prefix":         func(c *Config) { c.Prefixes = []nat64.Prefix{{}} },
		"five prefixes":        func(c *Config) { c.Prefixes = make([]nat64.Prefix, 5) },
		"mode that is not one": func(c *Config) { c.Mode = 3 },
	} {
		c := good
		change(&c)
		if _, err := Attach(c); !errors.Is(err, errConfig) {
			t.Errorf("%s: error %v, want it refused", name, err)
		}
	}
}

// TestMaskWords checks the byte order of what the C program compares.
func TestMaskWords(t *testing.T) {
	got := words(nat64.MustParse("2001:db8:100::/40"))
	if binary.BigEndian.Uint64(got.Net[:]) != 0x20010db8_01000000 || binary.BigEndian.Uint64(got.Mask[:]) != 0xffffffff_ff000000 {
		t.Errorf("words % x", got)
	}
}
