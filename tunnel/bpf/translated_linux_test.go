package bpf

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/tunnel/siit"
)

// The lab with translation: the client also has 192.0.0.3 on clat0 and a route to
// 198.51.100.10 over it, and its programs use IPv4 as if there was nothing else.
var (
	labCLAT4   = netip.MustParseAddr("192.0.0.3")
	labServer4 = netip.MustParseAddr("198.51.100.10")
)

func (l *lab) translating(m Mode) Config {
	c := l.config(m)
	c.Translate = &siit.Config{Prefix: labPrefix, CLAT4: labCLAT4, CLAT6: labCLAT, MTU4: 1480, MTU6: 1500}
	return c
}

// newTranslatingLab has the network cards' checksums computed in software, so that
// the other side looks at them.
func newTranslatingLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t, "nodad")
	l.openTUN(t)
	l.client.run(t, "ip addr add 192.0.0.3/32 dev clat0")
	l.client.run(t, "ip route add 198.51.100.10 dev clat0 src 192.0.0.3")
	l.client.checksumsBy(t, "up0", software)
	l.server.checksumsBy(t, "srv0", software)
	return l
}

// Who computes checksums, ETHTOOL_STXCSUM.
const software, hardware = 0, 1

// checksumsBy says who computes those of a device (ioctl SIOCETHTOOL).
func (s *space) checksumsBy(t *testing.T, device string, who uint32) {
	t.Helper()
	value := struct{ command, data uint32 }{unix.ETHTOOL_STXCSUM, who}
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		rest [16]byte
	}
	copy(request.name[:], device)
	request.data = unsafe.Pointer(&value)
	var errno unix.Errno
	s.do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			errno = unix.EIO
			return
		}
		defer unix.Close(fd)
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	})
	if errno != 0 {
		t.Fatalf("set checksums of %s: %v", device, errno)
	}
}

// dial4 opens an IPv4 socket of the client to the server.
func (l *lab) dial4(t *testing.T, network string, port string) (c net.Conn) {
	t.Helper()
	var err error
	l.client.do(func() { c, err = net.DialTimeout(network, net.JoinHostPort(labServer4.String(), port), 5*time.Second) })
	if err != nil {
		t.Fatalf("connect to the server over IPv4: %v; %v", err, c)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echoServer sends UDP back from the server's IPv6 address.
func echoServer(t *testing.T, l *lab, port uint16) {
	t.Helper()
	c := l.server.listen(t, labServer, port)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
}

// back sends body and wants it back within a second.
func back(c net.Conn, body string) error {
	if _, err := c.Write([]byte(body)); err != nil {
		return err
	}
	buf := make([]byte, 65536)
	c.SetReadDeadline(time.Now().Add(time.Second))
	n, err := c.Read(buf)
	if err == nil && string(buf[:n]) != body {
		err = errors.New("other bytes came back")
	}
	return err
}

// moved returns by how much counters moved in f, those that did not left out.
func moved(t *testing.T, s *Steering, f func()) map[string]uint64 {
	t.Helper()
	before := show(s)
	f()
	out := show(s)
	for k := range out {
		if out[k] -= before[k]; out[k] == 0 {
			delete(out, k)
		}
	}
	return out
}

// TestTranslation goes through one life of a Steering that translates, per mode.
func TestTranslation(t *testing.T) {
	for _, m := range []Mode{TCX, Clsact} {
		t.Run(m.String(), func(t *testing.T) {
			l := newTranslatingLab(t)
			s := l.attach(t, l.translating(m))
			echoServer(t, l, 4000)
			for _, step := range []struct {
				name string
				run  func(t *testing.T, l *lab, s *Steering)
			}{
				{"first packet, no neighbour known", firstTranslated},
				{"echo", pinged},
				{"what is left to the reader", leftToReader},
				{"TCP with checksums that are looked at", tcpBothWays},
				{"TCP super-packets both ways", superBothWays},
				{"a flow stays behind its odd packets", staysBehind},
				{"other programs", otherPrograms},
				{"changed while it runs", changed},
			} {
				if !t.Run(step.name, func(t *testing.T) { step.run(t, l, s) }) {
					t.Logf("counters: %v", show(s))
				}
			}
			l.client.do(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			wantNothingLeft(t, l, l.uplink, l.tun.Index())
		})
	}
}

// TestRawIPUplinkTranslates takes a second TUN for a modem: packets without Ethernet.
func TestRawIPUplinkTranslates(t *testing.T) {
	for _, m := range []Mode{TCX, Clsact} {
		t.Run(m.String(), func(t *testing.T) {
			l := newTranslatingLab(t)
			var modem *tun.Device
			var err error
			if l.client.do(func() { modem, err = tun.Open("wwan0") }); err != nil {
				t.Fatal(err)
			}
			l.client.run(t, "ip link set wwan0 addrgenmode none")
			l.client.run(t, "ip link set wwan0 up")
			c := l.translating(m)
			c.Uplink, c.Ethernet = modem.Index(), false
			s := l.attach(t, c)
			ended := make(chan struct{})
			go func() { // the network behind the modem sends everything back
				defer close(ended)
				buf := make([]byte, tun.MaxPacket)
				for {
					h, n, err := modem.ReadPacket(buf)
					if err != nil {
						return
					}
					if n < 48 || buf[0]>>4 != 6 || netip.AddrFrom16([16]byte(buf[24:40])) != labServer {
						continue
					}
					answer := turned(buf[:n])
					if modem.WritePacket(h, answer[:40], answer[40:]) != nil {
						return
					}
				}
			}()
			t.Cleanup(func() { modem.Close(); <-ended })
			got := moved(t, s, func() {
				if err := back(l.dial4(t, "udp4", "7"), "through the modem"); err != nil {
					t.Errorf("%v; counters %v", err, show(s))
				}
			})
			if got["4to6-translated"] != 1 || got["6to4-translated"] != 1 {
				t.Errorf("counters moved by %v, want one packet translated each way", got)
			}
		})
	}
}

// TestNextHopIsTaken: a wrong one loses packets, unless routing policy leaves the
// choice to the kernel.
func TestNextHopIsTaken(t *testing.T) {
	l := newTranslatingLab(t)
	echoServer(t, l, 4000)
	c := l.translating(TCX)
	s := l.attach(t, c)
	conn := l.dial4(t, "udp4", "4000")
	for _, step := range []struct {
		name, router, rule string
		comes              bool
	}{
		{"looked up", "", "", true},
		{"the router", "2001:db8:1::2", "", true},
		{"nobody", "2001:db8:1::99", "", false},
		{"nobody, but there is policy routing", "2001:db8:1::99", "ip -6 rule add from 2001:db8:1::77 lookup 77", true},
	} {
		if step.rule != "" {
			l.client.run(t, step.rule)
		}
		next := c
		next.NextHop, _ = netip.ParseAddr(step.router)
		l.client.do(func() {
			if err := s.Change(next); err != nil {
				t.Error(err)
			}
		})
		if err := back(conn, step.name); (err == nil) != step.comes {
			t.Errorf("%s: %v, want an answer: %v", step.name, err, step.comes)
		}
	}
}
