package main

import (
	"strings"
	"testing"
	"time"
)

func TestMilestonesOfAStart(t *testing.T) {
	const (
		loop   = "[2026-11-28T14:19:47.100000] 1: lo: <LOOPBACK,UP,LOWER_UP> mtu 60000 qdisc noqueue state UNKNOWN group default \n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"
		uplink = "[2026-11-28T14:19:47.200000] 2: eth0    inet6 fe80::dca6:cdff:feef:667e/64 scope link \n       valid_lft forever preferred_lft forever\n"
		tun    = "[2026-11-28T14:19:47.300000] 3: clat0: <POINTOPOINT,MULTICAST,NOARP> mtu 1480 qdisc noop state DOWN group default \n    link/none \n"
		up     = "[2026-11-28T14:19:47.302000] 3: clat0: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1480 qdisc mq state UNKNOWN group default \n    link/none \n"
		check  = "[2026-11-28T14:19:47.310000] 2: eth0    inet6 2001:db8:101:0:e77e:dc61:2d3:9cdc/128 scope global tentative deprecated noprefixroute \n       valid_lft forever preferred_lft 0sec\n"
		unique = "[2026-11-28T14:19:49.210000] 2: eth0    inet6 2001:db8:101:0:e77e:dc61:2d3:9cdc/128 scope global deprecated noprefixroute \n       valid_lft forever preferred_lft 0sec\n"
		four   = "[2026-11-28T14:19:49.211000] 3: clat0    inet 192.0.0.3/32 scope global clat0\n       valid_lft forever preferred_lft forever\n"
		probe  = "[2026-11-28T14:19:49.212000] 192.0.0.8 dev clat0 scope link src 192.0.0.3 metric 2048 \n"
		route  = "[2026-11-28T14:19:49.213000] 198.51.100.10 dev clat0 scope link src 192.0.0.3 metric 2048 \n"
		gone   = "[2026-11-28T14:19:59.000000] Deleted 198.51.100.10 dev clat0 scope link src 192.0.0.3 metric 2048 \n"
	)
	for name, tt := range map[string]struct {
		events   []string
		dad, all time.Duration // all: from device to route
		bad      bool
	}{
		"with an address of its own": {[]string{loop, uplink, tun, up, check, unique, four, probe, route, gone}, 1900 * time.Millisecond, 1913 * time.Millisecond, false},
		"relay, without one":         {[]string{loop, tun, up, four, route}, 0, 1913 * time.Millisecond, false},
		"never unique":               {[]string{tun, up, check, four, route}, 0, 0, true},
		"no route to the server":     {[]string{tun, up, check, unique, four, probe}, 0, 0, true},
		"route only removed":         {[]string{tun, up, gone}, 0, 0, true},
		"a time of another kind":     {[]string{"[yesterday] 3: clat0: <>\n"}, 0, 0, true},
	} {
		m, err := parseMonitor(strings.Join(tt.events, ""))
		if (err != nil) != tt.bad {
			t.Errorf("%s: error %v", name, err)
		}
		if err == nil && (m.dad() != tt.dad || m.route.Sub(m.device) != tt.all) {
			t.Errorf("%s: DAD %v, from device to route %v", name, m.dad(), m.route.Sub(m.device))
		}
	}
}
