package osinfo

import (
	"net/netip"
	"testing"

	"github.com/reach64/reach64/platform/netstate"
)

func link(index int, name string, addrs ...string) netstate.Link {
	l := netstate.Link{Index: index, Name: name, Up: true}
	for _, a := range addrs {
		l.Addrs = append(l.Addrs, netstate.Addr{Prefix: netip.MustParsePrefix(a)})
	}
	return l
}

func route(dst string, link int) netstate.Route {
	return netstate.Route{Dst: netip.MustParsePrefix(dst), Link: link}
}

// TestEachCLATByName: devices as each of them makes them, with an IPv4 default route and
// an address that says nothing by itself.
func TestEachCLATByName(t *testing.T) {
	for device, want := range map[string]string{
		"clat": "clatd or another CLAT", "clat1": "clatd or another CLAT", "cl-enp0s31f6": "systemd-networkd", "v4-wlan0": "an Android-like CLAT", "v4-rmnet_data0": "an Android-like CLAT",
		"464-xlat": "nat46", "nat64": "tayga", "tayga0": "tayga", "tundra": "tundra", "colatrl0": "colatrl", "jool0": "jool", "ipxlat0": "ipxlat", "tun_nat64": "ChromeOS patchpanel",
	} {
		s := netstate.Snapshot{Links: []netstate.Link{link(2, "eth0", "2001:db8:1::2/64"), link(7, device, "10.64.0.2/30")}, Routes: []netstate.Route{route("0.0.0.0/0", 7)}}
		if f, ok := ForeignCLAT(s, Own{}); !ok || f.Name != want || f.Link != device {
			t.Errorf("%s: %+v, %v; want %s", device, f, ok, want)
		}
		if f, ok := ForeignCLAT(s, Own{Device: 7}); ok {
			t.Errorf("%s as our own device: %+v", device, f)
		}
	}
}

func TestForeignCLAT(t *testing.T) {
	eth := link(2, "eth0", "2001:db8:1::2/64")
	mac := link(6, "en0", "2001:db8:1::2/64", "2001:db8:1::c1a7/64")
	mac.Addrs[1].CLAT = true
	tests := map[string]struct {
		state netstate.Snapshot
		own   Own
		want  string // name of the link, "" none
	}{
		"nothing":                         {netstate.Snapshot{Links: []netstate.Link{eth}}, Own{}, ""},
		"our own device":                  {netstate.Snapshot{Links: []netstate.Link{eth, link(5, "clat0", "192.0.0.3/32")}, Routes: []netstate.Route{route("0.0.0.0/0", 5)}}, Own{Device: 5}, ""},
		"clatd":                           {netstate.Snapshot{Links: []netstate.Link{eth, link(5, "clat", "192.0.0.1/32")}}, Own{}, "clat"},
		"clatd beside ours":               {netstate.Snapshot{Links: []netstate.Link{link(5, "clat0", "192.0.0.3/32"), link(6, "clat", "192.0.0.1/32")}}, Own{Device: 5}, "clat"},
		"NetworkManager on the uplink":    {netstate.Snapshot{Links: []netstate.Link{link(2, "eth0", "2001:db8:1::2/64", "192.0.0.5/32")}}, Own{}, "eth0"},
		"networkd":                        {netstate.Snapshot{Links: []netstate.Link{eth, link(7, "cl-eth0")}, Routes: []netstate.Route{route("0.0.0.0/0", 7)}}, Own{}, "cl-eth0"},
		"a route to the continuity range": {netstate.Snapshot{Links: []netstate.Link{eth, link(8, "x0")}, Routes: []netstate.Route{route("192.0.0.0/29", 8)}}, Own{}, "x0"},
		"default route over ethernet":     {netstate.Snapshot{Links: []netstate.Link{link(2, "eth0", "192.0.2.7/24")}, Routes: []netstate.Route{route("0.0.0.0/0", 2)}}, Own{}, ""},
		"the CLAT of macOS":               {netstate.Snapshot{Links: []netstate.Link{mac}}, Own{}, "en0"},
		"192.0.0.8 is not in the range":   {netstate.Snapshot{Links: []netstate.Link{link(3, "x1", "192.0.0.8/32")}}, Own{}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, ok := ForeignCLAT(tt.state, tt.own)
			if ok != (tt.want != "") || f.Link != tt.want {
				t.Errorf("ForeignCLAT = %+v, %v; want link %q", f, ok, tt.want)
			}
			if ok && f.Evidence == "" {
				t.Error("no evidence")
			}
		})
	}
}
