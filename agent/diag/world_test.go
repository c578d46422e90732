package diag

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/probe"
	"github.com/reach64/reach64/resolver/system"
	"github.com/reach64/reach64/tunnel/dial"
)

var (
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	prefix = nat64.MustParse("2001:db8:64::/96")
	wrong  = nat64.MustParse("2001:db8:bad::/96")
	v4     = netip.MustParseAddr("198.51.100.10")
	made   = netip.MustParseAddr("2001:db8:64::c633:640a")
	dnsAt  = system.Server{Link: "eth0", Addr: netip.MustParseAddrPort("[2001:db8:1::53]:53")}
)

func leaf() *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: "backup.example"}, Issuer: pkix.Name{CommonName: "Example CA"},
		DNSNames: []string{"backup.example"}, IPAddresses: []net.IP{{203, 0, 113, 9}}, NotBefore: now.Add(-1000 * time.Hour), NotAfter: now.Add(1000 * time.Hour)}
}

// good is a probe that succeeded.
func good() probe.Result {
	return probe.Result{Reachable: true, Answered: true, Reason: probe.OK, Connect: 12 * time.Millisecond, Handshake: 31 * time.Millisecond, Chain: []*x509.Certificate{leaf()}}
}

func lost(reason string) probe.Result { return probe.Result{Reason: reason, Err: reason} }

// well is an IPv6-only network on which everything works through the CLAT.
func well() *Evidence {
	eth := netstate.Link{Index: 2, Name: "eth0", Up: true, Ethernet: true, MTU: 1500, Addrs: []netstate.Addr{
		{Prefix: netip.MustParsePrefix("fe80::2/64")}, {Prefix: netip.MustParsePrefix("2001:db8:1::2/64"), Autoconf: true}}}
	clat := netstate.Link{Index: 3, Name: "clat0", Up: true, Tunnel: true, MTU: 1480, Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("192.0.0.3/32")}}}
	port := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 443) }
	view := system.View{How: "the system", Addrs: []netip.Addr{made, v4}}
	answers := []system.Answer{
		{Server: dnsAt, Type: dns.TypeAAAA, Chain: dnsq.Chain{Addrs: []netip.Addr{made}}},
		{Server: dnsAt, Type: dns.TypeA, Chain: dnsq.Chain{Addrs: []netip.Addr{v4}}}}
	return &Evidence{
		Now: now, Version: "1.2.3", Built: now.Add(-240 * time.Hour), Duration: 1200 * time.Millisecond,
		Net: netstate.Snapshot{Links: []netstate.Link{{Index: 1, Name: "lo", Up: true, Loopback: true}, eth, clat},
			Routes: []netstate.Route{{Dst: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fe80::1"), Link: 2}, {Dst: netip.MustParsePrefix("198.51.100.10/32"), Link: 3}}},
		Config: Config{Found: true, File: "/etc/reach64/reach64.toml", Digest: "d1", Conf: config.Config{Servers: []config.Server{{Name: "backup.example", Port: 443}}}},
		Rights: Rights{Root: true},
		Service: Service{Running: true, Version: "1.2.3", Status: status.Status{Class: "v6-only-nat64-dns64", Path: "clat", Reason: "clat-carries-ipv4",
			Sentence: "IPv4 to the server goes through the CLAT and the network's NAT64.", Datapath: status.Ptr("tun"), PID: 4711, Started: now.Add(-time.Hour),
			CLAT:     &status.CLAT{IPv4: "192.0.0.3", IPv6: status.Ptr("2001:db8:1:0:2c1:a700:0:e883"), Uplink: "eth0", Device: "clat0", MTU: 1480, Ready: true, Steered: "tcx"},
			Counters: map[string]uint64{"4to6-translated": 12, "6to4-translated": 9}, Configuration: &status.Configuration{Files: []string{"/etc/reach64/reach64.toml"}, Digest: "d1", LoadedAt: now.Add(-time.Hour)}}},
		Sources: []Source{{Source: pref64.RA, From: "eth0", Prefixes: []nat64.Prefix{prefix}, Heard: true, Reason: "advertised"},
			{Source: pref64.DNS, From: "2001:db8:1::53", Prefixes: []nat64.Prefix{prefix}, Heard: true}},
		Answers: []Resolver{{Server: dnsAt, Answered: true, Rcode: "NOERROR", Prefixes: []nat64.Prefix{prefix}, HasA: true, Took: 2 * time.Millisecond}},
		Servers: []Server{{Name: "backup.example", Port: 443, Given: []netip.Addr{v4}, Identity: probe.Target{Name: "backup.example", TLS: true}, View: view, Answers: answers,
			Paths: []Path{{Kind: dial.DNS64, Addr: port(made), Link: "eth0", Routed: true, Prefix: prefix, Result: good(), MTU: 1500},
				{Kind: dial.CLAT, Addr: port(v4), Link: "clat0", Own: true, Routed: true, Result: good()}},
			Echo: []Echo{{Prefix: prefix, To: made, Reply: 11 * time.Millisecond, Asked: []int{1280, 1500}, Sizes: []int{1280, 1500}}}}},
		Asked: map[Topic]bool{Local: true, Sources: true, Names: true, Resolvers: true, Echoes: true, Paths: true},
		Took:  map[Topic]time.Duration{Local: 3 * time.Millisecond, Resolvers: 40 * time.Millisecond, Paths: 90 * time.Millisecond},
	}
}

// paths sets the result of each path.
func (e *Evidence) set(result func(Path) probe.Result) {
	s := &e.Servers[0]
	for i := range s.Paths {
		s.Paths[i].Result = result(s.Paths[i])
	}
}

// silent: no server answers, and nothing behind the NAT64.
func (e *Evidence) silent(reason string) {
	e.set(func(Path) probe.Result { return lost(reason) })
	e.Servers[0].Echo[0] = Echo{Prefix: prefix, To: made}
	e.stopped("server-does-not-answer")
}

// stopped: the service gives a reason, and has no CLAT unless it is up.
func (e *Evidence) stopped(reason string) {
	e.Service.Status.Reason, e.Service.Status.Sentence = reason, "It is so."
	if reason != "server-does-not-answer" {
		e.Service.Status.CLAT = nil
		e.dropPath(dial.CLAT)
		e.Net.Links = slices.DeleteFunc(e.Net.Links, func(l netstate.Link) bool { return l.Name == "clat0" })
		e.Net.Routes = slices.DeleteFunc(e.Net.Routes, func(r netstate.Route) bool { return r.Link == 3 })
	}
}

func (e *Evidence) dropPath(kind dial.Kind) {
	s := &e.Servers[0]
	s.Paths = slices.DeleteFunc(s.Paths, func(p Path) bool { return p.Kind == kind })
}

// noPrefix: nobody tells one.
func (e *Evidence) noPrefix() {
	for i := range e.Sources {
		e.Sources[i].Prefixes = nil
	}
	e.Servers[0].Paths, e.Servers[0].Echo = nil, nil
	e.Servers[0].Answers = e.Servers[0].Answers[1:]
	e.Servers[0].View.Addrs = []netip.Addr{v4}
	e.Servers[0].Paths = []Path{{Kind: dial.NoPath, Addr: netip.AddrPortFrom(v4, 443), Routed: true, Result: lost(probe.Unreachable)}}
	e.stopped("no-nat64-prefix")
}
