package directaccess

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/resolver/nat64"
)

var equal = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b nat64.Prefix) bool { return a == b }),
}

func load(t *testing.T, name string) Policy {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	tree, problems, err := ParseReg(b)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", err, problems)
	}
	return Read(tree)
}

func number(n uint32) *uint32 { return &n }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// clientPolicy is what testdata/client.reg says: values after spec DA-10, DA-21,
// DA-32, addresses after spec DA-15.
func clientPolicy() Policy {
	return Policy{
		Rules: []Rule{
			{ID: "{0F2A2B6C-1111-4C6E-9C0B-000000000001}", Version: 1, Names: []Namespace{{Suffix, "corp.example.com"}, {Suffix, "corp.example.net"}},
				Options: 4, DirectAccess: true, Servers: []Server{{Addr: ip("fd12:3456:789a:3333::1")}}},
			{ID: "{0F2A2B6C-1111-4C6E-9C0B-000000000002}", Version: 1, Names: []Namespace{{FQDN, "nls.corp.example.com"}}, Options: 4, DirectAccess: true},
			{ID: "{0F2A2B6C-1111-4C6E-9C0B-000000000003}", Version: 2, Names: []Namespace{{Suffix, "lab.corp.example.com"}}, Options: 0x1e, DirectAccess: true,
				Servers:   []Server{{Addr: ip("fd12:3456:789a:3333::1")}, {Addr: ip("10.0.0.53")}, {Name: "dns2.corp.example.com"}},
				ProxyType: 2, Proxy: "proxy.corp.example.com:8080", IPsec: true, Generic: true, GenericServers: []Server{{Addr: ip("10.0.0.54")}}, DNSSEC: true, NameEncoding: 2},
			{ID: "vpn", Local: true, Version: 2, Names: []Namespace{{Suffix, "vpn.example.com"}}, Options: 8, Generic: true, GenericServers: []Server{{Addr: ip("10.9.0.1")}}},
		},
		Corporate: Corporate{
			ProbeHost: "directaccess-corpconnectivityhost.corp.example.com", ProbeAddr: ip("fd12:3456:789a:7777::7f00:1"),
			Prefix: nat64.MustParse("fd12:3456:789a:7777::/96"), WebProbe: "http://directaccess-WebProbeHost.corp.example.com",
			Location:   "https://nls.corp.example.com/",
			SitePrefix: []netip.Prefix{netip.MustParsePrefix("fd12:3456:789a::/48"), netip.MustParsePrefix("2001:db8:5::/48")},
			Connections: []Connection{
				{"PING", "fd12:3456:789a:1::1"}, {"HTTP", "http://directaccess-WebProbeHost.corp.example.com"}},
		},
		Tunnels: Tunnels{Teredo: "Disabled", SixToFour: "Disabled", IPHTTPSState: number(3), IPHTTPSURL: "https://da.example.com:443/IPHTTPS"},
		Global:  Global{EnableForAllNetworks: number(0), SecureNameFallback: number(1)},
	}
}

func TestClientPolicy(t *testing.T) {
	for _, name := range []string{"client.reg", "client-utf16.reg"} {
		t.Run(name, func(t *testing.T) {
			got := load(t, name)
			if d := cmp.Diff(clientPolicy(), got, equal); d != "" {
				t.Error(d)
			}
			if !got.Configured() {
				t.Error("not configured")
			}
		})
	}
}

func TestNoPolicy(t *testing.T) {
	p := Read(Tree{})
	if d := cmp.Diff(Policy{}, p, equal); d != "" {
		t.Error(d)
	}
	if p.Configured() || p.Prefixes(nil) != nil {
		t.Error("something is configured")
	}
	if _, ok := p.Match("host.example.com"); ok {
		t.Error("a rule matches")
	}
}

// TestProbeContent: spec DA-11, MSDA-6, MSDA-12.
func TestProbeContent(t *testing.T) {
	for _, tt := range []struct {
		name, content, prefix string
		native                bool
		problem               string
	}{
		{"the usual /96", "fd12:3456:789a:7777::7f00:1", "fd12:3456:789a:7777::/96", false, ""},
		{"UAG's, from 6to4", "2002:c00a:a02::7f00:1", "2002:c00a:a02::/96", false, ""},
		{"in brackets, with blanks", " [fd12:3456:789a:7777::127.0.0.1] ", "fd12:3456:789a:7777::/96", false, ""},
		{"a /64", "fd12:3456:789a:7777:7f:0:100::", "fd12:3456:789a:7777::/64", false, ""},
		{"native IPv6 inside", "::1", "", true, ""},
		{"IPv4", "127.0.0.1", "", false, ""},
		{"not set", "", "", false, ""},
		{"another address", "fd12:3456:789a:7777::a01:203", "", false, "does not hold 127.0.0.1"},
		{"in two places", "fd12:3456:7f00:1::7f00:1", "", false, "exactly one"},
		{"IPv4-compatible", "::7f00:1", "", false, "exactly one"},
		{"IPv4-mapped", "::ffff:127.0.0.1", "", false, "exactly one"},
		{"several addresses", "fd12::7f00:1;fd13::7f00:1", "", false, "not one address"},
		{"with a zone", "fd12::7f00:1%5", "", false, "not one address"},
		{"a name", "localhost", "", false, "not one address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tree Tree
			tree.Set(ncsiKey, "DnsProbeContent", Value{Kind: Text, Texts: []string{tt.content}})
			p := Read(tree)
			if got := p.Corporate.Prefix.String(); got != tt.prefix || p.Corporate.Native != tt.native {
				t.Errorf("got %q, native %v", got, p.Corporate.Native)
			}
			if tt.problem == "" && len(p.Problems) > 0 || tt.problem != "" && (len(p.Problems) != 1 || !strings.Contains(p.Problems[0].String(), tt.problem)) {
				t.Errorf("problems %v, want %q", p.Problems, tt.problem)
			}
		})
	}
}

// TestPrefixesAreForTunnels: spec DA-3, MSDA-13.
func TestPrefixesAreForTunnels(t *testing.T) {
	iphttps := Adapter{Index: 17, TunnelType: 15, Up: true, Addrs: []netip.Addr{ip("fe80::1"), ip("fd12:3456:789a:1000::5")}}
	wlan := Adapter{Index: 4, IfType: 71, Up: true, Addrs: []netip.Addr{ip("192.0.2.7"), ip("2001:db8::7")}}
	down, dead := iphttps, iphttps
	down.Up, down.Index = false, 18
	dead.Addrs, dead.Index = dead.Addrs[:1], 19
	for _, tt := range []struct {
		name     string
		adapters []Adapter
		want     []int
	}{
		{"connected", []Adapter{wlan, iphttps, down}, []int{17}},
		{"tunnel down", []Adapter{wlan, down}, []int{0}},
		{"tunnel without an address", []Adapter{wlan, dead}, []int{0}},
		{"no tunnel", []Adapter{wlan}, []int{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			for _, p := range clientPolicy().Prefixes(tt.adapters) {
				got = append(got, p.Link)
				if p.Prefix.String() != "fd12:3456:789a:7777::/96" || !strings.Contains(p.Origin, "directaccess-corpconnectivityhost") {
					t.Errorf("%+v", p)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestTunnels: spec DA-30.
func TestTunnels(t *testing.T) {
	for _, tt := range []struct {
		name    string
		a       Adapter
		want    Tunnel
		carries bool
	}{
		{"IP-HTTPS", Adapter{TunnelType: 15, Up: true, Addrs: []netip.Addr{ip("fd00::1")}}, IPHTTPS, true},
		{"Teredo", Adapter{TunnelType: 14, Up: true, Addrs: []netip.Addr{ip("2001:0:102:304::1")}}, Teredo, true},
		{"6to4", Adapter{TunnelType: 11, Up: true, Addrs: []netip.Addr{ip("2002:c000:201::1")}}, SixToFour, true},
		{"ISATAP is not for clients outside", Adapter{TunnelType: 13, Up: true, Addrs: []netip.Addr{ip("fd00::1")}}, ISATAP, false},
		{"by its description", Adapter{IfType: 131, Description: "Microsoft IP-HTTPS Platform Adapter"}, IPHTTPS, false},
		{"by its name", Adapter{IfType: 131, Name: "iphttpsinterface"}, IPHTTPS, false},
		{"by its description, Teredo", Adapter{IfType: 131, Description: "Teredo Tunneling Pseudo-Interface"}, Teredo, false},
		{"by its description, 6to4", Adapter{IfType: 131, Description: "Microsoft 6to4 Adapter"}, SixToFour, false},
		{"Ethernet with an odd name", Adapter{IfType: 6, Name: "Teredo lab", Up: true, Addrs: []netip.Addr{ip("2001:db8::1")}}, NoTunnel, false},
		{"another tunnel", Adapter{IfType: 131, TunnelType: 8}, NoTunnel, false},
		{"down", Adapter{TunnelType: 15, Addrs: []netip.Addr{ip("fd00::1")}}, IPHTTPS, false},
		{"link-local alone", Adapter{TunnelType: 15, Up: true, Addrs: []netip.Addr{ip("fe80::1")}}, IPHTTPS, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.a.Tunnel(); got != tt.want || tt.a.Carries() != tt.carries {
				t.Errorf("got %v, carries %v", got, tt.a.Carries())
			}
		})
	}
	if got := []string{NoTunnel.String(), IPHTTPS.String(), Tunnel(99).String()}; !cmp.Equal(got, []string{"none", "iphttps", "tunnel 99"}) {
		t.Errorf("words %q", got)
	}
}

// TestBadValues: each costs only itself.
func TestBadValues(t *testing.T) {
	text := func(s string) Value { return Value{Kind: Text, Texts: []string{s}} }
	for _, tt := range []struct {
		name, key, value string
		v                Value
		problem          string
	}{
		{"probe host", ncsiKey, "DnsProbeHost", text("no name"), `"no name" is not a domain name`},
		{"site prefix", ncsiKey, "SitePrefixes", text("fd00::/48;10.0.0.0/8"), `"10.0.0.0/8" is not an IPv6 prefix`},
		{"URL of another type", ncsiKey, "WebProbeUrl", Value{Kind: Number}, "want one text"},
		{"probe without kind", probesKey, "x", text("fd00::1"), "want PING:"},
		{"probe of another kind", probesKey, "x", text("GOPHER:x"), "want PING:"},
		{"number as text", clientKey, "EnableDAForAllNetworks", text("1"), "want a number"},
		{"rule without names", policyRules + `\r`, "ConfigOptions", Value{Kind: Number, Number: 4}, "applies to no name"},
		{"rule with a bad name", policyRules + `\r`, "Name", Value{Kind: Texts, Texts: []string{".ok.example", "a..b"}}, `"a..b" is not a domain name`},
		{"host as bytes", ncsiKey, "DnsProbeHost", Value{Kind: Other}, "want one text"},
		{"number as bytes", clientKey, "EnableDAForAllNetworks", Value{Kind: Other}, "want a number"},
		{"names of another type", policyRules + `\r`, "Name", Value{Kind: Number}, "want texts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tree Tree
			tree.Set(tt.key, tt.value, tt.v)
			p := Read(tree)
			if len(p.Problems) == 0 || !strings.Contains(p.Problems[0].String(), tt.problem) || !strings.Contains(p.Problems[0].String(), tt.key) {
				t.Errorf("problems %v, want %q", p.Problems, tt.problem)
			}
		})
	}
	var tree Tree
	key := policyRules + `\r`
	tree.Set(key, "Name", text(".a.example;b.example; ."))
	tree.Set(key, "ConfigOptions", Value{Kind: Number, Number: 0x44})
	tree.Set(key, "DirectAccessDNSServers", text("[fd00::1];no name;;dns.example.;::ffff:10.0.0.1"))
	p := Read(tree)
	want := []Rule{{ID: "r", Names: []Namespace{{Suffix, "a.example"}, {FQDN, "b.example"}, {Any, ""}}, Options: 0x44, DirectAccess: true,
		Servers: []Server{{Addr: ip("fd00::1")}, {Name: "dns.example"}, {Addr: ip("10.0.0.1")}}}}
	if d := cmp.Diff(want, p.Rules, equal); d != "" || len(p.Problems) != 2 {
		t.Errorf("%s\nproblems %v", d, p.Problems)
	}
}

func TestSystem(t *testing.T) {
	tree, _, err := System()
	if runtime.GOOS != "windows" {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("err = %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", Read(tree))
}
