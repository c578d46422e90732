package netmon

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestFullTunnelOfWgQuick: its default routes stand in a table of its own, which
// rules bring before the main one.
func TestFullTunnelOfWgQuick(t *testing.T) {
	m := start(t)
	a, b := pair(t)
	up(t, a, b)
	waitUp(t, m, "eth0")
	addr := func(l netlink.Link, text string) {
		t.Helper()
		x, err := netlink.ParseAddr(text)
		if err == nil {
			err = netlink.AddrAdd(l, x)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	addr(a, "192.0.2.7/24")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "wg0"
	wg := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN}
	if err := netlink.LinkAdd(wg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(wg) })
	up(t, wg)
	addr(wg, "10.9.0.2/32")
	_, all4, _ := net.ParseCIDR("0.0.0.0/0")
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: a.Attrs().Index, Dst: all4, Gw: net.ParseIP("192.0.2.1"), Priority: 100}); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	if r, ok := take(t, m).Default(false); !ok || r.Link != a.Attrs().Index {
		t.Fatalf("before: IPv4 default %+v, %v", r, ok)
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: wg.Index, Dst: all4, Table: 51820}); err != nil {
		t.Fatal(err)
	}
	mark := netlink.NewRule()
	mark.Family, mark.Mark, mark.Invert, mark.Table, mark.Priority = netlink.FAMILY_V4, 0xca6c, true, 51820, 32765
	main := netlink.NewRule()
	main.Family, main.Table, main.SuppressPrefixlen, main.Priority = netlink.FAMILY_V4, 254, 0, 32764
	for len(m.Changed()) > 0 { // of the route
		<-m.Changed()
	}
	for _, r := range []*netlink.Rule{mark, main} {
		if err := netlink.RuleAdd(r); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = netlink.RuleDel(r) })
	}
	told(t, m, "the rules")
	if r, ok := take(t, m).Default(false); !ok || r.Link != wg.Index || r.Gateway != (netip.Addr{}) {
		t.Errorf("IPv4 default %+v, %v; want the tunnel %d", r, ok, wg.Index)
	}
	if r, ok := take(t, m).Default(false, wg.Index); !ok || r.Link != a.Attrs().Index {
		t.Errorf("beside the tunnel: IPv4 default %+v, %v", r, ok)
	}
}
