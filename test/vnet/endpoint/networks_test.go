package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/backup"
	"github.com/reach64/reach64/test/scenario"
	"github.com/reach64/reach64/test/vnet"
	"github.com/reach64/reach64/tunnel/clat"
	"github.com/reach64/reach64/tunnel/siit"
)

// An IPv4 address of the link, as DHCP gives it, and the default route that comes with it.
var (
	addr4  = netip.MustParsePrefix("192.0.2.2/24")
	route4 = netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Link: vnet.Uplink, Metric: 100}
)

// four gives eth0 IPv4, and noFour takes it away.
func (g *game) four() {
	g.must(g.w.Host.AddAddr(vnet.Uplink, addr4, false), g.w.Host.AddRoute(route4))
}

func (g *game) noFour() {
	g.must(g.w.Host.RemoveRoute(route4), g.w.Host.RemoveAddr(vnet.Uplink, addr4))
}

// bounce takes eth0 down, changes the network, and brings it up: another Wi-Fi.
func (g *game) bounce(change func(*vnet.Router)) {
	g.must(g.w.Host.SetLink(vnet.Uplink, false))
	g.wait(orBase("no network"), nil)
	change(g.w.Router)
	g.must(g.w.Host.SetLink(vnet.Uplink, true))
}

// turn changes the network and has reach64 look again.
func (g *game) turn(change func(*vnet.Router)) {
	change(g.w.Router)
	g.s.Agent.Refresh()
}

var server6 = netip.AddrPortFrom(netip.MustParseAddr(scenario.Server6), ServerAddr.Port())

// networkPlays are of each class of network.
var networkPlays = map[string]play{
	base:                              {also: mtu(1480)},
	"NAT64 for the well-known prefix": {net: vnet.Options{Prefix: nat64.WellKnown()}},
	"prefix from DNS alone": {
		enter: func(g *game) { g.w.Router.SetPref64(false) },
		leave: func(g *game) { g.w.Router.SetPref64(true) }},
	"prefix from PCP alone": {net: vnet.Options{NoPref64: true, NoDNS64: true, PCP: pcpServer()}},
	"NAT64 without DNS64": {
		enter: func(g *game) { g.turn(func(r *vnet.Router) { r.SetDNS64(false) }) },
		leave: func(g *game) { g.turn(func(r *vnet.Router) { r.SetDNS64(true) }) }},
	"no network": {
		enter: func(g *game) { g.must(g.w.Host.SetLink(vnet.Uplink, false)) },
		leave: func(g *game) { g.must(g.w.Host.SetLink(vnet.Uplink, true)) }},
	"IPv4 only": {
		enter: func(g *game) { g.w.Router.SetRA(false); g.four() },
		leave: func(g *game) { g.noFour(); g.w.Router.SetRA(true) },
		also:  answered},
	"native IPv4 beside NAT64": {enter: (*game).four, leave: (*game).noFour, also: answered},
	"IPv4 that leads nowhere": {
		enter: func(g *game) { g.w.Router.SetIPv4(false); g.four() },
		leave: func(g *game) { g.noFour(); g.w.Router.SetIPv4(true) },
		after: func(g *game) {
			g.w.Router.SetIPv4(true)
			g.wait(orBase("native IPv4 beside NAT64"), answered)
		}},
	"neither IPv4 nor NAT64 leads to the server": {net: vnet.Options{NoNAT64: true, NoIPv4: true}, before: (*game).four, also: noCLAT},
	"server with IPv6": {servers: byName,
		before: func(g *game) { g.w.echoServerAt(g.T, server6) },
		enter: func(g *game) {
			g.bounce(func(r *vnet.Router) { r.SetName(scenario.ServerName, ServerAddr.Addr(), server6.Addr()) })
		},
		leave: func(g *game) {
			g.bounce(func(r *vnet.Router) { r.SetName(scenario.ServerName, ServerAddr.Addr()) })
		},
		also: func(st status.Status) error { // for clients that know its IPv4 address alone
			return want("the CLAT is up", st.CLAT != nil && st.CLAT.Ready)
		}},
	"no NAT64": {
		enter: func(g *game) {
			g.bounce(func(r *vnet.Router) { r.SetPref64(false); r.SetDNS64(false); r.SetNAT64(false) })
		},
		leave: func(g *game) {
			g.bounce(func(r *vnet.Router) { r.SetPref64(true); r.SetDNS64(true); r.SetNAT64(true) })
		},
		also: func(st status.Status) error {
			asked := map[string]string{}
			for _, s := range st.Sources {
				asked[s.Source] = s.Verdict
			}
			return want("ra and dns say that there is none, and what to do is said", asked["ra"] == "none" && asked["dns"] == "none" && st.Advice != nil)
		}},
	"DNS is silent and needed": {
		enter: func(g *game) { g.bounce(func(r *vnet.Router) { r.SetPref64(false); r.SetDNS(false) }) },
		leave: func(g *game) { g.bounce(func(r *vnet.Router) { r.SetPref64(true); r.SetDNS(true) }) },
		also:  detail("2001:db8:1::1")},
	"DNS answers with an error": {net: vnet.Options{NoPref64: true},
		before: func(g *game) { g.w.Router.SetAnswer(failure) },
		after:  func(g *game) { g.w.Router.SetAnswer(nil); g.wait(orBase("prefix from DNS alone"), nil) }},
	"IPv6 that leads nowhere": {
		enter: func(g *game) { g.turn(func(r *vnet.Router) { r.SetDNS(false); r.SetNAT64(false) }) },
		leave: func(g *game) { g.turn(func(r *vnet.Router) { r.SetDNS(true); r.SetNAT64(true) }) },
		also:  detail("does not answer on eth0")},
	"sign-in wanted, by the router's API": {
		net:    vnet.Options{Portal: "https://" + portalName + "/api", NoNAT64: true, Zone: portalZone},
		before: (*game).portal,
		also:   all(detail("sign in at "+signInPage), detail("says that a sign-in is wanted")),
		after:  (*game).signIn},
	"sign-in wanted, by the configured address": {
		net:    vnet.Options{NoNAT64: true, Zone: portalZone},
		conf:   probing + "portal_url = \"http://" + portalName + "/generate_204\"\n",
		before: (*game).portal,
		also:   all(detail("sign in at "+signInPage), detail("answered with 302 Found")),
		after:  (*game).signIn},
	"IPv6-mostly": {
		enter: func(g *game) { g.w.SetLease("the lease of eth0 has option 108"); g.s.Agent.Refresh() },
		leave: func(g *game) { g.w.SetLease(""); g.s.Agent.Refresh() }},
	"another CLAT at work":            {before: func(g *game) { g.otherCLAT(true) }, also: all(noCLAT, detail("192.0.0.4"))},
	"another CLAT that leads nowhere": {before: func(g *game) { g.otherCLAT(false) }, also: all(noCLAT, detail("192.0.0.4"))},
	"another CLAT that leads nowhere, with leave to take over": {before: func(g *game) { g.otherCLAT(false) },
		conf: "[path]\nother_clat = \"take-over\"\nscope = \"all\"\n",
		also: func(st status.Status) error {
			return want("another address, and the server's route alone", st.CLAT.IPv4 != "192.0.0.4" && slices.Equal(st.CLAT.Routes, []string{scenario.Server}))
		}},
	"VPN for all of IPv4": {more: []Access{{Link: "vpn0", Tunnel: true, Options: vnet.Options{NoRA: true, NoPref64: true}}},
		enter: (*game).vpnUp, leave: (*game).vpnDown,
		also: all(answered, noCLAT, detail("vpn0, a tunnel such as a VPN's"))},
	"network that gives single addresses": {net: vnet.Options{Managed: true},
		before: func(g *game) { // as DHCPv6 does
			g.must(g.w.Host.AddAddr(vnet.Uplink, netip.MustParsePrefix("2001:db8:1::77/128"), false))
		},
		also: note("no-slash-64")},
}

func want(what string, ok bool) error {
	if ok {
		return nil
	}
	return errors.New("want: " + what)
}

func all(list ...func(status.Status) error) func(status.Status) error {
	return func(st status.Status) error {
		var errs []error
		for _, f := range list {
			errs = append(errs, f(st))
		}
		return errors.Join(errs...)
	}
}

func noCLAT(st status.Status) error { return want("no CLAT", st.CLAT == nil) }

// answered wants a server to have answered, for native paths.
func answered(st status.Status) error {
	return want("the server answers", len(st.Servers) == 1 && st.Servers[0].Reachable != nil && *st.Servers[0].Reachable && st.Exit() == status.ExitOK)
}

func detail(text string) func(status.Status) error {
	return func(st status.Status) error {
		return want(fmt.Sprintf("%q in detail %q", text, deref(st.Detail)), strings.Contains(deref(st.Detail), text))
	}
}

func note(text string) func(status.Status) error {
	return func(st status.Status) error {
		return want(fmt.Sprintf("%q in note %q", text, deref(st.DatapathNote)), strings.Contains(deref(st.DatapathNote), text))
	}
}

func mtu(n int) func(status.Status) error {
	return func(st status.Status) error { return want(fmt.Sprint("MTU ", n), st.CLAT.MTU == n) }
}

// failure is what a name server says that cannot.
func failure(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure) }

func pcpServer() *vnet.PCP {
	var p vnet.PCP
	p.Restart(time.Now())
	p.Set(vnet.PCPSettings{Prefixes: []vnet.PCPPrefix{{Prefix: netip.MustParsePrefix(scenario.Prefix)}}})
	return &p
}

// The VPN has both halves of the space.
var vpnAddr = netip.MustParsePrefix("192.0.2.9/24")

func (g *game) vpnRoutes() (list []netstate.Route) {
	for _, half := range []string{"0.0.0.0/1", "128.0.0.0/1"} {
		list = append(list, netstate.Route{Dst: netip.MustParsePrefix(half), Gateway: route4.Gateway, Link: g.w.Link("vpn0")})
	}
	return list
}

func (g *game) vpnUp() {
	g.must(g.w.Host.AddAddr(g.w.Link("vpn0"), vpnAddr, false))
	for _, r := range g.vpnRoutes() {
		g.must(g.w.Host.AddRoute(r))
	}
}

func (g *game) vpnDown() {
	for _, r := range g.vpnRoutes() {
		g.must(g.w.Host.RemoveRoute(r))
	}
	g.must(g.w.Host.RemoveAddr(g.w.Link("vpn0"), vpnAddr))
}

// otherCLAT is another program's, with the address 192.0.0.4 and the default route.
func (g *game) otherCLAT(works bool) {
	h, prefix := g.w.Host, nat64.MustParse(scenario.Prefix)
	tun, err := h.OpenTUN("v4-eth0", 1480)
	g.must(err)
	g.Cleanup(func() { _ = tun.Close() })
	addr := netip.MustParseAddr("192.0.0.4")
	g.must(h.AddAddr(tun.Index(), netip.PrefixFrom(addr, 32), false), h.AddRoute(netstate.Route{Dst: route4.Dst, Link: tun.Index()}))
	if !works {
		return
	}
	six := netip.MustParseAddr("2001:db8:1::c1a7")
	g.must(h.AddAddr(vnet.Uplink, netip.PrefixFrom(six, 128), false))
	steering, err := h.Steer(tun.Index(), vnet.Uplink, six, []nat64.Prefix{prefix})
	g.must(err)
	tr, err := siit.New(siit.Config{Prefix: prefix, CLAT4: addr, CLAT6: six, MTU4: 1480, MTU6: 1500})
	g.must(err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- clat.New(newLog(g.T), tun, tr).Run(ctx) }()
	g.Cleanup(func() { stop(); g.must(<-done, steering.Close()) })
}

// The captive portal.
const (
	portalName = "portal.example.test"
	signInPage = "https://portal.example.test/sign-in"
)

var (
	portalAddr = netip.MustParseAddr("2001:db8:77::1")
	portalZone = map[string][]netip.Addr{portalName: {portalAddr}}
)

func (g *game) portal() {
	p := &vnet.Portal{SignIn: signInPage}
	ca, err := backup.NewCA()
	g.must(err)
	conf, err := ca.Server(portalName)
	g.must(err)
	g.w.Roots = x509.NewCertPool()
	g.w.Roots.AppendCertsFromPEM(ca.PEM())
	for port, handler := range map[uint16]http.HandlerFunc{80: p.Plain, 443: p.API} {
		l, err := g.w.Internet.Listen(netip.AddrPortFrom(portalAddr, port))
		g.must(err)
		if port == 443 {
			l = tls.NewListener(l, conf)
		}
		s := &http.Server{Handler: handler}
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		g.Cleanup(func() { _ = s.Close(); <-done })
	}
}

// signIn opens the way out, as a person does with a browser.
func (g *game) signIn() {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return g.w.Host.DialContext(ctx, "tcp6", addr)
	}}}
	resp, err := client.Post("http://["+portalAddr.String()+"]/", "text/plain", nil)
	g.must(err)
	_ = resp.Body.Close()
	g.w.Router.SetNAT64(true)
	g.wait(orBase(base), nil)
	g.client(true)
}
