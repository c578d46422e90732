package netmon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/reach64/reach64/platform/netstate"
)

func link(index int, name string, addrs ...string) netstate.Link {
	l := netstate.Link{Index: index, Name: name, Up: true}
	for _, a := range addrs {
		l.Addrs = append(l.Addrs, netstate.Addr{Prefix: netip.MustParsePrefix(a)})
	}
	return l
}

func words(list []netip.Addr) string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

func TestServersLinkByLink(t *testing.T) {
	file := func(text string) known {
		var k known
		k.parseLinkFile(2, []byte(text))
		return k
	}
	raw := func(s string) []byte { return netip.MustParseAddr(s).AsSlice() }
	resolved := func(v any) known { k, _ := fromResolved(v); return k }
	managed := func(v any) known { k, _ := fromManager(v); return k }
	six, both := link(2, "eth0", "2001:db8::7/64"), link(2, "eth0", "2001:db8::7/64", "192.0.2.7/24")
	tests := map[string]struct {
		known      known
		link       netstate.Link
		want, rest string // of the link; of none in particular
	}{
		"networkd":                              {file("# private\nADMIN_STATE=configured\nDNS=2001:db8::53 192.0.2.53 2001:db8::53\nNTP=192.0.2.1\n"), both, "2001:db8::53 192.0.2.53", ""},
		"networkd, IPv4 server, IPv6-only link": {file("DNS=2001:db8::53 192.0.2.53\n"), six, "2001:db8::53", ""},
		"resolved's own file":                   {file("LLMNR=yes\nSERVERS=fe80::1 192.0.2.53#dns.example\n"), both, "fe80::1%eth0", ""},
		"a file of something else":              {file("\x00DNS\n=\nSERVERS=\"x\n"), both, "", ""},
		"another link's":                        {file("DNS=2001:db8::53\n"), link(3, "eth1"), "", ""},
		"resolved": {resolved([][]any{{int32(2), int32(10), raw("2001:db8::53"), uint16(0), ""}, {int32(3), int32(2), raw("192.0.2.3"), uint16(53), ""},
			{int32(2), int32(10), raw("2001:db8::853"), uint16(853), "dns.example"}, {int32(0), int32(2), raw("9.9.9.9"), uint16(0), ""}}), both, "2001:db8::53", "9.9.9.9"},
		"resolved, damaged":      {resolved([][]any{{}, {"x", 1, 2, 3}, {int32(2), int32(10), []byte{1, 2, 3}, uint16(0)}}), both, "", ""},
		"resolved, another type": {resolved([]string{"2001:db8::53"}), both, "", ""},
		"NetworkManager": {managed([]map[string]dbus.Variant{{"interface": dbus.MakeVariant("eth0"), "nameservers": dbus.MakeVariant([]string{"2001:db8::53", "dns+tls://192.0.2.1#x", "192.0.2.53"})},
			{"interface": dbus.MakeVariant("tun0"), "nameservers": dbus.MakeVariant([]string{"10.0.0.53"}), "vpn": dbus.MakeVariant(true)},
			{"nameservers": dbus.MakeVariant([]string{"9.9.9.9"})}, {}}), both, "2001:db8::53 192.0.2.53", "9.9.9.9"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := words(tt.known.of(tt.link)); got != tt.want {
				t.Errorf("of the link: %q, want %q", got, tt.want)
			}
			if got := words(tt.known.everywhere()); got != tt.rest {
				t.Errorf("of none in particular: %q, want %q", got, tt.rest)
			}
		})
	}
}

func TestNumberOfServersIsBounded(t *testing.T) {
	var k known
	for i := range 100 {
		k.add(2, "", []byte{192, 0, 2, byte(i)})
	}
	if got := len(k.of(link(2, "eth0", "192.0.2.200/24"))); got != maxServers {
		t.Errorf("%d servers, want %d", got, maxServers)
	}
}

func TestOnlyStubs(t *testing.T) {
	for text, want := range map[string]bool{"": false, "127.0.0.53": true, "127.0.0.53 ::1": true, "127.0.0.1 192.0.2.53": false, "2001:db8::53": false} {
		var list []netip.Addr
		for w := range strings.FieldsSeq(text) {
			list = append(list, netip.MustParseAddr(w))
		}
		if onlyStubs(list) != want {
			t.Errorf("onlyStubs(%s) = %v", text, !want)
		}
	}
}

// FuzzParseLinkFile: whatever stands in a file, what comes out can be asked.
func FuzzParseLinkFile(f *testing.F) {
	f.Add("DNS=2001:db8::53 192.0.2.53\n")
	f.Add("SERVERS=\"fe80::1%2 ::ffff:192.0.2.1 0.0.0.0 ff02::1\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		var k known
		k.parseLinkFile(2, []byte(text))
		got := k.of(link(2, "eth0", "192.0.2.7/24"))
		if len(got) > maxServers || slices.ContainsFunc(got, func(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() }) {
			t.Errorf("%q gives %v", text, got)
		}
	})
}
