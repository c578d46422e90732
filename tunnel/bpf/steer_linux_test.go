package bpf

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/resolver/nat64"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && children[os.Args[1]] != nil {
		children[os.Args[1]](os.Args[2:])
		return
	}
	goleak.VerifyTestMain(m)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads BPF programs and makes network namespaces")
	}
}

// Verdicts of a program, Linux include/uapi/linux/pkt_cls.h.
const (
	next     = ^uint32(0) // TC_ACT_UNSPEC
	shot     = 2
	redirect = 7
)

// The kernel's test runner reads the EtherType at bytes 12 and 13, whatever the
// program takes for the begin of the packet. In a bare IPv6 packet these are
// bytes 4 and 5 of the source, so all sources here hold 86dd there.
const (
	clatText   = "2001:db8:86dd:1::c1a7"
	inPrefix96 = "2001:db8:86dd:ff9b::c633:640a"
	prefix96   = "2001:db8:86dd:ff9b::/96"
	elsewhere  = "2001:db8:86dd:2::1"
)

// packet returns an IPv6 packet with the payload's first bytes.
func packet(src, dst string, next byte, payload ...byte) []byte {
	p := make([]byte, 40, 80)
	p[0], p[6], p[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
	copy(p[8:], netip.MustParseAddr(src).AsSlice())
	copy(p[24:], netip.MustParseAddr(dst).AsSlice())
	return append(p, payload...)
}

// frame puts an Ethernet header before a packet. The test runner's own address
// is all zero.
func frame(etherType uint16, p []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 12, 80), etherType), p...)
}

// bare pads a packet that goes without an Ethernet header: the test runner takes
// 14 bytes off and wants an IPv6 header in the rest.
func bare(p []byte) []byte { return append(p, make([]byte, max(0, 14+40-len(p)))...) }

func loadForTest(t *testing.T, ethernet bool, prefixes ...string) *programs {
	t.Helper()
	c := Config{TUN: 1, Uplink: 2, Ethernet: ethernet, CLAT6: netip.MustParseAddr(clatText)}
	for _, p := range prefixes {
		c.Prefixes = append(c.Prefixes, nat64.MustParse(p))
	}
	p, err := load(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.close() })
	return p
}

// classify runs the program once and returns its verdict and the counter that moved.
func classify(t *testing.T, p *programs, program *ebpf.Program, data []byte) (verdict uint32, counted string) {
	t.Helper()
	s := &Steering{loaded: p}
	before, err := s.counters()
	if err != nil {
		t.Fatal(err)
	}
	verdict, err = program.Run(&ebpf.RunOptions{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.counters()
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range after {
		if n != before[name] {
			counted += name
		}
	}
	return verdict, counted
}

func TestUplinkIngress(t *testing.T) {
	needRoot(t)
	const icmp, tcp, udp, fragment, hopByHop = 58, 6, 17, 44, 0
	clat := clatText
	cases := []struct {
		name    string
		packet  []byte
		verdict uint32
		counted string
	}{
		{"TCP from the NAT64", packet(inPrefix96, clat, tcp, 1, 2), redirect, "ingress-redirected"},
		{"UDP from the NAT64", packet(inPrefix96, clat, udp), redirect, "ingress-redirected"},
		{"fragment from the NAT64", packet(inPrefix96, clat, fragment, 6), redirect, "ingress-redirected"},
		{"echo reply from the NAT64", packet(inPrefix96, clat, icmp, 129), redirect, "ingress-redirected"},
		{"error from the NAT64", packet(inPrefix96, clat, icmp, 1), redirect, "ingress-redirected"},
		{"packet too big from a router", packet(elsewhere, clat, icmp, 2), redirect, "ingress-redirected"},
		{"time exceeded from a router", packet(elsewhere, clat, icmp, 3), redirect, "ingress-redirected"},
		{"parameter problem from a router", packet(elsewhere, clat, icmp, 4), redirect, "ingress-redirected"},
		{"unknown error type 5 from a router", packet(elsewhere, clat, icmp, 5), next, "ingress-passed-other"},
		{"echo request from elsewhere", packet(elsewhere, clat, icmp, 128), next, "ingress-passed-other"},
		{"MLD query", packet(elsewhere, clat, icmp, 130), next, "ingress-neighbour-discovery"},
		{"router advertisement", packet(elsewhere, clat, icmp, 134), next, "ingress-neighbour-discovery"},
		{"neighbour solicitation", packet(elsewhere, clat, icmp, 135), next, "ingress-neighbour-discovery"},
		{"neighbour advertisement", packet(elsewhere, clat, icmp, 136), next, "ingress-neighbour-discovery"},
		{"redirect message", packet(elsewhere, clat, icmp, 137), next, "ingress-neighbour-discovery"},
		{"type 138 is no neighbour discovery", packet(elsewhere, clat, icmp, 138), next, "ingress-passed-other"},
		{"MLDv2 report", packet(elsewhere, clat, icmp, 143), next, "ingress-neighbour-discovery"},
		{"neighbour advertisement from inside the prefix", packet(inPrefix96, clat, icmp, 136), next, "ingress-neighbour-discovery"},
		{"TCP from elsewhere", packet(elsewhere, clat, tcp), next, "ingress-passed-other"},
		{"source one bit outside the prefix", packet("2001:db8:86dd:ff9b:0:1:c633:640a", clat, tcp), next, "ingress-passed-other"},
		{"hop-by-hop options from elsewhere", packet(elsewhere, clat, hopByHop, 58), next, "ingress-passed-other"},
		{"from the NAT64 to the host's own address", packet(inPrefix96, "2001:db8:86dd:1::1", tcp), next, ""},
		{"destination one bit off", packet(inPrefix96, "2001:db8:86dd:1::c1a6", tcp), next, ""},
		{"solicitation to the group of the CLAT address", packet(elsewhere, "ff02::1:ff00:c1a7", icmp, 135), next, ""},
	}
	for _, ethernet := range []bool{true, false} {
		p := loadForTest(t, ethernet, prefix96)
		for _, c := range cases {
			data := bare(c.packet)
			if ethernet {
				data = frame(0x86dd, c.packet)
			}
			if verdict, counted := classify(t, p, p.uplink, data); verdict != c.verdict || counted != c.counted {
				t.Errorf("Ethernet %v, %s: verdict %d counted %q, want %d %q", ethernet, c.name, int32(verdict), counted, int32(c.verdict), c.counted)
			}
		}
	}
}

func TestUplinkIngressFrames(t *testing.T) {
	needRoot(t)
	p := loadForTest(t, true, prefix96)
	ours := packet(inPrefix96, clatText, 6, 1)
	other := frame(0x86dd, ours)
	copy(other, "\x02\x00\x00\x00\x00\x01")
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"IPv4", frame(0x0800, ours)},
		{"VLAN tag", frame(0x8100, append([]byte{0, 5, 0x86, 0xdd}, ours...))},
		{"for another station", other},
	} {
		if verdict, counted := classify(t, p, p.uplink, c.frame); verdict != next || counted != "" {
			t.Errorf("%s: verdict %d counted %q, want it left alone", c.name, int32(verdict), counted)
		}
	}
	typeless := frame(0x86dd, packet(inPrefix96, clatText, 58))
	if verdict, counted := classify(t, p, p.uplink, typeless); verdict != next || counted != "ingress-passed-other" {
		t.Errorf("ICMPv6 without a type: verdict %d counted %q, want it left to the kernel and counted", int32(verdict), counted)
	}
}

// TestPrefixLengths takes one source inside each prefix and one that differs in
// the last bit of the prefix (RFC 6052 section 2.2).
func TestPrefixLengths(t *testing.T) {
	needRoot(t)
	for _, c := range []struct{ prefix, inside, outside string }{
		{"2001:db8::/32", "2001:db8:c633:640a::", "2001:db9:c633:640a::"},
		{"2001:db8:100::/40", "2001:db8:1c6:3364:a::", "2001:db8:2c6:3364:a::"},
		{"2001:db8:122::/48", "2001:db8:122:c633:64:a00::", "2001:db8:123:c633:64:a00::"},
		{"2001:db8:122:300::/56", "2001:db8:122:3c6:33:640a::", "2001:db8:122:2c6:33:640a::"},
		{"2001:db8:122:344::/64", "2001:db8:122:344:c6:3364:a00::", "2001:db8:122:345:c6:3364:a00::"},
		{"2001:db8:122:344::/96", "2001:db8:122:344::c633:640a", "2001:db8:122:344:0:1:c633:640a"},
		{"64:ff9b::/96", "64:ff9b::c633:640a", "64:ff9b:1::c633:640a"},
	} {
		p := loadForTest(t, true, c.prefix)
		if got, _ := classify(t, p, p.uplink, frame(0x86dd, packet(c.inside, clatText, 6))); got != redirect {
			t.Errorf("%s, source %s: verdict %d, want redirect", c.prefix, c.inside, int32(got))
		}
		if got, _ := classify(t, p, p.uplink, frame(0x86dd, packet(c.outside, clatText, 6))); got != next {
			t.Errorf("%s, source %s: verdict %d, want it left to the kernel", c.prefix, c.outside, int32(got))
		}
	}
}

func TestSeveralPrefixes(t *testing.T) {
	needRoot(t)
	all := []string{"2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48", "64:ff9b::/96"}
	sources := []string{"2001:db8:1:c633:64:a00::", "2001:db8:2:c633:64:a00::", "2001:db8:3:c633:64:a00::", "64:ff9b::c633:640a"}
	for n := 1; n <= len(all); n++ {
		p := loadForTest(t, true, all[:n]...)
		for i, src := range append(sources, "::") { // :: is what an unused place would match
			want := uint32(next)
			if i < n {
				want = redirect
			}
			if got, _ := classify(t, p, p.uplink, frame(0x86dd, packet(src, clatText, 6))); got != want {
				t.Errorf("%d prefixes, source %s: verdict %d, want %d", n, src, int32(got), int32(want))
			}
		}
	}
}

func TestTUNIngress(t *testing.T) {
	needRoot(t)
	for _, ethernet := range []bool{true, false} {
		p := loadForTest(t, ethernet, prefix96)
		for _, c := range []struct {
			name    string
			packet  []byte
			verdict uint32
			counted string
		}{
			{"to the NAT64", packet(clatText, inPrefix96, 6, 1, 2), redirect, "egress-redirected"},
			{"to elsewhere", packet(clatText, elsewhere, 58, 1), redirect, "egress-redirected"},
			{"from another source", packet("2001:db8:86dd:1::1", inPrefix96, 6), shot, "egress-dropped"},
			{"to all nodes", packet(clatText, "ff02::1", 58, 135), shot, "egress-dropped"},
			{"to a global group", packet(clatText, "ff0e::1", 17), shot, "egress-dropped"},
			{"to link-local", packet(clatText, "fe80::1", 17), shot, "egress-dropped"},
			{"to the end of link-local", packet(clatText, "febf:ffff::1", 17), shot, "egress-dropped"},
			{"to what comes after link-local", packet(clatText, "fec0::1", 17), redirect, "egress-redirected"},
			{"to unique local", packet(clatText, "fd00::1", 17), redirect, "egress-redirected"},
		} {
			if verdict, counted := classify(t, p, p.tun, bare(c.packet)); verdict != c.verdict || counted != c.counted {
				t.Errorf("Ethernet %v, %s: verdict %d counted %q, want %d %q", ethernet, c.name, int32(verdict), counted, int32(c.verdict), c.counted)
			}
		}
		four := packet(clatText, inPrefix96, 6)
		four[0], four[12], four[13] = 0x45, 0x08, 0x00
		if verdict, counted := classify(t, p, p.tun, bare(four)); verdict != next || counted != "" {
			t.Errorf("Ethernet %v, IPv4: verdict %d counted %q, want it left to the kernel", ethernet, int32(verdict), counted)
		}
	}
}

// TestRoomForEthernetHeader: bpf_redirect_neigh loses packets without it.
func TestRoomForEthernetHeader(t *testing.T) {
	needRoot(t)
	in := bare(packet(clatText, inPrefix96, 6, 1, 2, 3, 4))
	for _, ethernet := range []bool{true, false} {
		p := loadForTest(t, ethernet, prefix96)
		out := make([]byte, 256)
		opts := ebpf.RunOptions{Data: in, DataOut: out}
		if _, err := p.tun.Run(&opts); err != nil {
			t.Fatal(err)
		}
		want := string(in)
		if ethernet {
			want = string(make([]byte, 14)) + want
		}
		if string(opts.DataOut) != want {
			t.Errorf("Ethernet %v: packet after the program % x, want % x", ethernet, opts.DataOut, want)
		}
	}
}
