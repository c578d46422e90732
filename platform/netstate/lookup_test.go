package netstate

import (
	"net/netip"
	"testing"
)

func TestRouteTo(t *testing.T) {
	s := Snapshot{
		Links: []Link{{Index: 1, Up: true}, {Index: 2, Up: true}, {Index: 3}},
		Routes: []Route{
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 1, Metric: 200},
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2, Metric: 100},
			{Dst: netip.MustParsePrefix("198.51.100.10/32"), Link: 1, Metric: 2048},
			{Dst: netip.MustParsePrefix("203.0.113.0/24"), Link: 3},
			{Dst: netip.MustParsePrefix("10.0.0.0/8"), Reject: true},
			{Dst: netip.MustParsePrefix("2001:db8::/32"), Link: 1},
		},
	}
	for addr, want := range map[string]int{
		"192.0.2.1":              2, // lower metric
		"198.51.100.10":          1, // longer
		"::ffff:198.51.100.10":   1,
		"203.0.113.1":            2, // the longer one's link is down
		"10.1.1.1":               0, // rejected
		"2001:db8::1":            1,
		"2001:db9::1":            0, // none
		"::ffff:255.255.255.255": 2,
	} {
		got, ok := s.RouteTo(netip.MustParseAddr(addr))
		if ok != (want != 0) || ok && got.Link != want {
			t.Errorf("%s: link %d, %v; want %d", addr, got.Link, ok, want)
		}
	}
}

func TestNextHop(t *testing.T) {
	route := func(dst, gateway string, link int) Route {
		r := Route{Dst: netip.MustParsePrefix(dst), Link: link}
		if gateway != "" {
			r.Gateway = netip.MustParseAddr(gateway)
		}
		return r
	}
	others := []Route{route("2001:db8:1::/64", "", 2), route("fe80::/64", "", 2), route("::/0", "fe80::9", 3), route("0.0.0.0/0", "192.0.2.1", 2)}
	reject := route("64:ff9b::/96", "", 2)
	reject.Reject = true
	for _, tt := range []struct {
		name   string
		routes []Route
		want   string
	}{
		{"a default router", []Route{route("::/0", "fe80::1", 2)}, "fe80::1"},
		{"the same router for the prefix too", []Route{route("::/0", "fe80::1", 2), route("64:ff9b::/96", "fe80::1", 2)}, "fe80::1"},
		{"no router", nil, ""},
		{"two default routers", []Route{route("::/0", "fe80::1", 2), route("::/0", "fe80::2", 2)}, ""},
		{"another router for the prefix", []Route{route("::/0", "fe80::1", 2), route("64:ff9b::/96", "fe80::2", 2)}, ""},
		{"another router for one server", []Route{route("::/0", "fe80::1", 2), route("64:ff9b::c633:640a/128", "fe80::2", 2)}, ""},
		{"the prefix is on the link", []Route{route("::/0", "fe80::1", 2), route("64:ff9b::/96", "", 2)}, ""},
		{"the prefix is rejected", []Route{route("::/0", "fe80::1", 2), reject}, ""},
		{"a router for other addresses", []Route{route("::/0", "fe80::1", 2), route("2001:db8:2::/48", "fe80::2", 2)}, "fe80::1"},
	} {
		got, ok := Snapshot{Routes: append(tt.routes, others...)}.NextHop(2, netip.MustParsePrefix("64:ff9b::/96"))
		if ok != (tt.want != "") || ok && got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s: %v, %v; want %q", tt.name, got, ok, tt.want)
		}
	}
}
