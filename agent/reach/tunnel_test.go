package reach

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

var corporate = nat64.MustParse("fd12:3456:789a:7777::/96")

// tunnel adds a link of the organization's with a route to its network.
func (w *world) tunnel(addr string) *world {
	w.Net.Links = append(w.Net.Links, netstate.Link{Index: 7, Name: "da0", Up: true, Tunnel: true, MTU: 1400,
		Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix(addr)}}})
	w.Net.Routes = append(w.Net.Routes, netstate.Route{Dst: netip.MustParsePrefix("fd12:3456:789a::/48"), Link: 7, Metric: 1024})
	return w
}

func (w *world) found(p nat64.Prefix, s pref64.Source, link int) *world {
	w.Prefixes = append(w.Prefixes, pref64.Candidate{Prefix: p, Source: s, Link: link})
	return w
}

// inside makes the servers the organization's, by policy.
func (w *world) inside() *world {
	for i := range w.Servers {
		w.Servers[i].Corporate = true
	}
	return w
}

func TestPrefixBehindATunnel(t *testing.T) { // DA-1, DA-2, MSDA-13
	const eth0, da0 = 2, 7
	tests := map[string]struct {
		w     *world
		class Class
		link  int // of the CLAT, 0: none
		mtu   int
	}{
		"in the server's address":              {v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.Server, eth0), ClassDirectAccess, da0, 1400},
		"by the system, on the tunnel":         {v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.OS, da0), ClassDirectAccess, da0, 1400},
		"by configuration":                     {v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.Policy, 0), ClassDirectAccess, da0, 1400},
		"the tunnel gives one address":         {v6only().tunnel("fd12:3456:789a:1000::2/128").found(corporate, pref64.OS, da0), ClassDirectAccess, da0, 1400},
		"no route to it but the default":       {v6only().found(corporate, pref64.Server, eth0), ClassV6OnlyNoNAT64, 0, 0},
		"the same with global addresses":       {v6only().found(prefixA, pref64.Server, eth0), ClassV6OnlyNAT64, eth0, 1500},
		"the same by DNS: the network's own":   {v6only().found(corporate, pref64.DNS, eth0), ClassV6OnlyNAT64, eth0, 1500},
		"a router's word counts on its link":   {v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.RA, eth0), ClassV6OnlyNAT64, eth0, 1500},
		"a router's word on another link":      {v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.RA, da0), ClassV6OnlyNoNAT64, 0, 0},
		"not behind the network's own NAT64":   {v6only().tunnel("fd12:3456:789a:1000::2/64").found(prefixA, pref64.RA, eth0).found(corporate, pref64.Server, eth0), ClassDirectAccess, da0, 1400},
		"a server of the internet, and both":   {v6only().tunnel("fd12:3456:789a:1000::2/64").found(prefixA, pref64.RA, eth0).found(corporate, pref64.OS, da0), ClassV6OnlyNAT64, eth0, 1500},
		"one of the organization's, and both":  {v6only().tunnel("fd12:3456:789a:1000::2/64").found(prefixA, pref64.RA, eth0).found(corporate, pref64.OS, da0).inside(), ClassDirectAccess, da0, 1400},
		"one of the organization's, not found": {v6only().found(prefixA, pref64.RA, eth0).inside(), ClassV6OnlyNoNAT64, 0, 0},
		"one of the organization's, by hand":   {v6only().found(prefixA, pref64.Policy, 0).inside(), ClassV6OnlyNAT64, eth0, 1500},
		"the system's word about another link": {v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.OS, eth0), ClassV6OnlyNoNAT64, 0, 0},
		"a tunnel that is down has no route": {func() *world {
			w := v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.Server, eth0)
			w.Net.Links[1].Up = false
			return w
		}(), ClassV6OnlyNoNAT64, 0, 0},
		"native IPv4 makes all of this needless": {v6only().native4().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.Server, eth0), ClassDualStack, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out := New(Settings{}).Step(time.Unix(1000, 0), tt.w.World)
			if c := out.Intent.CLAT; out.Class != tt.class || c.Uplink != tt.link || c.MTU6 != tt.mtu {
				t.Errorf("class %v, CLAT on link %d with MTU %d (%s); want %v, %d, %d", out.Class, c.Uplink, c.MTU6, out.Reason, tt.class, tt.link, tt.mtu)
			}
			// Over the organization's tunnel no second address can be used (DA-33).
			if c := out.Intent.CLAT; c.Relay != (c.Uplink == da0) || c.Relay && (c.Net64.IsValid() || !strings.Contains(out.Note, "directaccess-one-address")) {
				t.Errorf("relay %v on link %d, address from %v, note %q", c.Relay, c.Uplink, c.Net64, out.Note)
			}
			if out.Uplink != eth0 {
				t.Errorf("uplink %d, want the one with the default route", out.Uplink)
			}
		})
	}
}
