package reach

import (
	"net/netip"
	"testing"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
)

func TestChooseNet64(t *testing.T) { // spec CLATON-5
	addr := func(s string, auto, deprecated bool) netstate.Addr {
		return netstate.Addr{Prefix: netip.MustParsePrefix(s), Autoconf: auto, Deprecated: deprecated}
	}
	gua, ula := addr("2001:db8:1::2/64", true, false), addr("fd00:1::2/64", true, false)
	tests := map[string]struct {
		addrs  []netstate.Addr
		prefix string
		want   string
	}{
		"well-known prefix takes the global address": {[]netstate.Addr{ula, gua}, "64:ff9b::/96", "2001:db8:1::/64"},
		"unique local prefix takes the unique local": {[]netstate.Addr{gua, ula}, "fd00:64::/96", "fd00:1::/64"},
		"longest match decides between two":          {[]netstate.Addr{addr("2001:470::2/64", true, false), gua}, "2001:db8:64::/96", "2001:db8:1::/64"},
		"deprecated only when there is nothing else": {[]netstate.Addr{addr("2001:db8:64::2/64", true, true), addr("2001:470::2/64", true, false)}, "2001:db8:64::/96", "2001:470::/64"},
		"autoconfigured before static":               {[]netstate.Addr{addr("2001:db8:9::2/64", false, false), gua}, "64:ff9b::/96", "2001:db8:1::/64"},
		"a /128 is none":                             {[]netstate.Addr{addr("2001:db8:9::2/128", false, false)}, "64:ff9b::/96", ""},
		"link-local is none":                         {[]netstate.Addr{addr("fe80::2/64", false, false)}, "64:ff9b::/96", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := ChooseNet64(netstate.Link{Addrs: tt.addrs}, nat64.MustParse(tt.prefix), netip.Addr{})
			if tt.want == "" {
				if ok {
					t.Fatalf("got %v, want none", got)
				}
				return
			}
			if got != netip.MustParsePrefix(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFreeIPv4SkipsWhatOthersUse(t *testing.T) { // RFC 7335
	s := netstate.Snapshot{Links: []netstate.Link{
		{Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("192.0.0.3/32")}}},
		{Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("192.0.0.4/32")}}},
	}}
	if got, want := FreeIPv4(s), netip.MustParseAddr("192.0.0.5"); got != want {
		t.Errorf("FreeIPv4 = %v, want %v", got, want)
	}
}

func TestInterfaceID(t *testing.T) { // spec SIIT-82
	c := CLAT{Name: "eth0", Net64: netip.MustParsePrefix("2001:db8:1::/64"), Prefix: nat64.WellKnown()}
	secret := []byte("a secret")
	same := InterfaceID(secret, c, 0)
	if InterfaceID(secret, c, 0) != same {
		t.Error("not stable in one network")
	}
	other := c
	other.Net64 = netip.MustParsePrefix("2001:db8:2::/64")
	if InterfaceID(secret, other, 0) == same {
		t.Error("the same in another network")
	}
	if InterfaceID(secret, c, 1) == same {
		t.Error("the same after a duplicate")
	}
	if InterfaceID([]byte("another"), c, 0) == same {
		t.Error("the same on another machine")
	}
}
