package bpf

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// TestSteering goes through one life of a Steering per mode: a step builds on
// the neighbours and counters of the ones before.
func TestSteering(t *testing.T) {
	for _, m := range []Mode{TCX, Clsact} {
		t.Run(m.String(), func(t *testing.T) {
			l := newLab(t, "")
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
				{"frames with a VLAN tag", taggedFrames},
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
		for _, h := range hooks(index) {
			if n := tcxPrograms(t, l, h); n != 0 {
				t.Errorf("%v: %d tcx programs are left", h, n)
			}
		}
		l.client.do(func() {
			for _, h := range hooks(index) {
				if f, err := netlink.FilterList(byIndex(index), h.parent()); err != nil || len(f) != 0 {
					t.Errorf("%v: filters %v are left (error %v)", h, f, err)
				}
			}
			if hasClsact(t, index) {
				t.Errorf("interface %d: the clsact qdisc is left", index)
			}
		})
	}
}

func tcxPrograms(t *testing.T, l *lab, h hook) (n int) {
	t.Helper()
	where := ebpf.AttachTCXIngress
	if h.egress {
		where = ebpf.AttachTCXEgress
	}
	l.client.do(func() {
		r, err := link.QueryPrograms(link.QueryOptions{Target: h.index, Attach: where})
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
	l := newLab(t, "nodad")
	l.openTUN(t)
	s := l.attach(t, l.config(Auto))
	if s.Mode() != "tcx" {
		t.Errorf("mode %q, want tcx", s.Mode())
	}
	if n := tcxPrograms(t, l, hook{index: l.uplink}); n != 1 {
		t.Errorf("%d tcx programs on the uplink, want 1", n)
	}
}

// TestBothOrNone: the uplink does not exist, so the TUN's program must go again.
func TestBothOrNone(t *testing.T) {
	l := newLab(t, "nodad")
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
			l := newLab(t, "nodad")
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
		"no TUN":                       func(c *Config) { c.TUN = 0 },
		"no uplink":                    func(c *Config) { c.Uplink = -1 },
		"TUN is the uplink":            func(c *Config) { c.Uplink = c.TUN },
		"no address":                   func(c *Config) { c.CLAT6 = netip.Addr{} },
		"IPv4 address":                 func(c *Config) { c.CLAT6 = netip.MustParseAddr("192.0.0.1") },
		"mapped address":               func(c *Config) { c.CLAT6 = netip.MustParseAddr("::ffff:192.0.0.1") },
		"link-local address":           func(c *Config) { c.CLAT6 = netip.MustParseAddr("fe80::1") },
		"address with a zone":          func(c *Config) { c.CLAT6 = c.CLAT6.WithZone("up0") },
		"multicast address":            func(c *Config) { c.CLAT6 = netip.MustParseAddr("ff02::1") },
		"unspecified address":          func(c *Config) { c.CLAT6 = netip.IPv6Unspecified() },
		"no prefix":                    func(c *Config) { c.Prefixes = nil },
		"empty prefix":                 func(c *Config) { c.Prefixes = []nat64.Prefix{{}} },
		"five prefixes":                func(c *Config) { c.Prefixes = make([]nat64.Prefix, 5) },
		"mode that is not one":         func(c *Config) { c.Mode = 3 },
		"next hop of IPv4":             func(c *Config) { c.NextHop = netip.MustParseAddr("192.0.2.1") },
		"next hop with a zone":         func(c *Config) { c.NextHop = netip.MustParseAddr("fe80::1%up0") },
		"another prefix to translate":  func(c *Config) { c.Translate = &siit.Config{Prefix: nat64.WellKnown(), CLAT6: labCLAT} },
		"another address to translate": func(c *Config) { c.Translate = &siit.Config{Prefix: labPrefix, CLAT6: labHost} },
		"nothing else to translate":    func(c *Config) { c.Translate = &siit.Config{Prefix: labPrefix, CLAT6: labCLAT} },
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
