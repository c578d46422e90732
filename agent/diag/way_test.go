package diag

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
)

func TestWayOfAPacket(t *testing.T) {
	own6, own4 := netip.MustParseAddr("2001:db8:1::2"), netip.MustParseAddr("192.0.2.7")
	source := func(to netip.Addr) netip.Addr {
		if to.Is4() {
			return own4
		}
		return own6
	}
	four := func(s *Evidence, link int) {
		s.Net.Routes = append(s.Net.Routes, netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: link})
	}
	tests := map[string]struct {
		change func(e *Evidence)
		to     string
		path   string
		route  string
		says   string
		packet []string // where, from, to
	}{
		"through our CLAT": {func(*Evidence) {}, "198.51.100.10", "clat", "198.51.100.10/32 dev clat0", "reach64's CLAT", []string{
			"clat0 192.0.0.3 198.51.100.10", "eth0 2001:db8:1:0:2c1:a700:0:e883 2001:db8:64::c633:640a", "behind the NAT64 ? 198.51.100.10"}},
		"through the relay": {func(e *Evidence) {
			e.Service.Status.CLAT.IPv6, e.Service.Status.Datapath = nil, status.Ptr("relay")
		}, "198.51.100.10", "relay", "198.51.100.10/32 dev clat0", "this machine's own address", []string{
			"clat0 192.0.0.3 198.51.100.10", "eth0 2001:db8:1::2 2001:db8:64::c633:640a", "behind the NAT64 ? 198.51.100.10"}},
		"IPv6 through the NAT64": {func(*Evidence) {}, "2001:db8:64::c633:640a", "synthesized", "::/0 via fe80::1 dev eth0", "NAT64, which makes IPv4", []string{
			"eth0 2001:db8:1::2 2001:db8:64::c633:640a", "behind the NAT64 ? 198.51.100.10"}},
		"native IPv6": {func(*Evidence) {}, "2001:db8:ffff::1", "native", "::/0 via fe80::1 dev eth0", "native IPv6", []string{"eth0 2001:db8:1::2 2001:db8:ffff::1"}},
		"no route":    {func(*Evidence) {}, "203.0.113.1", "none", "", "no route", nil},
		"native IPv4": {func(e *Evidence) {
			e.Net.Links[1].Addrs = append(e.Net.Links[1].Addrs, netstate.Addr{Prefix: netip.MustParsePrefix("192.0.2.7/24")})
			four(e, 2)
		}, "203.0.113.1", "native", "0.0.0.0/0 dev eth0", "native IPv4", []string{"eth0 192.0.2.7 203.0.113.1"}},
		"a VPN": {func(e *Evidence) {
			e.Net.Links = append(e.Net.Links, netstate.Link{Index: 9, Name: "vpn0", Up: true, Tunnel: true, Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("10.9.0.2/24")}}})
			four(e, 9)
		}, "203.0.113.1", "native", "0.0.0.0/0 dev vpn0", "tunnel vpn0", []string{"vpn0 192.0.2.7 203.0.113.1"}},
		"another CLAT": {func(e *Evidence) {
			e.Net.Links = append(e.Net.Links, netstate.Link{Index: 9, Name: "v4-eth0", Up: true, Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("192.0.0.4/32")}}})
			e.Foreign = &Foreign{Name: "an Android-like CLAT", Link: "v4-eth0"}
			four(e, 9)
		}, "203.0.113.1", "clat", "0.0.0.0/0 dev v4-eth0", "an Android-like CLAT on v4-eth0", []string{"v4-eth0 192.0.2.7 203.0.113.1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := well()
			tt.change(e)
			w := e.WayTo(netip.MustParseAddr(tt.to), source)
			var packet []string
			for _, s := range w.Packet {
				packet = append(packet, s.Where+" "+orElse(text(s.Source), "?")+" "+s.Destination)
			}
			if text(w.Path) != tt.path || text(w.Route) != tt.route || !strings.Contains(w.Sentence, tt.says) {
				t.Errorf("path %s, route %q, %q", text(w.Path), text(w.Route), w.Sentence)
			}
			if d := cmp.Diff(tt.packet, packet); d != "" {
				t.Errorf("packet (-want +got):\n%s", d)
			}
		})
	}
}
