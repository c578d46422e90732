package main

import (
	"net/netip"
	"testing"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/tunnel/dial"
)

func TestHowAnIPv4AddressIsReached(t *testing.T) {
	server := netip.MustParsePrefix("198.51.100.10/32")
	addr := func(s string) []netstate.Addr { return []netstate.Addr{{Prefix: netip.MustParsePrefix(s)}} }
	tests := map[string]struct {
		s    netstate.Snapshot
		clat string
		to   string
		want dial.Route4
	}{
		"no route": {netstate.Snapshot{}, "", "198.51.100.10", dial.NoRoute4},
		"loopback": {netstate.Snapshot{}, "", "127.0.0.1", dial.Native4},
		"native": {netstate.Snapshot{Links: []netstate.Link{{Index: 2, Up: true, Addrs: addr("192.0.2.5/24")}},
			Routes: []netstate.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2}}}, "", "198.51.100.10", dial.Native4},
		"our CLAT": {netstate.Snapshot{Links: []netstate.Link{{Index: 5, Name: "clat0", Up: true}}, Routes: []netstate.Route{{Dst: server, Link: 5}}}, "clat0", "198.51.100.10", dial.ThroughCLAT},
		"another's CLAT": {netstate.Snapshot{Links: []netstate.Link{{Index: 5, Name: "v4-eth0", Up: true, Addrs: addr("192.0.0.4/32")}},
			Routes: []netstate.Route{{Dst: server, Link: 5}}}, "", "198.51.100.10", dial.ThroughCLAT},
		"a VPN that carries the address": {netstate.Snapshot{Links: []netstate.Link{{Index: 7, Name: "wg0", Up: true, Tunnel: true, Addrs: addr("10.9.0.2/32")}},
			Routes: []netstate.Route{{Dst: netip.MustParsePrefix("198.51.100.0/24"), Link: 7}}}, "", "198.51.100.10", dial.Native4},
		"rejected": {netstate.Snapshot{Routes: []netstate.Route{{Dst: server, Reject: true}}}, "", "198.51.100.10", dial.NoRoute4},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := route4(tt.s, tt.clat)(netip.MustParseAddr(tt.to)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHostPort(t *testing.T) {
	tests := map[string]struct {
		host string
		port uint16
	}{
		"backup.example:443": {"backup.example", 443},
		"[2001:db8::1]:8443": {"2001:db8::1", 8443},
		"198.51.100.10:1":    {"198.51.100.10", 1},
		"backup.example":     {},
		"backup.example:":    {},
		":443":               {},
		"a:0":                {},
		"a:65536":            {},
		"2001:db8::1:443":    {},
	}
	for text, want := range tests {
		host, port, err := hostPort(text)
		if (err == nil) != (want.port != 0) || err == nil && (host != want.host || port != want.port) {
			t.Errorf("%q: %q, %d, %v", text, host, port, err)
		}
	}
}
