package endpoint

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/scenario"
	"github.com/reach64/reach64/test/vnet"
)

// second is another network on another link, with the same prefix, as a Wi-Fi beside a dock.
func second() []Access {
	return []Access{{Link: "wlan0", Down: true, Options: vnet.Options{PIO: netip.MustParsePrefix("2001:db8:2::/64")}}}
}

// over wants the CLAT on a link.
func over(link string) func(status.Status) error {
	return func(st status.Status) error {
		return want("the CLAT on "+link, st.CLAT != nil && st.CLAT.Uplink == link)
	}
}

// within wants the CLAT's address to be one of a prefix.
func within(prefix string) func(status.Status) error {
	return func(st status.Status) error {
		p := netip.MustParsePrefix(prefix)
		return want("an address in "+prefix, st.CLAT != nil && st.CLAT.IPv6 != nil && p.Contains(netip.MustParseAddr(*st.CLAT.IPv6)))
	}
}

// link takes a link up or down.
func (g *game) link(name string, up bool) { g.must(g.w.Host.SetLink(g.w.Link(name), up)) }

// both wants two uplinks with a NAT64 each.
func both(st status.Status) error {
	return want("two uplinks that are known", len(st.Uplinks) == 2 && st.Uplinks[1].Prefix != nil && st.Uplinks[0].Class == st.Uplinks[1].Class)
}

const noNAT64 = "no NAT64"

var (
	oldPIO = netip.MustParsePrefix("2001:db8:1::/64")
	newPIO = netip.MustParsePrefix("2001:db8:9::/64")
)

// first is what status said before a change, for what has to differ after it.
func (g *game) first() status.Status { return g.s.Agent.Status() }

// changePlays are networks and links that change while reach64 carries.
var changePlays = map[string]play{
	"the router goes": {
		enter: func(g *game) { g.w.Router.SetRA(false) },
		leave: func(g *game) { g.w.Router.SetRA(true) }, also: noCLAT},
	"a NAT64 comes, by router advertisement": {net: vnet.Options{NoPref64: true, NoDNS64: true, NoNAT64: true},
		from: noNAT64, enter: func(g *game) { g.w.Router.SetNAT64(true); g.w.Router.SetPref64(true) }},
	"a NAT64 comes, by DNS64": {net: vnet.Options{NoPref64: true, NoDNS64: true, NoNAT64: true},
		from: noNAT64, enter: func(g *game) { g.w.Router.SetNAT64(true); g.w.Router.SetDNS64(true) }},
	"NAT64 dies, and somebody asks": {
		enter: func(g *game) { g.turn(func(r *vnet.Router) { r.SetNAT64(false) }) },
		leave: func(g *game) { g.turn(func(r *vnet.Router) { r.SetNAT64(true) }) },
		also:  serverSays("timeout")},
	"NAT64 dies without a word": {
		enter: func(g *game) { g.w.Router.SetNAT64(false) },
		leave: func(g *game) { g.w.Router.SetNAT64(true) }},
	"no route to the NAT64": {
		conf: "[probe]\ninterval = \"1h\"\ntimeout = \"1s\"\n", // so that the router's word alone tells
		enter: func(g *game) {
			g.w.Router.SetNoRoute(true)
			g.client(false)
		},
		leave: func(g *game) { g.turn(func(r *vnet.Router) { r.SetNoRoute(false) }) },
		also:  serverSays("unreachable")},
	"another NAT64 prefix": {
		enter: func(g *game) { g.w.Router.SetPrefix(nat64.MustParse(scenario.OtherPrefix)) },
		leave: func(g *game) { g.w.Router.SetPrefix(nat64.MustParse(scenario.Prefix)) }},
	"the best prefix leads nowhere": {conf: "[discovery]\nprefixes = [\"" + scenario.DeadPrefix + "\"]\n",
		also: func(st status.Status) error {
			for _, s := range st.Servers[0].Others {
				if strings.HasPrefix(s.Address, "2001:db8:dead:") && s.Reachable != nil && !*s.Reachable {
					return nil
				}
			}
			return want("a word about the dead prefix", strings.Contains(deref(st.Detail), "through "+scenario.DeadPrefix+" no server answered"))
		}},
	"a wrong prefix is advertised beside the right one": {net: vnet.Options{AlsoPref64: []nat64.Prefix{nat64.MustParse("2001:db8:bad::/96")}},
		also: func(st status.Status) error {
			return want("the wrong one among the router's", strings.Contains(fmt.Sprintf("%+v", st.Sources), "2001:db8:bad::/96"))
		}},
	"another network on the same link": {
		enter: func(g *game) { g.bounce(func(r *vnet.Router) { r.SetPIO(newPIO) }) }, also: within("2001:db8:9::/64")},
	"the link is renumbered": {
		enter: func(g *game) { g.w.Router.SetPIO(newPIO) }, also: within("2001:db8:9::/64"),
		after: func(g *game) {
			l, _ := g.w.Host.Snapshot().Link(vnet.Uplink)
			for _, a := range l.Global6() {
				if a.Autoconf && a.Deprecated != oldPIO.Contains(a.Prefix.Addr()) {
					g.Errorf("address %+v: want those of the old prefix deprecated, and those alone", a)
				}
			}
		}},
	"smaller MTU": {
		enter: func(g *game) { g.must(g.w.Host.SetMTU(vnet.Uplink, 1400)) },
		leave: func(g *game) { g.must(g.w.Host.SetMTU(vnet.Uplink, 1500)) }, also: mtu(1380)},
	"the link gets another name": {
		enter: func(g *game) { g.rename("lan7") },
		leave: func(g *game) { g.rename("eth0") }, also: over("lan7")},
	"name servers that come later": {net: vnet.Options{NoPref64: true, NoRDNSS: true}, servers: byName,
		from:   "DNS is silent and needed",
		before: func(g *game) { g.w.Host.SetResolvers(netip.MustParseAddr("2001:db8:dead::53")) },
		enter:  func(g *game) { g.w.Host.SetResolvers(g.w.Router.Addr()) }},
	"the network forgets the CLAT's address": {
		enter: func(g *game) {
			lost := netip.MustParseAddr(*g.first().CLAT.IPv6)
			g.w.Router.SetLost(func(a netip.Addr) bool { return a == lost })
			g.p.also = func(st status.Status) error { // set before it is first asked
				return want("another address than "+lost.String(), st.CLAT != nil && st.CLAT.IPv6 != nil && *st.CLAT.IPv6 != lost.String())
			}
		}},

	"two uplinks": {more: second(), enter: func(g *game) { g.link("wlan0", true) }, leave: func(g *game) { g.link("wlan0", false) }, also: all(both, over("eth0"))},
	"undocked: the second uplink alone": {more: second(),
		enter: func(g *game) { g.link("wlan0", true); g.link("eth0", false) },
		leave: func(g *game) { g.link("eth0", true); g.link("wlan0", false) }, also: over("wlan0")},
	"the first uplink's NAT64 dies": {more: second(),
		enter: func(g *game) {
			g.link("wlan0", true)
			g.wait(orBase("two uplinks"), both)
			g.turn(func(r *vnet.Router) { r.SetNAT64(false) })
		},
		leave: func(g *game) {
			g.w.Router.SetNAT64(true)
			g.link("wlan0", false)
			g.s.Agent.Refresh()
		}, also: over("wlan0")},
}

func (g *game) rename(name string) {
	g.must(g.w.Host.SetLink(vnet.Uplink, false), g.w.Host.Rename(vnet.Uplink, name), g.w.Host.SetLink(vnet.Uplink, true))
}

// serverSays wants the first server to be unreachable for a reason.
func serverSays(reason string) func(status.Status) error {
	return func(st status.Status) error {
		return want("the server's reason is "+reason+", have "+st.Servers[0].Reason, st.Servers[0].Reason == reason)
	}
}
