package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// The lab: two network namespaces and a veth. The server's second address poses
// as an IPv4 server behind a NAT64.
//
//	client                               server
//	  clat0 (TUN, reader: echo)
//	  up0 2001:db8:1::1/64  ---------  srv0 2001:db8:1::2/64
//	      2001:db8:1::c1a7/128              2001:db8:64:ff9b::c633:640a
var (
	labHost   = netip.MustParseAddr("2001:db8:1::1")
	labCLAT   = netip.MustParseAddr("2001:db8:1::c1a7")
	labRouter = netip.MustParseAddr("2001:db8:1::2")
	labPrefix = nat64.MustParse("2001:db8:64:ff9b::/96")
	labServer = labPrefix.Embed(netip.MustParseAddr("198.51.100.10"))
)

// space is a network namespace that has no name: it goes when its thread does,
// however the test ends.
type space struct {
	calls chan func() // unbuffered; owned by newSpace's goroutine, which ends when it is closed
	tid   int
}

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{calls: make(chan func())}
	ended := make(chan struct{})
	ready := make(chan error)
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		s.tid = unix.Gettid()
		ready <- err
		for call := range s.calls {
			call()
		}
	}()
	t.Cleanup(func() { close(s.calls); <-ended })
	if err := <-ready; err != nil {
		t.Fatalf("unshare: %v", err)
	}
	return s
}

// do runs f in the namespace. f must not end the test: its goroutine is not the
// test's.
func (s *space) do(f func()) {
	done := make(chan struct{})
	s.calls <- func() { defer close(done); f() }
	<-done
}

// run runs a command in the namespace and returns what it printed.
func (s *space) run(t *testing.T, line string) string {
	t.Helper()
	var out []byte
	var err error
	s.do(func() {
		args := strings.Fields(line)
		out, err = exec.Command(args[0], args[1:]...).CombinedOutput()
	})
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// listen opens a UDP socket in the namespace, until the test ends.
func (s *space) listen(t *testing.T, a netip.Addr, port uint16) (c *net.UDPConn) {
	t.Helper()
	var err error
	s.do(func() { c, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port))) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// forwarding reads every forwarding sysctl of the namespace.
func (s *space) forwarding(t *testing.T) (values string) {
	t.Helper()
	s.do(func() {
		paths, _ := filepath.Glob("/proc/sys/net/ipv[46]/conf/*/*forwarding")
		for _, p := range append(paths, "/proc/sys/net/ipv4/ip_forward") {
			values += p + "=" + readText(p) + "\n"
		}
	})
	for _, want := range []string{"ipv6/conf/up0/forwarding=0", "ipv6/conf/all/forwarding=0", "ipv4/ip_forward=0"} {
		if !strings.Contains(values, want) {
			t.Errorf("forwarding sysctls do not hold %s:\n%s", want, values)
		}
	}
	return values
}

// seen is one packet that the reader got.
type seen struct {
	header vnethdr.Header
	packet []byte
}

type lab struct {
	client, server *space
	uplink         int
	tun            *tun.Device // nil until openTUN
	read           chan seen   // capacity 4096; the reader drops what overflows it
	tcp            sink
}

// newLab builds the lab. dad is "" for duplicate address detection of the CLAT
// address as in production, or "nodad", which saves two seconds.
func newLab(t *testing.T, dad string) *lab {
	t.Helper()
	needRoot(t)
	l := &lab{client: newSpace(t), server: newSpace(t), read: make(chan seen, 4096)}
	l.client.run(t, "ip link add up0 type veth peer name srv0")
	l.client.run(t, fmt.Sprintf("ip link set srv0 netns %d", l.server.tid))
	l.client.run(t, "ip link set lo up")
	l.client.run(t, "ip link set up0 up")
	l.server.run(t, "ip link set srv0 up")
	l.client.run(t, "ip addr add 2001:db8:1::1/64 dev up0 nodad")
	l.client.run(t, "ip addr add 2001:db8:1::c1a7/128 dev up0 preferred_lft 0 noprefixroute "+dad)
	l.server.run(t, "ip addr add 2001:db8:1::2/64 dev srv0 nodad")
	l.server.run(t, fmt.Sprintf("ip addr add %v/128 dev srv0 nodad", labServer))
	l.client.run(t, fmt.Sprintf("ip route add %v via 2001:db8:1::2", labPrefix))
	var up0 *net.Interface
	var err error
	if l.client.do(func() { up0, err = net.InterfaceByName("up0") }); err != nil {
		t.Fatal(err)
	}
	l.uplink = up0.Index
	for end := time.Now().Add(10 * time.Second); strings.Contains(l.client.run(t, "ip -6 addr show dev up0 tentative"), labCLAT.String()); {
		if time.Now().After(end) {
			t.Fatal("duplicate address detection does not end")
		}
		time.Sleep(50 * time.Millisecond) // the kernel's own time, not ours to fake
	}
	return l
}

// openTUN makes clat0 as platform/netcfg would leave it, and starts its reader.
func (l *lab) openTUN(t *testing.T) {
	t.Helper()
	var err error
	if l.client.do(func() { l.tun, err = tun.Open("clat0") }); err != nil {
		t.Fatal(err)
	}
	l.client.run(t, "ip link set clat0 addrgenmode none")
	l.client.run(t, "ip link set clat0 mtu 1480 up")
	ended := make(chan error, 1)
	go func() { ended <- l.reader() }()
	t.Cleanup(func() {
		l.tun.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("reader: %v", err)
		}
	})
}

// reader sends UDP back to where it came from and plays a TCP server that
// swallows everything.
func (l *lab) reader() error {
	buf := make([]byte, tun.MaxPacket)
	for {
		h, n, err := l.tun.ReadPacket(buf)
		if err != nil {
			return err
		}
		p := append([]byte(nil), buf[:n]...)
		select {
		case l.read <- seen{h, p}:
		default:
		}
		if n < 48 || p[0]>>4 != 6 {
			continue
		}
		switch p[6] {
		case unix.IPPROTO_UDP:
			answer := turned(p) // the checksum is the same both ways, also a partial one
			err = l.tun.WritePacket(h, answer[:40], answer[40:])
		case unix.IPPROTO_TCP:
			if answer := l.tcp.answer(p); answer != nil {
				err = l.tun.WritePacket(vnethdr.Header{}, answer, nil)
			}
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
}

// turned returns p with addresses and ports exchanged.
func turned(p []byte) []byte {
	q := append([]byte(nil), p...)
	copy(q[8:], p[24:40])
	copy(q[24:], p[8:24])
	copy(q[40:], p[42:44])
	copy(q[42:], p[40:42])
	return q
}

// sink is a TCP server for one connection without loss: it acknowledges what
// comes in order and counts it.
type sink struct {
	next  uint32
	bytes int
}

func (s *sink) answer(p []byte) []byte {
	const fin, syn, ack = 1, 2, 16
	offset := 40 + int(p[52]>>4)*4
	seq, flags, data := binary.BigEndian.Uint32(p[44:]), p[53], len(p)-offset
	reply := turned(p)[:60]
	reply[52], reply[53] = 5<<4, ack
	ours := uint32(1001)
	switch {
	case flags&syn != 0:
		s.next, ours = seq+1, 1000
		reply[53] |= syn
		reply[52] = 6 << 4
		reply = append(reply, 2, 4, 1440>>8, 1440&0xff) // maximum segment size
	case seq == s.next && data+int(flags&fin) > 0:
		s.next += uint32(data) + uint32(flags&fin)
		s.bytes += data
		reply[53] |= flags & fin
	default:
		return nil
	}
	binary.BigEndian.PutUint16(reply[4:], uint16(len(reply)-40))
	binary.BigEndian.PutUint32(reply[44:], ours)
	binary.BigEndian.PutUint32(reply[48:], s.next)
	binary.BigEndian.PutUint16(reply[54:], 65535)
	finish(reply, 16)
	return reply
}

// finish fills in the transport checksum at 40+at (RFC 8200 section 8.1).
func finish(p []byte, at int) {
	p[40+at], p[41+at] = 0, 0
	sum := uint32(len(p)-40) + uint32(p[6])
	for i := 8; i < len(p); i++ {
		if i%2 == 0 {
			sum += uint32(p[i]) << 8
		} else {
			sum += uint32(p[i])
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(p[40+at:], ^uint16(sum))
}

// udp returns a whole UDP packet.
func udp(src, dst netip.Addr, from, to uint16, body string) []byte {
	p := packet(src.String(), dst.String(), unix.IPPROTO_UDP, make([]byte, 8)...)
	p = append(p, body...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	binary.BigEndian.PutUint16(p[40:], from)
	binary.BigEndian.PutUint16(p[42:], to)
	binary.BigEndian.PutUint16(p[44:], uint16(len(p)-40))
	finish(p, 6)
	return p
}

func (l *lab) config(m Mode) Config {
	return Config{TUN: l.tun.Index(), Uplink: l.uplink, Ethernet: true, CLAT6: labCLAT, Prefixes: []nat64.Prefix{labPrefix}, Mode: m}
}

func (l *lab) attach(t *testing.T, c Config) (s *Steering) {
	t.Helper()
	var err error
	if l.client.do(func() { s, err = Attach(c) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.client.do(func() { s.Close() }) })
	return s
}

// sendFrame puts a frame on the wire from the server to the client. It begins
// with the EtherType.
func (l *lab) sendFrame(frame []byte) (err error) {
	var up0, srv0 *net.Interface
	l.client.do(func() { up0, err = net.InterfaceByName("up0") })
	if err != nil {
		return err
	}
	l.server.do(func() {
		if srv0, err = net.InterfaceByName("srv0"); err != nil {
			return
		}
		var s int
		if s, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
			return
		}
		defer unix.Close(s)
		whole := append(append(append([]byte(nil), up0.HardwareAddr...), srv0.HardwareAddr...), frame...)
		err = unix.Sendto(s, whole, 0, &unix.SockaddrLinklayer{Ifindex: srv0.Index, Halen: 6})
	})
	return err
}

// exchange sends body and returns whether it came back within a second.
func exchange(c *net.UDPConn, to netip.AddrPort, body string) error {
	if _, err := c.WriteToUDPAddrPort([]byte(body), to); err != nil {
		return err
	}
	return receive(c, to, body)
}

// receive waits a second for body from a peer.
func receive(c *net.UDPConn, from netip.AddrPort, body string) error {
	buf := make([]byte, 2048)
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	n, src, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		return err
	}
	if string(buf[:n]) != body || src != from {
		return fmt.Errorf("got %q from %v, want %q from %v", buf[:n], src, body, from)
	}
	return nil
}

// timedOut tells whether nothing came back.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// drain returns the packets from src that the reader got so far.
func (l *lab) drain(src netip.Addr) (list []seen) {
	for {
		select {
		case s := <-l.read:
			if len(s.packet) >= 40 && netip.AddrFrom16([16]byte(s.packet[8:24])) == src {
				list = append(list, s)
			}
		default:
			return list
		}
	}
}

func counter(t *testing.T, s *Steering, name string) uint64 {
	t.Helper()
	all, err := s.Counters()
	if err != nil {
		t.Fatal(err)
	}
	n, found := all[name]
	if !found {
		t.Fatalf("no counter %q in %v", name, all)
	}
	return n
}
