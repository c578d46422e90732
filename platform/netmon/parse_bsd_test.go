package netmon

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/platform/netstate"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// The text is as macOS 14 prints it, with documentation addresses.
func TestScutilWithAVPN(t *testing.T) {
	text, err := os.ReadFile("testdata/scutil-wifi.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := parseScutil(text)
	wifi := []netip.Addr{ip("2001:db8:1::1"), ip("fe80::1%en0")}
	if d := cmp.Diff(wifi, got.global, compareAddr); d != "" {
		t.Error("for all names:", d)
	}
	if d := cmp.Diff(map[int][]netip.Addr{6: wifi, 19: {ip("fd12:3456:789a::53")}}, got.links, compareAddr); d != "" {
		t.Error("of links:", d)
	}
}

func TestScutilThatSaysNothing(t *testing.T) {
	for name, text := range map[string]string{
		"no output": "", "No DNS configuration available": "No DNS configuration available\n",
		"damaged": "DNS configuration\nresolver #1\n  nameserver[0] : nonsense\n  if_index : x\n  nameserver\n",
	} {
		if got := parseScutil([]byte(text)); len(got.global)+len(got.links) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzParseScutil(f *testing.F) {
	if text, err := os.ReadFile("testdata/scutil-wifi.txt"); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for link, servers := range parseScutil(text).links {
			if link == 0 || len(servers) == 0 {
				t.Errorf("link %d has %v", link, servers)
			}
		}
	})
}

// Routes as netstat -rn of a Mac shows them: en0 is the uplink, en5 another one.
func TestRoutesOfAMac(t *testing.T) {
	const up, gateway, static = 0x1, 0x2, 0x800
	list := []bsdRoute{
		{dst: ip("0.0.0.0"), mask: ip("0.0.0.0"), gateway: ip("192.0.2.1"), flags: up | gateway | static, link: 6},
		{dst: ip("0.0.0.0"), mask: ip("0.0.0.0"), gateway: ip("198.51.100.1"), flags: up | gateway | static | rtfIfScope, link: 9},
		{dst: ip("::"), gateway: ip("fe80::1%en0"), flags: up | gateway, link: 6},
		{dst: ip("::"), gateway: ip("fe80::%utun0"), flags: up | gateway | rtfIfScope, link: 14}, // iCloud's
		{dst: ip("::"), gateway: ip("fe80::9%en5"), flags: up | gateway | rtfIfScope, link: 9},
		{dst: ip("2001:db8:1::"), mask: ip("ffff:ffff:ffff:ffff::"), flags: up, link: 6},
		{dst: ip("192.0.2.7"), flags: up | rtfHost | static, link: 12},
		{dst: ip("192.0.2.1"), flags: up | rtfHost | rtfLLInfo, link: 6},
		{dst: ip("203.0.113.9"), gateway: ip("192.0.2.1"), flags: up | rtfHost | rtfWasCloned, link: 6},
		{dst: ip("224.0.0.0"), mask: ip("240.0.0.0"), flags: up, link: 6},
		{dst: ip("ff00::"), mask: ip("ff00::"), flags: up | rtfMulticast, link: 6},
		{dst: ip("203.0.113.0"), mask: ip("255.255.255.0"), flags: up | rtfReject, link: 1},
		{dst: ip("192.0.2.0"), mask: ip("255.255.255.0"), flags: 0, link: 6},
		{flags: up, link: 6},
	}
	want := []netstate.Route{
		{Dst: prefix("0.0.0.0/0"), Gateway: ip("192.0.2.1"), Link: 6},
		{Dst: prefix("0.0.0.0/0"), Gateway: ip("198.51.100.1"), Link: 9, Metric: scopedMetric},
		{Dst: prefix("::/0"), Gateway: ip("fe80::1"), Link: 6},
		{Dst: prefix("::/0"), Gateway: ip("fe80::9"), Link: 9, Metric: scopedMetric},
		{Dst: prefix("2001:db8:1::/64"), Link: 6},
		{Dst: prefix("192.0.2.7/32"), Link: 12},
		{Dst: prefix("203.0.113.0/24"), Link: 1, Reject: true},
	}
	if d := cmp.Diff(want, fromBSD(list), compareAddr, comparePrefix); d != "" {
		t.Error(d)
	}
}

func TestAddressesOfAMac(t *testing.T) {
	for name, tt := range map[string]struct {
		flags int
		want  netstate.Addr
	}{
		"static":             {0, netstate.Addr{}},
		"SLAAC":              {0x40, netstate.Addr{Autoconf: true}},
		"temporary":          {0xc0, netstate.Addr{Autoconf: true, Temporary: true}},
		"is being checked":   {0x42, netstate.Addr{Autoconf: true, Tentative: true}},
		"optimistic":         {0x242, netstate.Addr{Autoconf: true}},
		"duplicate":          {0x44, netstate.Addr{Autoconf: true, DADFailed: true}},
		"deprecated":         {0x50, netstate.Addr{Autoconf: true, Deprecated: true}},
		"its router is gone": {0x48, netstate.Addr{Autoconf: true, Deprecated: true}},
		"the system's CLAT":  {0x1040, netstate.Addr{Autoconf: true, CLAT: true}},
	} {
		tt.want.Prefix, tt.want.ValidFor = prefix("2001:db8:1::2/64"), time.Hour
		if got := fromBSDAddr(netip.PrefixFrom(ip("2001:db8:1::2%en0"), 64), tt.flags, time.Hour); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
