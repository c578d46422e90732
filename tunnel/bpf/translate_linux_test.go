package bpf

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/packets"
	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// The kernel's test runner wants an EtherType at bytes 12 and 13 of what goes without
// an Ethernet header: the first half of the CLAT's IPv4 address, and bytes 4 and 5 of
// the peer's IPv6 address.
var clat4ForTest = netip.MustParseAddr("8.0.0.5")

// scene is one pair of sides to translate between.
type scene struct {
	name  string
	peer4 string
	conf  siit.Config
}

// scenes are all lengths of prefixes, with addresses that are neutral to checksums
// where there are such, and not, and all policies.
func scenes() (list []scene) {
	for _, s := range []struct{ prefix, peer4 string }{
		{"2001:db9::/32", "134.221.64.7"},
		{"2001:db9:8600::/40", "221.51.100.7"},
		{"2001:db9:86dd::/48", "8.8.100.7"},
		{"2001:db9:86dd:300::/56", "8.8.100.7"},
		{"2001:db9:86dd:344::/64", "8.8.100.7"},
		{"2001:db8:86dd:ff9b::/96", "198.51.100.10"},
		{"64:ff9b::/96", "8.8.100.7"},
	} {
		p := nat64.MustParse(s.prefix)
		plain := siit.Config{Prefix: p, CLAT4: clat4ForTest, CLAT6: netip.MustParseAddr(clatText), MTU4: 1480, MTU6: 1500}
		list = append(list, scene{s.prefix, s.peer4, plain})
		if six, neutral := siit.NeutralAddr(netip.MustParsePrefix("2001:db8:86dd:1::/64"), [6]byte{2, 0xc1, 0xa7, 9, 8, 7}, clat4ForTest, p); neutral {
			with := plain
			with.CLAT6 = six
			list = append(list, scene{s.prefix + ", neutral", s.peer4, with})
		}
	}
	wkp := list[len(list)-1]
	for _, n := range []nat64.NonGlobal{nat64.NonGlobalNever, nat64.NonGlobalAlways} {
		s := wkp
		s.name, s.conf.NonGlobal = s.name+", non-global "+n.String(), n
		list = append(list, s)
	}
	servers := wkp
	servers.name += ", servers that are not global"
	for _, a := range []string{"198.51.100.10", "169.254.1.1", "192.0.2.33", "192.0.0.7", "10.1.2.3"} {
		servers.conf.AlwaysAllow = append(servers.conf.AlwaysAllow, netip.MustParseAddr(a))
	}
	small := list[2]
	small.name += ", small MTU, no DSCP"
	small.conf.MTU6, small.conf.MTU4, small.conf.ClearDSCP = 1300, 1280, true
	return append(list, servers, small)
}

func (s scene) sides() packets.Sides {
	p := netip.MustParseAddr(s.peer4)
	return packets.Sides{CLAT4: s.conf.CLAT4, CLAT6: s.conf.CLAT6, Peer4: p, Peer6: s.conf.Prefix.Embed(p), MTU6: s.conf.MTU6}
}

func (s scene) load(t testing.TB, ethernet bool) *programs {
	t.Helper()
	p, err := load(Config{TUN: 1, Uplink: 2, Ethernet: ethernet, CLAT6: s.conf.CLAT6, Prefixes: []nat64.Prefix{s.conf.Prefix}, Translate: &s.conf}, nil)
	if err != nil {
		t.Fatalf("%s: %+v", s.name, err)
	}
	t.Cleanup(func() { p.close() })
	return p
}

// forget has programs that are loaded from now on not keep packets back for the sake
// of those before, till the test ends.
func forget(t testing.TB) {
	before := pauseJiffies
	pauseJiffies = 0
	t.Cleanup(func() { pauseJiffies = before })
}

// run gives a packet to a program and returns its verdict and the packet afterwards,
// without Ethernet header. l2 says whether it has one before and after.
func run(t testing.TB, p *ebpf.Program, pkt []byte, before, after bool) (verdict uint32, out []byte) {
	t.Helper()
	data := pkt
	if before {
		data = frame(0x86dd, pkt)
	}
	opts := ebpf.RunOptions{Data: data, DataOut: make([]byte, len(data)+256)}
	verdict, err := p.Run(&opts)
	if err != nil {
		t.Fatalf("run with % x: %v", data, err)
	}
	if out = opts.DataOut; after {
		out = out[14:]
	}
	return verdict, out
}

// expect is siit's only packet, if it translates without more ado.
func expect(t testing.TB, conf siit.Config, pkt []byte) (want []byte, v siit.Verdict) {
	t.Helper()
	tr, err := siit.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	b := siit.NewBatch()
	_, v = tr.Translate(b, vnethdr.Header{}, pkt)
	if ps := b.Packets(); v == siit.OK && len(ps) == 1 {
		want = append(bytes.Clone(ps[0].Head), ps[0].Tail...)
	}
	return want, v
}

// compare says how what a program made differs from what siit makes. An Identification
// that nobody will use to reassemble may be any.
func compare(want, got []byte) string {
	want, got = bytes.Clone(want), bytes.Clone(got)
	if len(want) >= 20 && want[0] == 0x45 && want[6]&0x40 == 0 && len(got) == len(want) {
		if packets.Checksum(got[:20]) != 0 {
			return fmt.Sprintf("the header checksum of % x is wrong", got[:20])
		}
		clear(want[4:6])
		clear(want[10:12])
		clear(got[4:6])
		clear(got[10:12])
	}
	// A checksum of ffff stays so where siit makes 0 of it, the same number in one's
	// complement.
	for _, tcp := range []struct{ proto, at int }{{6, 40}, {9, 20}} {
		if at := tcp.at + 16; len(want) == len(got) && len(want) > at+1 && want[tcp.proto] == packets.TCP && (want[0]>>4 == 6) == (tcp.at == 40) &&
			string(want[at:at+2]) == "\x00\x00" && string(got[at:at+2]) == "\xff\xff" {
			clear(got[at : at+2])
		}
	}
	return cmp.Diff(hex.Dump(want), hex.Dump(got))
}

// TestEgressMakesSIITsPackets gives every packet that a host may send to the programs
// and to siit: the same comes out, or it is left to the reader as it is.
func TestEgressMakesSIITsPackets(t *testing.T) {
	needRoot(t)
	forget(t)
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			corpus := s.sides().From4()
			for _, ethernet := range []bool{true, false} {
				p := s.load(t, ethernet)
				translated := 0
				for _, c := range corpus {
					if len(c.Bytes) < 14 || string(c.Bytes[12:14]) != "\x08\x00" {
						continue // the test runner would not take it for IPv4
					}
					pkt := bare(bytes.Clone(c.Bytes))
					verdict, got := run(t, p.out, pkt, false, false)
					want, v := expect(t, s.conf, pkt)
					switch {
					case verdict == redirect:
						translated++
						if ethernet {
							got = got[14:]
						}
						if want == nil {
							t.Fatalf("Ethernet %v, %s: it was translated, siit says %v\n% x", ethernet, c.Name, v, c.Bytes)
						}
						if d := compare(want, got); d != "" {
							t.Fatalf("Ethernet %v, %s (-siit +bpf):\n%s", ethernet, c.Name, d)
						}
					case verdict != next || !bytes.HasPrefix(pkt, got):
						t.Fatalf("Ethernet %v, %s: verdict %d and % x of % x", ethernet, c.Name, int32(verdict), got, c.Bytes)
					case c.Plain && want != nil:
						t.Errorf("Ethernet %v, %s: it was left to the reader\n% x", ethernet, c.Name, c.Bytes)
					}
				}
				t.Logf("Ethernet %v: %d of %d packets translated", ethernet, translated, len(corpus))
			}
		})
	}
}

// TestIngressMakesSIITsPackets does the same with what comes from the network.
func TestIngressMakesSIITsPackets(t *testing.T) {
	needRoot(t)
	forget(t)
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			corpus := s.sides().From6(s.conf.Prefix.Embed)
			for _, ethernet := range []bool{true, false} {
				p := s.load(t, ethernet)
				translated := 0
				for _, c := range corpus {
					if len(c.Bytes) < 40 || !ethernet && string(c.Bytes[12:14]) != "\x86\xdd" {
						continue // the test runner would not take it for IPv6
					}
					pkt := c.Bytes
					if !ethernet {
						pkt = bare(bytes.Clone(pkt))
					}
					verdict, got := run(t, p.uplink, pkt, ethernet, ethernet)
					want, v := expect(t, s.conf, pkt)
					switch {
					case verdict == redirect && !bytes.HasPrefix(pkt, got):
						translated++
						if want == nil {
							t.Fatalf("Ethernet %v, %s: it was translated, siit says %v\n% x", ethernet, c.Name, v, c.Bytes)
						}
						if d := compare(want, got); d != "" {
							t.Fatalf("Ethernet %v, %s (-siit +bpf):\n%s", ethernet, c.Name, d)
						}
					case verdict != next && verdict != redirect || !bytes.HasPrefix(pkt, got):
						t.Fatalf("Ethernet %v, %s: verdict %d and % x of % x", ethernet, c.Name, int32(verdict), got, c.Bytes)
					case c.Plain && want != nil:
						t.Errorf("Ethernet %v, %s: it was left to the reader\n% x", ethernet, c.Name, c.Bytes)
					}
				}
				t.Logf("Ethernet %v: %d of %d packets translated", ethernet, translated, len(corpus))
			}
		})
	}
}

// skbContext is struct __sk_buff, as far as the test runner takes it in.
type skbContext struct {
	_       [164]byte
	GSOSegs uint32
	_       [8]byte
	GSOSize uint32
	_       [12]byte
}

// TestSuperPacketsFitBySegments: what counts is the size of the segments. The lab
// shows that they stay whole on the way.
func TestSuperPacketsFitBySegments(t *testing.T) {
	needRoot(t)
	s := scenes()[7]
	if s.name != "2001:db8:86dd:ff9b::/96, neutral" { // a partial checksum does not change there
		t.Fatalf("scene %s", s.name)
	}
	forget(t)
	p := s.load(t, true)
	sides := s.sides()
	for _, tt := range []struct {
		name   string
		packet []byte
		size   uint32
		noDF   bool
		want   bool
	}{
		{"TCP up, segments of the MTU", sides.Four(packets.TCP, 0, 3000), 1440, false, true},
		{"TCP up, segments too large by one", sides.Four(packets.TCP, 0, 3000), 1441, false, false},
		{"TCP up without DF, segments that fit 1280 bytes", sides.Four(packets.TCP, 0, 3000), 1220, true, true},
		{"TCP up without DF, segments to be fragmented", sides.Four(packets.TCP, 0, 3000), 1221, true, false},
		{"UDP up, segments of the MTU", sides.Four(packets.UDP, 0, 3000), 1452, false, true},
		{"UDP up, segments too large by one", sides.Four(packets.UDP, 0, 3000), 1453, false, false},
		{"TCP down, segments of the MTU", sides.Six(packets.TCP, 0, 3000), 1440, false, true},
		{"TCP down, segments too large by one", sides.Six(packets.TCP, 0, 3000), 1441, false, false},
		{"UDP down, segments of the MTU", sides.Six(packets.UDP, 0, 3000), 1452, false, true},
		{"TCP down, small segments", sides.Six(packets.TCP, 0, 3000), 536, false, true},
	} {
		pkt, program, version := tt.packet, p.uplink, byte(4)
		h := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOTCPv6, GSOSize: uint16(tt.size), CsumStart: 40, CsumOffset: 16}
		opts := ebpf.RunOptions{Data: frame(0x86dd, pkt)}
		if pkt[0]>>4 == 4 {
			program, version, h.GSOType, h.CsumStart = p.out, 6, vnethdr.GSOTCPv4, 20
			if tt.noDF {
				pkt[6] = 0
				packets.Seal4(pkt)
			}
			opts.Data = pkt
		}
		if pkt[6] == packets.UDP || pkt[0]>>4 == 4 && pkt[9] == packets.UDP {
			h.GSOType, h.CsumOffset = vnethdr.GSOUDPL4, 6
		}
		opts.DataOut = make([]byte, len(pkt)+256)
		opts.Context = &skbContext{GSOSegs: uint32(len(pkt)) / tt.size, GSOSize: tt.size}
		if _, err := program.Run(&opts); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		translated := opts.DataOut[14]>>4 == version && len(opts.DataOut) != len(opts.Data)
		if translated != tt.want {
			t.Errorf("%s: translated %v, want %v", tt.name, translated, tt.want)
		}
		if !translated {
			continue
		}
		tr, err := siit.New(s.conf)
		if err != nil {
			t.Fatal(err)
		}
		b := siit.NewBatch()
		if _, v := tr.Translate(b, h, pkt); v != siit.OK || len(b.Packets()) != 1 {
			t.Fatalf("%s: siit says %v", tt.name, v)
		}
		one := b.Packets()[0]
		if d := compare(append(bytes.Clone(one.Head), one.Tail...), opts.DataOut[14:]); d != "" {
			t.Errorf("%s (-siit +bpf):\n%s", tt.name, d)
		}
	}
}

// TestNothingIsOvertaken: behind a packet that only the reader can translate go all of
// that peer and protocol, and no others.
func TestNothingIsOvertaken(t *testing.T) {
	needRoot(t)
	s := scenes()[7]
	sides := s.sides()
	other := sides
	other.Peer4 = netip.MustParseAddr("8.8.4.4")
	other.Peer6 = s.conf.Prefix.Embed(other.Peer4)
	atomic := func(p []byte) []byte { // behind a Fragment Header
		out := append(append(bytes.Clone(p[:40]), p[6], 0, 0, 0, 0, 0, 0, 7), p[40:]...)
		out[6], out[5] = 44, out[5]+8
		return out
	}
	noDF := func(p []byte) []byte { p[6] = 0; return packets.Seal4(p) }
	zero := func(p []byte) []byte { p[len(p)-100-2], p[len(p)-100-1] = 0, 0; return p }
	answered := func(p []byte) []byte { p[8] = 1; return packets.Seal4(p) }
	for _, tt := range []struct {
		name       string
		six        bool
		odd        []byte
		keeps      bool
		kept, free []byte
	}{
		{"UDP without checksum", false, zero(sides.Four(packets.UDP, 0, 100)), true, sides.Four(packets.UDP, 0, 100), sides.Four(packets.TCP, 0, 100)},
		{"TCP to be fragmented", false, noDF(sides.Four(packets.TCP, 0, 1400)), true, sides.Four(packets.TCP, 0, 100), sides.Four(packets.UDP, 0, 100)},
		{"UDP to another", false, zero(sides.Four(packets.UDP, 0, 100)), true, sides.Four(packets.UDP, 0, 100), other.Four(packets.UDP, 0, 100)},
		{"what is only answered", false, answered(sides.Four(packets.UDP, 0, 100)), false, sides.Four(packets.UDP, 0, 100), nil},
		{"UDP behind a Fragment Header", true, atomic(sides.Six(packets.UDP, 0, 100)), true, sides.Six(packets.UDP, 0, 100), sides.Six(packets.TCP, 0, 100)},
		{"echo behind a Fragment Header", true, atomic(sides.Six(packets.ICMPv6, 129, 100)), true, sides.Six(packets.ICMPv6, 129, 100), other.Six(packets.ICMPv6, 129, 100)},
	} {
		p := s.load(t, true) // remembers nothing yet
		way := func(pkt []byte) (translated bool) {
			if tt.six {
				_, got := run(t, p.uplink, pkt, true, true)
				return !bytes.Equal(got, pkt)
			}
			verdict, _ := run(t, p.out, pkt, false, false)
			return verdict == redirect
		}
		if !way(tt.kept) {
			t.Errorf("%s: a plain packet before it was left to the reader", tt.name)
		}
		if way(tt.odd) {
			t.Errorf("%s: it was translated", tt.name)
		}
		for range 2 {
			if way(tt.kept) == tt.keeps {
				t.Errorf("%s: what follows is kept behind it: %v, want %v", tt.name, !tt.keeps, tt.keeps)
			}
		}
		if tt.free != nil && !way(tt.free) {
			t.Errorf("%s: another flow was kept behind it", tt.name)
		}
	}
}
