package bpf

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// The steps of TestSteering.

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
	if n := counter(t, s, "egress-redirected"); n != 1 {
		t.Errorf("egress-redirected %d, want 1", n)
	}
	// The kernel solicits from the CLAT address, so the answer comes to it.
	if n := counter(t, s, "ingress-neighbour-discovery"); n == 0 {
		t.Error("ingress-neighbour-discovery 0, want the answer to the client's solicitation")
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
	if n := counter(t, s, "ingress-redirected"); n != 1 {
		t.Errorf("ingress-redirected %d, want 1", n)
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
	if after := show(s); after["ingress-redirected"] != before["ingress-redirected"] || after["ingress-passed-other"] != before["ingress-passed-other"] {
		t.Errorf("counters %v, before %v, want no change", after, before)
	}
}

func fromElsewhere(t *testing.T, l *lab, s *Steering) {
	to := kernelEcho(t, l, labCLAT)
	before := counter(t, s, "ingress-passed-other")
	if err := exchange(l.server.listen(t, labRouter, 0), to, "no NAT64"); err != nil {
		t.Errorf("the kernel's answer from the CLAT address: %v", err)
	}
	if got := l.drain(labRouter); len(got) != 0 {
		t.Errorf("the reader got %d packets from outside the prefix", len(got))
	}
	if n := counter(t, s, "ingress-passed-other") - before; n != 1 {
		t.Errorf("ingress-passed-other moved by %d, want 1", n)
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
	if n := after["egress-dropped"] - before["egress-dropped"]; n != uint64(len(bad)) {
		t.Errorf("egress-dropped moved by %d, want %d", n, len(bad))
	}
	if after["egress-redirected"] != before["egress-redirected"] {
		t.Errorf("egress-redirected moved from %d to %d", before["egress-redirected"], after["egress-redirected"])
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
	var conn net.Conn
	var err error
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: labServer.AsSlice()}}
	l.server.do(func() { conn, err = dialer.Dial("tcp6", netip.AddrPortFrom(labCLAT, 443).String()) })
	if err != nil {
		t.Fatalf("connect to the reader: %v", err)
	}
	defer conn.Close()
	c := conn.(*net.TCPConn)
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

// taggedFrames sends the same packet as a plain frame and as one of VLAN 5, whose
// tag the kernel takes off before our program sees it.
func taggedFrames(t *testing.T, l *lab, s *Steering) {
	l.server.listen(t, labServer, 4000) // or the server answers the echo with an error
	p := udp(labServer, labCLAT, 4000, 7, "frame")
	plain := []byte{0x86, 0xdd}
	tagged := []byte{0x81, 0x00, 0, 5, 0x86, 0xdd}
	for _, c := range []struct {
		name string
		tag  []byte
		want uint64
	}{{"plain", plain, 1}, {"tagged", tagged, 0}} {
		before := counter(t, s, "ingress-redirected")
		if err := l.sendFrame(append(c.tag, p...)); err != nil {
			t.Fatal(err)
		}
		// A packet after it shows that the frame has passed.
		if err := exchange(l.server.listen(t, labServer, 0), netip.AddrPortFrom(labCLAT, 7), "after"); err != nil {
			t.Fatal(err)
		}
		if n := counter(t, s, "ingress-redirected") - before - 1; n != c.want {
			t.Errorf("%s frame: %d packets redirected, want %d", c.name, n, c.want)
		}
		l.drain(labServer)
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
	var err error
	drop := dropProgram(t)
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
