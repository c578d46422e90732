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
