package osinfo

import (
	"testing"

	"github.com/reach64/reach64/platform/netstate"
)

func TestVPNDefault(t *testing.T) {
	eth := netstate.Link{Index: 2, Name: "eth0", Up: true, Ethernet: true}
	wg := netstate.Link{Index: 5, Name: "wg0", Up: true, Tunnel: true}
	off := netstate.Link{Index: 6, Name: "ppp0", Tunnel: true}
	metric := func(r netstate.Route, m int) netstate.Route { r.Metric = m; return r }
	reject := func(r netstate.Route) netstate.Route { r.Reject = true; return r }
	tests := map[string]struct {
		routes []netstate.Route
		own    Own
		want   int // link, 0 none
	}{
		"no route":                        {nil, Own{}, 0},
		"default over ethernet":           {[]netstate.Route{route("0.0.0.0/0", 2)}, Own{}, 0},
		"default over a tunnel":           {[]netstate.Route{route("0.0.0.0/0", 5)}, Own{}, 5},
		"IPv6 default over a tunnel":      {[]netstate.Route{route("::/0", 5)}, Own{}, 0},
		"tunnel preferred":                {[]netstate.Route{metric(route("0.0.0.0/0", 2), 100), metric(route("0.0.0.0/0", 5), 50)}, Own{}, 5},
		"ethernet preferred":              {[]netstate.Route{metric(route("0.0.0.0/0", 2), 50), metric(route("0.0.0.0/0", 5), 100)}, Own{}, 0},
		"our own tunnel":                  {[]netstate.Route{route("0.0.0.0/0", 5)}, Own{Device: 5}, 0},
		"tunnel that is down":             {[]netstate.Route{route("0.0.0.0/0", 6)}, Own{}, 0},
		"two halves beside ethernet":      {[]netstate.Route{route("0.0.0.0/0", 2), route("0.0.0.0/1", 5), route("128.0.0.0/1", 5)}, Own{}, 5},
		"halves of our own tunnel":        {[]netstate.Route{route("0.0.0.0/0", 2), route("0.0.0.0/1", 5), route("128.0.0.0/1", 5)}, Own{Device: 5}, 0},
		"one half is no default":          {[]netstate.Route{route("0.0.0.0/0", 2), route("0.0.0.0/1", 5)}, Own{}, 0},
		"halves over ethernet":            {[]netstate.Route{route("0.0.0.0/0", 5), route("0.0.0.0/1", 2), route("128.0.0.0/1", 2)}, Own{}, 0},
		"rejected half":                   {[]netstate.Route{route("0.0.0.0/0", 2), reject(route("0.0.0.0/1", 5)), route("128.0.0.0/1", 5)}, Own{}, 0},
		"half of the IPv6 space":          {[]netstate.Route{route("0.0.0.0/0", 2), route("::/1", 5), route("8000::/1", 5)}, Own{}, 0},
		"some networks through a tunnel":  {[]netstate.Route{route("0.0.0.0/0", 2), route("10.0.0.0/8", 5)}, Own{}, 0},
		"route over a link that is gone":  {[]netstate.Route{route("0.0.0.0/0", 77)}, Own{}, 0},
		"unreachable default":             {[]netstate.Route{reject(route("0.0.0.0/0", 5))}, Own{}, 0},
		"halves over links that are gone": {[]netstate.Route{route("0.0.0.0/1", 77), route("128.0.0.0/1", 77)}, Own{}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, ok := VPNDefault(netstate.Snapshot{Links: []netstate.Link{eth, wg, off}, Routes: tt.routes}, tt.own)
			if ok != (tt.want != 0) || ok && r.Link != tt.want {
				t.Errorf("VPNDefault = %+v, %v; want link %d", r, ok, tt.want)
			}
		})
	}
}
