package netmon

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/platform/netstate"
)

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
var comparePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// What ipconfig /all and netsh of a Windows 11 on an IPv6-only Wi-Fi show, in the
// numbers of the API.
func TestWiFiWithIPv6Alone(t *testing.T) {
	const forever = 0xffffffff
	adapters := []adapter{
		{index: 17, index6: 17, name: "Wi-Fi", ifType: 71, up: true, mtu: 1500, mtu6: 1480, hardware: "00:00:5e:00:53:01", metric4: 50, metric6: 35,
			addrs: []adapterAddr{
				{prefix: netip.PrefixFrom(netip.MustParseAddr("fe80::1c2b%17"), 64), prefixOrigin: 2, suffixOrigin: 4, dadState: 4, valid: forever, preferred: forever},
				{prefix: prefix("2001:db8:1::5/64"), prefixOrigin: 4, suffixOrigin: 4, dadState: 4, valid: 86400, preferred: 3600},
				{prefix: prefix("2001:db8:1::abcd/64"), prefixOrigin: 4, suffixOrigin: 5, dadState: 3, valid: 600, preferred: 0},
				{prefix: prefix("2001:db8:1::eeee/64"), prefixOrigin: 4, suffixOrigin: 5, dadState: 1, valid: 600, preferred: 600},
				{prefix: prefix("2001:db8:1::dead/128"), prefixOrigin: 3, suffixOrigin: 3, dadState: 2, valid: 600, preferred: 600},
				{prefix: prefix("169.254.7.7/16"), prefixOrigin: 2, suffixOrigin: 4, dadState: 4, valid: forever, preferred: forever},
			},
			dns: []netip.Addr{netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("fe80::1%17")}},
		{index: 1, index6: 1, name: "Loopback Pseudo-Interface 1", ifType: 24, up: true, mtu: forever, metric4: 75, metric6: 75,
			dns: []netip.Addr{netip.MustParseAddr("fec0:0:0:ffff::1%1"), netip.MustParseAddr("fec0:0:0:ffff::3%1")}},
		{index6: 9, name: "Teredo Tunneling Pseudo-Interface", ifType: 131, mtu: 1280},
		{index: 33, name: "Mobile", ifType: 243, up: true, mtu: 1428},
	}
	rows := []row{
		{dst: prefix("::/0"), gateway: netip.MustParseAddr("fe80::1%17"), link: 17, metric: 256},
		{dst: prefix("2001:db8:1::/64"), gateway: netip.IPv6Unspecified(), link: 17, metric: 256},
		{dst: prefix("ff00::/8"), gateway: netip.IPv6Unspecified(), link: 17, metric: 256},
		{dst: prefix("224.0.0.0/4"), gateway: netip.IPv4Unspecified(), link: 17, metric: 256},
		{dst: prefix("0.0.0.0/0"), gateway: netip.MustParseAddr("192.0.2.1"), link: 17, metric: 0},
	}
	want := netstate.Snapshot{
		Links: []netstate.Link{
			{Index: 17, Name: "Wi-Fi", Up: true, Ethernet: true, MTU: 1500, MTU6: 1480, HardwareAddr: "00:00:5e:00:53:01",
				Addrs: []netstate.Addr{
					{Prefix: prefix("fe80::1c2b/64")},
					{Prefix: prefix("2001:db8:1::5/64"), Autoconf: true, ValidFor: 24 * time.Hour},
					{Prefix: prefix("2001:db8:1::abcd/64"), Autoconf: true, Temporary: true, Deprecated: true, ValidFor: 10 * time.Minute},
					{Prefix: prefix("2001:db8:1::eeee/64"), Autoconf: true, Temporary: true, Tentative: true, ValidFor: 10 * time.Minute},
					{Prefix: prefix("2001:db8:1::dead/128"), DADFailed: true, ValidFor: 10 * time.Minute},
					{Prefix: prefix("169.254.7.7/16")},
				},
				DNS: []netip.Addr{netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("fe80::1%17")}},
			{Index: 1, Name: "Loopback Pseudo-Interface 1", Up: true, Loopback: true},
			{Index: 9, Name: "Teredo Tunneling Pseudo-Interface", Tunnel: true, MTU: 1280},
			{Index: 33, Name: "Mobile", Up: true, MTU: 1428},
		},
		Routes: []netstate.Route{
			{Dst: prefix("::/0"), Gateway: netip.MustParseAddr("fe80::1"), Link: 17, Metric: 291},
			{Dst: prefix("2001:db8:1::/64"), Link: 17, Metric: 291},
			{Dst: prefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Link: 17, Metric: 50},
		},
	}
	if d := cmp.Diff(want, fromAdapters(adapters, rows), compareAddr, comparePrefix); d != "" {
		t.Error(d)
	}
}
