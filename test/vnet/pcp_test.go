package vnet

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// announce is a request for prefixes from 2001:db8:1:2::10 (spec PCP-8), learn
// the same by MAP (spec-checked section 4).
const (
	announce      = "02000000 00000000 20010db8 00010002 00000000 00000010 81000010 000c0000 00000000 00000000 00000000"
	shortAnnounce = "02000000 00000000 20010db8 00010002 00000000 00000010 8100000e 000c0000 00000000 00000000 00000000"
	learn         = "02010000 00000078 20010db8 00010002 00000000 00000010 01020304 05060708 090a0b0c 11000000 00090000 00000000 00000000 0000ffff 00000000 " +
		"81000010 000c0000 00000000 00000000 00000000"
)

func compact(s string) string { return strings.ReplaceAll(s, " ", "") }

func TestPCPReplies(t *testing.T) {
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	wellKnown := []PCPPrefix{{Prefix: netip.MustParsePrefix("64:ff9b::/96")}}
	limited := []PCPPrefix{{Prefix: netip.MustParsePrefix("2001:db8:122:300::/56"), IPv4: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	tests := []struct {
		name    string
		conf    PCPSettings
		request string
		want    string
	}{
		{"ANNOUNCE (PCP-9)", PCPSettings{Prefixes: wellKnown}, announce, "02800000 00000000 00000064 00000000 00000000 00000000 8100000e 000c0064 ff9b0000 00000000 00000000"},
		{"with the shorter option", PCPSettings{Prefixes: wellKnown}, shortAnnounce, "02800000 00000000 00000064 00000000 00000000 00000000 8100000e 000c0064 ff9b0000 00000000 00000000"},
		{"which it may not like", PCPSettings{OptionLen: 16}, shortAnnounce, "02800006 00000000 00000064 00000000 00000000 00000000" + shortAnnounce[len("02000000 00000000 20010db8 00010002 00000000 00000010"):]},
		{"a prefix for some destinations", PCPSettings{Prefixes: limited}, announce,
			"02800000 00000000 00000064 00000000 00000000 00000000 81000016 0007 20010db8012203 0000000000 0001 0008 0a000000 0000"},
		{"MAP", PCPSettings{Lifetime: time.Minute}, learn,
			"02810000 0000003c 00000064 00000000 00000000 00000000 01020304 05060708 090a0b0c 11000000 00090000 00000000 00000000 0000ffff 00000000"},
		{"ANNOUNCE to one that knows MAP alone", PCPSettings{NoAnnounce: true}, "02000000 00000000 20010db8 00010002 00000000 00000010", "02800004 00000000 00000064 00000000 00000000 00000000"},
		{"out of resources", PCPSettings{Result: 8, Lifetime: 30 * time.Second}, "02000000 00000000 20010db8 00010002 00000000 00000010", "02800008 0000001e 00000064 00000000 00000000 00000000"},
		{"another source", PCPSettings{}, "02000000 00000000 20010db8 00010002 00000000 00000011", "0280000c 00000000 00000064 00000000 00000000 00000000"},
		{"NAT-PMP", PCPSettings{NATPMP: true}, announce, "00800001 00000064"},
		{"silent", PCPSettings{Silent: true}, announce, ""},
		{"an answer", PCPSettings{}, "02800000", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p PCP
			p.Set(tt.conf)
			p.Restart(start)
			req, err := hex.DecodeString(compact(tt.request))
			if err != nil {
				t.Fatal(err)
			}
			from := netip.MustParseAddrPort("[2001:db8:1:2::10]:40000")
			if got := hex.EncodeToString(p.Reply(start.Add(100*time.Second), from, req)); got != compact(tt.want) {
				t.Errorf("got  %s\nwant %s", got, compact(tt.want))
			}
		})
	}
}

// TestPCPOnRouter asks on each of the router's addresses.
func TestPCPOnRouter(t *testing.T) {
	var p PCP
	p.Restart(time.Now())
	w := newWorld(t, Options{PCP: &p})
	s := w.online()
	route, _ := s.Default(true)
	for _, at := range []netip.Addr{route.Gateway, routerIP, pcpAnycast} {
		c, err := w.host.DialLink(t.Context(), Uplink, "udp6", netip.AddrPortFrom(at, 5351).String())
		if err != nil {
			t.Fatalf("%v: %v", at, err)
		}
		defer c.Close()
		own := netip.MustParseAddrPort(c.LocalAddr().String()).Addr().As16()
		if _, err := c.Write(append([]byte{2, 0, 0, 0, 0, 0, 0, 0}, own[:]...)); err != nil {
			t.Fatalf("%v: %v", at, err)
		}
		buf := make([]byte, 100)
		if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(buf); err != nil || n != 24 || buf[1] != 0x80 || buf[3] != 0 {
			t.Errorf("%v: %x, %v", at, buf[:n], errors.Unwrap(err))
		}
	}
	if n := len(p.Requests()); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}
