package diag

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/system"
)

// ipv4only is the name by which a NAT64's prefix is found, RFC 7050.
const ipv4only = "ipv4only.arpa"

// resolvers are the DNS servers of the system, of the service, and of routers.
func (g *gatherer) resolvers() []system.Server {
	out := g.p.Resolvers(g.e.Net)
	add := func(link, addr string) {
		ip, err := netip.ParseAddr(addr)
		if err != nil {
			return
		}
		s := system.Server{Link: link, Addr: netip.AddrPortFrom(ip, 53)}
		if !slices.ContainsFunc(out, func(o system.Server) bool { return o.Addr.Addr().WithZone("") == ip.WithZone("") }) {
			out = append(out, s)
		}
	}
	for _, s := range g.e.Service.Status.Sources {
		if s.Source == "dns" && s.Server != nil {
			add(text(s.Link), *s.Server)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.e.rdnss {
		add(s.Link, s.Addr.Addr().String())
	}
	return out
}

// askResolvers asks each DNS server for the NAT64's prefix and for the servers.
func (g *gatherer) askResolvers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dnsLimit)
	defer cancel()
	g.e.Answers = make([]Resolver, len(g.dns))
	var wg sync.WaitGroup
	for i, s := range g.dns {
		wg.Go(func() { g.e.Answers[i] = g.askOne(ctx, s) })
	}
	asker := func(link string) system.Asker { return &dnsq.Client{Dialer: g.p.Dial(link), Link: link} }
	for i := range g.e.Servers {
		s := &g.e.Servers[i]
		servers := g.dns
		if own := g.q.DNS[s.Name]; len(own) > 0 {
			servers = nil
			for _, ip := range own {
				servers = append(servers, system.Server{Addr: netip.AddrPortFrom(ip, 53)})
			}
		}
		if !s.Literal {
			wg.Go(func() { s.Answers = system.Servers(ctx, servers, asker, s.Name) })
		}
	}
	wg.Wait()
}

// askOne asks a DNS server for ipv4only.arpa, both types at once.
func (g *gatherer) askOne(ctx context.Context, s system.Server) Resolver {
	r := Resolver{Server: s}
	client := &dnsq.Client{Dialer: g.p.Dial(s.Link), Link: s.Link}
	start := time.Now()
	var six, four *dns.Msg
	var err6, err4 error
	var wg sync.WaitGroup
	wg.Go(func() { six, err6 = client.Query(ctx, s.Addr, ipv4only, dns.TypeAAAA) })
	wg.Go(func() { four, err4 = client.Query(ctx, s.Addr, ipv4only, dns.TypeA) })
	wg.Wait()
	r.Took = time.Since(start)
	if err4 == nil {
		c, _ := dnsq.Follow(four, ipv4only, dns.TypeA)
		r.HasA = slices.ContainsFunc(c.Addrs, func(a netip.Addr) bool { return a == wellKnown[0] || a == wellKnown[1] })
	}
	if err6 != nil {
		r.Answered, r.Err = err4 == nil, err6.Error()
		return r
	}
	r.Answered, r.Rcode = true, dns.RcodeToString[six.Rcode]
	c, err := dnsq.Follow(six, ipv4only, dns.TypeAAAA)
	if err != nil {
		r.Err = err.Error()
		return r
	}
	var foreign int
	if r.Prefixes, foreign = pref64.FromAAAA(c.Addrs); foreign > 0 && len(r.Prefixes) == 0 {
		r.Foreign = c.Addrs
	}
	return r
}

// wellKnown are the addresses of ipv4only.arpa, RFC 7050 section 2.2.
var wellKnown = [2]netip.Addr{netip.AddrFrom4([4]byte{192, 0, 0, 170}), netip.AddrFrom4([4]byte{192, 0, 0, 171})}

// sources listens to routers and asks PCP servers, as far as the service has not
// heard them already.
func (g *gatherer) sources(ctx context.Context) {
	var out []Source
	told := map[pref64.Source]bool{}
	if g.e.Service.Running {
		for _, s := range g.e.Service.Status.Sources {
			if src, ok := fromService(s); ok {
				told[src.Source] = true
				out = append(out, src)
			}
		}
	}
	links := g.p.Links(g.e.Net)
	var mu sync.Mutex // over out
	var wg sync.WaitGroup
	look := func(s pref64.Source, ra discover.RAReader, limit time.Duration) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		cfg := discover.Config{Sources: []pref64.Source{s}, Allow: g.q.Config.Conf.Discovery.Allow}
		r := discover.Once(ctx, cfg, links, ra, func(link string) dnsq.Dialer { return g.p.Dial(link) })
		mu.Lock()
		defer mu.Unlock()
		out = append(out, g.fromReport(r, links)...)
	}
	if ra, closeRA := g.p.Routers(); ra != nil {
		defer closeRA()
		if !told[pref64.RA] {
			wg.Go(func() { look(pref64.RA, ra, raLimit) })
		}
	} else if !told[pref64.RA] {
		out = append(out, Source{Source: pref64.RA, Reason: "router advertisements can be heard by root alone"})
	}
	if !g.e.Service.Running { // which has asked PCP servers already
		wg.Go(func() { look(pref64.PCP, nil, pcpLimit) })
	}
	wg.Wait()
	g.e.Sources = out
}

// fromService takes what the running service says of a source; only a prefix that
// it has is believed without being asked for again.
func fromService(s status.Source) (Source, bool) {
	src, err := pref64.ParseSource(s.Source)
	if err != nil || len(s.Prefixes) == 0 || src == pref64.DNS || src == pref64.Server || src == pref64.Policy {
		return Source{}, false
	}
	out := Source{Source: src, From: text(s.Link), Heard: true, Reason: s.Reason}
	for _, t := range s.Prefixes {
		if p, err := nat64.Parse(t); err == nil {
			out.Prefixes = append(out.Prefixes, p)
		}
	}
	return out, len(out.Prefixes) > 0
}

// fromReport takes what was heard just now, and what routers say beside prefixes.
func (g *gatherer) fromReport(r discover.Report, links []discover.Link) (out []Source) {
	name := func(index int) string {
		i := slices.IndexFunc(links, func(l discover.Link) bool { return l.Index == index })
		if i < 0 {
			return ""
		}
		return links[i].Name
	}
	g.mu.Lock()
	for _, router := range r.Routers {
		if router.Portal != "" && g.e.portal == "" {
			g.e.portal = router.Portal
		}
		for _, p := range router.Prefixes {
			if p.Autonomous && !slices.Contains(g.e.offered, p.Prefix) {
				g.e.offered = append(g.e.offered, p.Prefix)
			}
		}
		for _, ip := range router.RDNSS {
			g.e.rdnss = append(g.e.rdnss, system.Server{Link: name(router.Link), Addr: netip.AddrPortFrom(ip, 53)})
		}
	}
	g.mu.Unlock()
	for _, s := range r.Sources {
		if s.Source != pref64.RA && s.Source != pref64.PCP || s.Verdict == discover.Skipped {
			continue
		}
		src := Source{Source: s.Source, From: name(s.Link), Heard: s.Verdict == discover.Found || s.Verdict == discover.None && len(r.Routers) > 0, Reason: s.Reason}
		of := func(list []pref64.Candidate) (ps []nat64.Prefix) {
			for _, c := range list {
				if c.Source == s.Source && c.Link == s.Link && !slices.Contains(ps, c.Prefix) {
					ps = append(ps, c.Prefix)
				}
			}
			return ps
		}
		src.Prefixes, src.Refused = of(r.Candidates), of(r.Refused)
		out = append(out, src)
	}
	return out
}

// learn adds the sources that answers were turned into: configuration, DNS, and the
// servers' own records.
func (g *gatherer) learn() {
	e := g.e
	if ps := e.Config.Conf.Discovery.Prefixes; len(ps) > 0 {
		e.Sources = append(e.Sources, Source{Source: pref64.Policy, From: e.Config.Origin("discovery.prefixes"), Prefixes: ps, Heard: true, Reason: "configured"})
	}
	for _, r := range e.Answers {
		s := Source{Source: pref64.DNS, From: r.Server.Addr.Addr().String(), Heard: r.Answered, Reason: "ipv4only.arpa has no AAAA record with a prefix"}
		if !r.Answered {
			s.Reason = cause(r.Err)
		}
		s.Prefixes, s.Refused = g.allowed(r.Prefixes)
		e.Sources = append(e.Sources, s)
	}
	for _, s := range e.Servers {
		known := discover.FromServer(s.Name, recordsOf(&s, 6), s.ipv4s())
		var ps []nat64.Prefix
		for _, k := range known {
			ps = append(ps, k.Prefix)
		}
		if len(ps) > 0 {
			src := Source{Source: pref64.Server, From: s.Name, Heard: true, Reason: known[0].Reason}
			src.Prefixes, src.Refused = g.allowed(ps)
			e.Sources = append(e.Sources, src)
		}
	}
}

// allowed parts prefixes by discovery.allow.
func (g *gatherer) allowed(ps []nat64.Prefix) (good, refused []nat64.Prefix) {
	allow := g.q.Config.Conf.Discovery.Allow
	for _, p := range ps {
		in := slices.ContainsFunc(allow, func(a netip.Prefix) bool { return a.Bits() <= p.Bits() && a.Contains(p.Netip().Addr()) })
		if len(allow) == 0 || in {
			good = append(good, p)
		} else {
			refused = append(refused, p)
		}
	}
	return good, refused
}
