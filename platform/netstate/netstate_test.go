package netstate

import (
	"net/netip"
	"slices"
	"testing"
)

func addr(s string) Addr { return Addr{Prefix: netip.MustParsePrefix(s)} }

func TestDefaultRoute(t *testing.T) {
	all := netip.MustParsePrefix("0.0.0.0/0")
	s := Snapshot{
		Links: []Link{{Index: 2, Name: "eth0", Up: true}, {Index: 3, Name: "eth1"}, {Index: 4, Name: "wlan0", Up: true}},
		Routes: []Route{
			{Dst: all, Link: 9, Metric: 0}, // a link that is not there
			{Dst: all, Link: 3, Metric: 1}, // down
			{Dst: all, Link: 2, Metric: 5, Reject: true},
			{Dst: all, Link: 4, Metric: 600},
			{Dst: all, Link: 2, Metric: 100},
			{Dst: netip.MustParsePrefix("10.0.0.0/8"), Link: 2},
		},
	}
	if r, ok := s.Default(false); !ok || r.Link != 2 || r.Metric != 100 {
		t.Errorf("IPv4 default = %+v, %v", r, ok)
	}
	if r, ok := s.Default(false, 2); !ok || r.Link != 4 {
		t.Errorf("without eth0: %+v, %v", r, ok)
	}
	if r, ok := s.Default(true); ok {
		t.Errorf("IPv6 default = %+v, want none", r)
	}
}

func TestWhichAddressesCount(t *testing.T) {
	l := Link{Addrs: []Addr{addr("fe80::1/64"), addr("2001:db8::1/64"), addr("::1/128"), addr("169.254.1.1/16"), addr("192.0.0.3/32"), addr("127.0.0.1/8"), addr("192.0.2.7/24"),
		{Prefix: netip.MustParsePrefix("2001:db8::2/64"), Tentative: true}, {Prefix: netip.MustParsePrefix("2001:db8::3/64"), DADFailed: true}}}
	text := func(list []Addr) (out []string) {
		for _, a := range list {
			out = append(out, a.Prefix.Addr().String())
		}
		return out
	}
	if got := text(l.Global6()); !slices.Equal(got, []string{"2001:db8::1", "2001:db8::2"}) {
		t.Errorf("Global6 = %v", got)
	}
	if got := text(l.Usable6()); !slices.Equal(got, []string{"2001:db8::1"}) {
		t.Errorf("Usable6 = %v", got)
	}
	if got := text(l.Native4()); !slices.Equal(got, []string{"192.0.2.7"}) {
		t.Errorf("Native4 = %v", got)
	}
	if len(l.Addrs) != 9 {
		t.Error("the link was changed")
	}
}

func TestResolversOver(t *testing.T) {
	six, four, local := netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("127.0.0.53")
	s := Snapshot{Resolvers: []netip.Addr{six, four, local}}
	if got := s.ResolversOver(Link{Addrs: []Addr{addr("2001:db8::1/64")}}); !slices.Equal(got, []netip.Addr{six, local}) {
		t.Errorf("over IPv6 alone: %v", got)
	}
	if got := s.ResolversOver(Link{Addrs: []Addr{addr("192.0.2.7/24")}}); !slices.Equal(got, []netip.Addr{six, four, local}) {
		t.Errorf("with IPv4: %v", got)
	}
}

func TestWhereRoutersAre(t *testing.T) {
	tests := map[string]struct {
		l    Link
		want bool
	}{
		"ethernet":               {Link{Up: true, Ethernet: true}, true},
		"ethernet that is down":  {Link{Ethernet: true}, false},
		"loopback":               {Link{Up: true, Loopback: true}, false},
		"a CLAT's TUN":           {Link{Up: true, Tunnel: true, Addrs: []Addr{addr("192.0.0.3/32")}}, false},
		"a tunnel that has IPv6": {Link{Up: true, Tunnel: true, Addrs: []Addr{addr("fe80::1/64")}}, true},
	}
	for name, tt := range tests {
		if got := tt.l.MayHaveRouter(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestGateways(t *testing.T) {
	all4, all6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	router, home := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("192.0.2.1")
	s := Snapshot{Routes: []Route{
		{Dst: all6, Gateway: router, Link: 2}, {Dst: all6, Gateway: router, Link: 2, Metric: 5}, {Dst: all4, Gateway: home, Link: 2},
		{Dst: all4, Link: 2}, // a tunnel's
		{Dst: all6, Gateway: netip.MustParseAddr("fe80::2"), Link: 3}, {Dst: all6, Gateway: netip.MustParseAddr("fe80::3"), Link: 2, Reject: true},
		{Dst: netip.MustParsePrefix("2001:db8::/32"), Gateway: netip.MustParseAddr("fe80::4"), Link: 2},
	}}
	if got := s.Gateways(2); !slices.Equal(got, []netip.Addr{router, home}) {
		t.Errorf("got %v, want the default routers of link 2", got)
	}
}
