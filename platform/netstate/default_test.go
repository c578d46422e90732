package netstate

import (
	"net/netip"
	"testing"
)

func TestDefaultOfAFamily(t *testing.T) {
	links := []Link{{Index: 2, Name: "eth0", Up: true}, {Index: 5, Name: "wg0", Up: true, Tunnel: true}, {Index: 6, Name: "ppp0"}}
	route := func(dst string, link, metric int) Route {
		return Route{Dst: netip.MustParsePrefix(dst), Link: link, Metric: metric}
	}
	reject := func(r Route) Route { r.Reject = true; return r }
	tests := map[string]struct {
		routes []Route
		v6     bool
		except []int
		want   int // link, 0 none
	}{
		"no route":                         {nil, false, nil, 0},
		"one":                              {[]Route{route("0.0.0.0/0", 2, 0)}, false, nil, 2},
		"of the other family":              {[]Route{route("0.0.0.0/0", 2, 0)}, true, nil, 0},
		"IPv6":                             {[]Route{route("::/0", 2, 0)}, true, nil, 2},
		"the lowest metric":                {[]Route{route("0.0.0.0/0", 2, 100), route("0.0.0.0/0", 5, 50)}, false, nil, 5},
		"a link left out":                  {[]Route{route("0.0.0.0/0", 2, 100), route("0.0.0.0/0", 5, 50)}, false, []int{5}, 2},
		"a link that is down":              {[]Route{route("0.0.0.0/0", 6, 0)}, false, nil, 0},
		"a link that is gone":              {[]Route{route("0.0.0.0/0", 77, 0)}, false, nil, 0},
		"unreachable":                      {[]Route{reject(route("0.0.0.0/0", 5, 0))}, false, nil, 0},
		"two halves beside ethernet":       {[]Route{route("0.0.0.0/0", 2, 0), route("0.0.0.0/1", 5, 0), route("128.0.0.0/1", 5, 0)}, false, nil, 5},
		"two halves alone":                 {[]Route{route("0.0.0.0/1", 5, 0), route("128.0.0.0/1", 5, 0)}, false, nil, 5},
		"two halves left out":              {[]Route{route("0.0.0.0/0", 2, 0), route("0.0.0.0/1", 5, 0), route("128.0.0.0/1", 5, 0)}, false, []int{5}, 2},
		"one half is no default":           {[]Route{route("0.0.0.0/0", 2, 0), route("0.0.0.0/1", 5, 0)}, false, nil, 2},
		"halves over two links":            {[]Route{route("0.0.0.0/0", 2, 0), route("0.0.0.0/1", 5, 0), route("128.0.0.0/1", 2, 0)}, false, nil, 2},
		"a rejected half":                  {[]Route{route("0.0.0.0/0", 2, 0), reject(route("0.0.0.0/1", 5, 0)), route("128.0.0.0/1", 5, 0)}, false, nil, 2},
		"halves of the other family":       {[]Route{route("0.0.0.0/0", 2, 0), route("::/1", 5, 0), route("8000::/1", 5, 0)}, false, nil, 2},
		"IPv6 halves":                      {[]Route{route("::/0", 2, 0), route("::/1", 5, 0), route("8000::/1", 5, 0)}, true, nil, 5},
		"some networks through the tunnel": {[]Route{route("0.0.0.0/0", 2, 0), route("10.0.0.0/8", 5, 0)}, false, nil, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, ok := Snapshot{Links: links, Routes: tt.routes}.Default(tt.v6, tt.except...)
			if ok != (tt.want != 0) || r.Link != tt.want {
				t.Errorf("got %+v, %v; want link %d", r, ok, tt.want)
			}
		})
	}
}
