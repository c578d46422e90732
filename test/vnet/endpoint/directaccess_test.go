package endpoint

import (
	"net/netip"
	"strings"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/scenario"
	"github.com/reach64/reach64/test/vnet"
)

// The organization's side of the tunnel da0, whose router is its DNS64 and NAT64.
const (
	corporateRouter = "fd12:3456:789a:1000::1"
	tunnelAddr      = "fd12:3456:789a:1000::2"
	organization    = "fd12:3456:789a::/48"
)

// organizationAt is the tunnel to the organization, which is not connected at first. Names
// are those that its DNS64 knows beside the server's.
func organizationAt(names map[string][]netip.Addr) []Access {
	zone := map[string][]netip.Addr{scenario.ServerName: {ServerAddr.Addr()}}
	for name, addrs := range names {
		zone[name] = addrs
	}
	return []Access{{Link: "da0", Down: true, Options: vnet.Options{Prefix: nat64.MustParse(scenario.Corporate),
		PIO: netip.MustParsePrefix(scenario.CorporateNet), NoRA: true, NoPref64: true, Zone: zone}}}
}

// Home networks: without a NAT64, and with one that leads elsewhere. Neither knows the
// server's name.
var (
	home       = vnet.Options{NoPref64: true, NoDNS64: true, NoNAT64: true, Zone: map[string][]netip.Addr{}}
	homeNAT64  = vnet.Options{Zone: map[string][]netip.Addr{}}
	byAllMeans = strings.Replace(byName, "tls = false\n", "tls = false\nipv4 = [\""+scenario.Server+"\"]\ndns = [\""+corporateRouter+"\"]\n", 1)
)

// connect brings the tunnel up.
func (g *game) connect() { g.connectWith(64) }

func (g *game) connectWith(bits int) {
	da0 := g.w.Link("da0")
	g.must(g.w.Host.SetLink(da0, true),
		g.w.Host.AddAddr(da0, netip.PrefixFrom(netip.MustParseAddr(tunnelAddr), bits), false),
		g.w.Host.AddRoute(netstate.Route{Dst: netip.MustParsePrefix(scenario.CorporateNet), Link: da0}),
		g.w.Host.AddRoute(netstate.Route{Dst: netip.MustParsePrefix(organization), Gateway: netip.MustParseAddr(corporateRouter), Link: da0}))
}

// disconnect takes it down, and what it had with it.
func (g *game) disconnect() {
	da0 := g.w.Link("da0")
	g.must(g.w.Host.RemoveRoute(netstate.Route{Dst: netip.MustParsePrefix(organization), Gateway: netip.MustParseAddr(corporateRouter), Link: da0}),
		g.w.Host.RemoveRoute(netstate.Route{Dst: netip.MustParsePrefix(scenario.CorporateNet), Link: da0}),
		g.w.Host.RemoveAddr(da0, netip.PrefixFrom(netip.MustParseAddr(tunnelAddr), 64)),
		g.w.Host.SetLink(da0, false))
}

// Group policy: the organization's names have its DNS servers, and the probe address
// has the prefix in it.
const (
	rule = `[HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows NT\DNSClient\DnsPolicyConfig\{1}]
"Name"=".example.test"
"ConfigOptions"=dword:00000004
"DirectAccessDNSServers"="` + corporateRouter + `"
`
	probeAddr = `[HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows\NetworkConnectivityStatusIndicator\CorporateConnectivity]
"DnsProbeHost"="directaccess-corpConnectivityHost.example.test"
"DnsProbeContent"="fd12:3456:789a:7777::7f00:1"
`
)

// policy sets what the registry says, with da0 as an IP-HTTPS tunnel.
func policy(reg string) func(*game) {
	return func(g *game) {
		tree, problems, err := directaccess.ParseReg([]byte("Windows Registry Editor Version 5.00\n\n" + reg))
		g.must(err)
		if len(problems) > 0 {
			g.Fatal(problems)
		}
		g.w.Policy = func() (directaccess.Tree, []directaccess.Adapter, error) {
			l, _ := g.w.Host.Snapshot().LinkByName("da0")
			a := directaccess.Adapter{Index: l.Index, Name: l.Name, IfType: 131, TunnelType: 15, Up: l.Up}
			for _, ip := range l.Addrs {
				a.Addrs = append(a.Addrs, ip.Prefix.Addr())
			}
			return tree, []directaccess.Adapter{a}, nil
		}
	}
}

// byTunnel wants the relay over the tunnel, with no address but the machine's own (spec
// DA-33).
func byTunnel(st status.Status) error {
	return want("the relay on da0", st.CLAT != nil && st.CLAT.Uplink == "da0" && deref(st.Uplink) == "eth0" && st.CLAT.IPv6 == nil &&
		strings.Contains(deref(st.DatapathNote), "directaccess-one-address"))
}

// source wants the source 'os' to give a reason with this in it.
func source(text string) func(status.Status) error {
	return func(st status.Status) error {
		for _, s := range st.Sources {
			if s.Source == "os" && strings.Contains(s.Reason, text) {
				return nil
			}
		}
		return want(text, false)
	}
}

const outside = "DirectAccess whose tunnel is not connected"

// directAccessPlays are of a client at home. The name is sent to the organization's DNS
// by configuration, or by policy.
var directAccessPlays = map[string]play{
	outside: {net: home, more: organizationAt(nil), servers: byAllMeans},
	"DirectAccess, prefix from the server's address": {net: home, more: organizationAt(nil), servers: byAllMeans,
		from: outside, enter: (*game).connect, leave: (*game).disconnect, also: byTunnel},
	"DirectAccess whose tunnel has one address": {net: home, more: organizationAt(nil), servers: byAllMeans,
		from: outside, enter: func(g *game) { g.connectWith(128) }, also: byTunnel},
	"DirectAccess with a datapath that needs an address of its own": {net: home, more: organizationAt(nil), servers: byAllMeans,
		from: outside, enter: func(g *game) { g.reload("[path]\ndatapath = \"tun\"\n"); g.connect() }},
	"DirectAccess, prefix from policy": {net: home, more: organizationAt(nil), servers: byName, before: policy(rule + probeAddr),
		from: outside, enter: (*game).connect, leave: (*game).disconnect, also: all(byTunnel, source("DirectAccess policy"))},
	"DirectAccess, prefix from the connectivity host": {net: home, servers: byName, before: policy(rule),
		more: organizationAt(map[string][]netip.Addr{"directaccess-corpconnectivityhost.example.test": {netip.MustParseAddr("127.0.0.1")}}),
		from: outside, enter: (*game).connect, also: all(byTunnel, source("directaccess-corpconnectivityhost.example.test resolves to"))},
	"DirectAccess, prefix from the web probe host": {net: home, servers: byName, before: policy(rule),
		more: organizationAt(map[string][]netip.Addr{"directaccess-webprobehost.example.test": {netip.MustParseAddr("10.1.2.3")}}),
		from: outside, enter: (*game).connect, also: all(byTunnel, source("directaccess-webprobehost.example.test resolves to"))},
	"DirectAccess beside a NAT64 at home, prefix from policy": {net: homeNAT64, nowhere: true, more: organizationAt(nil), servers: byName,
		before: func(g *game) { policy(rule + probeAddr)(g); g.connect() }, also: byTunnel},
	"DirectAccess beside a NAT64 at home, prefix from the server's address": {net: homeNAT64, nowhere: true, more: organizationAt(nil), servers: byName,
		before: func(g *game) { policy(rule)(g); g.connect() }, also: byTunnel},
}
