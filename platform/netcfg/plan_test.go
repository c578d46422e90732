package netcfg

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/platform/netstate"
)

var (
	addr6  = Addr{Link: 2, Prefix: netip.MustParsePrefix("2001:db8:1::c1a7/128"), Deprecated: true}
	addr4  = Addr{Link: 9, Prefix: netip.MustParsePrefix("192.0.0.3/32")}
	device = Device{Link: 9, MTU: 1480}
	routeA = Route{Link: 9, Dst: netip.MustParsePrefix("198.51.100.10/32"), Src: netip.MustParseAddr("192.0.0.3"), Metric: 2048}
	routeB = Route{Link: 9, Dst: netip.MustParsePrefix("192.0.0.8/32"), Src: netip.MustParseAddr("192.0.0.3"), Metric: 2048}
	whole  = Want{Devices: []Device{device}, Addrs: []Addr{addr6, addr4}, Routes: []Route{routeA}}
)

// there is the network state when all of whole is in place.
func there() netstate.Snapshot {
	return netstate.Snapshot{
		Links: []netstate.Link{{Index: 2, Name: "eth0", Addrs: []netstate.Addr{{Prefix: addr6.Prefix}}},
			{Index: 9, Name: "clat0", Up: true, MTU: 1480, Addrs: []netstate.Addr{{Prefix: addr4.Prefix}}}},
		Routes: []netstate.Route{{Link: 9, Dst: routeA.Dst, Metric: 2048}},
	}
}

func TestPlan(t *testing.T) {
	noAddr := there()
	noAddr.Links[0].Addrs = nil
	noRoute := there()
	noRoute.Routes = nil
	down, small := there(), there()
	down.Links[1].Up = false
	small.Links[1].MTU = 1280
	tests := map[string]struct {
		have          netstate.Snapshot
		applied, want Want
		steps         []string
	}{
		"nothing wanted, nothing there": {there(), Want{}, Want{}, nil},
		"from nothing": {netstate.Snapshot{}, Want{}, whole, []string{
			"add device settings of link 9", "add address 2001:db8:1::c1a7/128 on link 2", "add address 192.0.0.3/32 on link 9",
			"add route to 198.51.100.10/32 over link 9 metric 2048"}},
		"all there already": {there(), whole, whole, nil},
		"take all away": {there(), whole, Want{}, []string{
			"remove route to 198.51.100.10/32 over link 9 metric 2048", "remove address 2001:db8:1::c1a7/128 on link 2", "remove address 192.0.0.3/32 on link 9"}},
		"another route": {there(), whole, Want{Devices: whole.Devices, Addrs: whole.Addrs, Routes: []Route{routeB}}, []string{
			"remove route to 198.51.100.10/32 over link 9 metric 2048", "add route to 192.0.0.8/32 over link 9 metric 2048"}},
		"somebody removed our address":         {noAddr, whole, whole, []string{"add address 2001:db8:1::c1a7/128 on link 2"}},
		"somebody removed our route":           {noRoute, whole, whole, []string{"add route to 198.51.100.10/32 over link 9 metric 2048"}},
		"somebody took our device down":        {down, whole, whole, []string{"add device settings of link 9"}},
		"somebody gave our device another MTU": {small, whole, whole, []string{"add device settings of link 9"}},
		"snapshot older than our link":         {netstate.Snapshot{}, whole, whole, nil},
		"MTU changed":                          {there(), whole, Want{Devices: []Device{{Link: 9, MTU: 1260}}, Addrs: whole.Addrs, Routes: whole.Routes}, []string{"add device settings of link 9"}},
		"what others made is not ours":         {there(), Want{}, Want{}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range Plan(tt.have, tt.applied, tt.want) {
				got = append(got, s.String())
			}
			if d := cmp.Diff(tt.steps, got); d != "" {
				t.Error(d)
			}
		})
	}
}
