package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/probe"
	"github.com/reach64/reach64/resolver/validate"
)

// maxLinks bounds on how many links prefixes are looked for (spec SEC-5).
const maxLinks = 8

// world gathers what the decision depends on.
func (a *Agent) world(now time.Time, snap netstate.Snapshot, r discover.Report) reach.World {
	snap = without(snap, a.gone) // it may be from before the last CLAT went
	w := reach.World{Net: snap, Own: a.gone, Failed: a.failed, Epoch: r.Epoch}
	if in := a.running; in != nil {
		w.Own = reach.Own{Device: in.dev.Index(), Addr6: in.addr6, Ready: in.ready}
	}
	for _, c := range r.Candidates {
		if c.Until.IsZero() || now.Before(c.Until) {
			a.admit(&w, c)
		}
	}
	ups := uplinks6(snap, w.Own.Device)
	for _, s := range r.Sources {
		first := s.Link == 0 || len(ups) > 0 && s.Link == ups[0]
		w.Searching = w.Searching || s.Verdict == discover.Pending && (first || slices.Contains(ups, s.Link))
		if s.Verdict == discover.Error && first && w.Unclear == "" {
			w.Unclear = s.Source.String() + ": " + s.Reason
		}
		w.DNS64 = w.DNS64 || s.Source == pref64.DNS && s.Verdict == discover.Found && first
	}
	w.DNSSilent = deaf(r, snap, ups)
	w.Captive = a.gate.captive()
	if a.edges.Foreign != nil {
		w.Foreign, a.foreign = a.edges.Foreign(snap, w.Own.Device)
	}
	w.Mostly = a.mostly
	results := a.probes.results()
	for i, s := range a.conf.Servers {
		name := a.names.answer(s.Name)
		w.Servers = append(w.Servers, reach.Server{IPv4: a.ipv4(s), IPv6: name.ipv6, Probed: probed(results, i), Native4: native4(results, i),
			Lost: name.err != nil && len(a.ipv4(s))+len(name.ipv6) == 0, Corporate: a.corporate(s.Name)})
	}
	return w
}

// uplinks6 are the links with an IPv6 default route that is not over device, the
// system's first choice first.
func uplinks6(snap netstate.Snapshot, device int) (links []int) {
	skip := []int{device}
	for {
		r, ok := snap.Default(true, skip...)
		if !ok {
			return links
		}
		links, skip = append(links, r.Link), append(skip, r.Link)
	}
}

// deaf is the evidence that no DNS server of the first uplink gave an answer when it
// was last asked; "" when one did, or none was asked. Without an IPv6 uplink all count.
func deaf(r discover.Report, snap netstate.Snapshot, ups []int) (text string) {
	for _, s := range r.Sources {
		switch {
		case s.Source != pref64.DNS || s.Verdict == discover.Skipped || len(ups) > 0 && s.Link != ups[0]:
		case !s.Silent:
			return ""
		case text == "":
			text = fmt.Sprintf("DNS server %s does not answer", s.Server)
			if l, ok := snap.Link(s.Link); ok {
				text += " on " + l.Name
			}
		default:
			text += fmt.Sprintf(", %s does not either", s.Server)
		}
	}
	return text
}

// without is the network state as it is when what own names is gone.
func without(s netstate.Snapshot, own reach.Own) netstate.Snapshot {
	if own == (reach.Own{}) {
		return s
	}
	out := netstate.Snapshot{Resolvers: s.Resolvers}
	for _, l := range s.Links {
		if l.Index == own.Device {
			continue
		}
		l.Addrs = slices.DeleteFunc(slices.Clone(l.Addrs), func(a netstate.Addr) bool { return a.Prefix.Addr() == own.Addr6 })
		out.Links = append(out.Links, l)
	}
	for _, r := range s.Routes {
		if r.Link != own.Device {
			out.Routes = append(out.Routes, r)
		}
	}
	return out
}

// admit takes a candidate in, with the trust that its proof gives it. Where proofs
// are required, one that was learned from the network and has none stays out, and
// what is missing is said (design section 6, RFC 7050 section 3.1).
func (a *Agent) admit(w *reach.World, c pref64.Candidate) {
	if c.Source == pref64.Policy || c.Source == pref64.OS {
		w.Prefixes = append(w.Prefixes, c)
		return
	}
	r, done := a.proofs.result(c.Prefix)
	if r.Status == validate.Validated {
		c.Trust, c.Reason = pref64.Trusted, c.Reason+"; proven by DNSSEC to be "+r.Name
	}
	switch {
	case !a.conf.Discovery.RequireValidation || r.Status == validate.Validated:
		w.Prefixes = append(w.Prefixes, c)
	case !done:
		w.Searching = true
	case w.Unproven == "":
		w.Unproven = fmt.Sprintf("%s from %s: %s (%s)", c.Prefix, c.Source, r.Reason, r.Detail)
	}
}

// provable are the prefixes that a proof would say something about.
func provable(r discover.Report) (out []nat64.Prefix) {
	for _, c := range r.Candidates {
		if c.Source != pref64.Policy && c.Source != pref64.OS && !slices.Contains(out, c.Prefix) {
			out = append(out, c.Prefix)
		}
	}
	return out
}

// probed tells for each path whether any address of the server answered over it.
func probed(results map[probeKey]probe.Result, server int) map[reach.Path]bool {
	out := make(map[reach.Path]bool)
	for k, r := range results {
		if k.server == server {
			out[k.path] = out[k.path] || r.Reachable
		}
	}
	return out
}

// native4 tells whether any IPv4 address of the server answered natively.
func native4(results map[probeKey]probe.Result, server int) reach.Native4 {
	out := reach.NotProbed
	for k, r := range results {
		switch {
		case k.server != server || k.path != reach.PathNative || !k.addr.Addr().Is4():
		case r.Reachable:
			return reach.Answers
		default:
			out = reach.Silent
		}
	}
	return out
}

// links are where prefixes are looked for: every link that may have a router
// and is not ours.
// The system's resolvers count as the uplink's; the others have only their own.
func (a *Agent) links(snap netstate.Snapshot, uplink int) []discover.Link {
	var out []discover.Link
	var known map[int][]discover.Known
	if a.edges.Known != nil {
		known = a.edges.Known()
	}
	also, beside, revealed := a.revealed(snap)
	for _, l := range snap.Links {
		if !l.MayHaveRouter() || a.running != nil && l.Index == a.running.dev.Index() || len(out) == maxLinks {
			continue
		}
		d := discover.Link{Index: l.Index, Name: l.Name, DNS: slices.Clone(l.DNS), Routers: snap.Gateways(l.Index), Known: known[l.Index]}
		if revealed && l.Index == beside {
			d.Known = append(slices.Clone(d.Known), also)
		}
		if l.Index == uplink {
			d.DNS = unique(append(d.DNS, snap.ResolversOver(l)...))
			d.Seen = a.seen()
		}
		out = append(out, d)
	}
	return out
}

// seen are the prefixes in the servers' own AAAA records, as the uplink's
// resolvers gave them.
func (a *Agent) seen() (out []discover.Known) {
	for _, s := range a.conf.Servers {
		for _, k := range discover.FromServer(s.Name, a.names.answer(s.Name).ipv6, a.ipv4(s)) {
			if !slices.ContainsFunc(out, func(o discover.Known) bool { return o.Prefix == k.Prefix }) {
				out = append(out, k)
			}
		}
	}
	return out
}

// question says where the servers' names are looked up: the uplink's resolvers,
// those from its router advertisements first.
func (a *Agent) question(snap netstate.Snapshot, r discover.Report, out reach.Out) question {
	q := question{epoch: out.Intent.Epoch, ways: a.ways(snap)}
	up, ok := snap.Link(out.Uplink)
	if !ok {
		return q
	}
	q.link = up.Name
	for _, router := range r.Routers {
		if router.Link == up.Index {
			q.servers = append(q.servers, router.RDNSS...)
		}
	}
	q.servers = append(append(q.servers, up.DNS...), snap.ResolversOver(up)...)
	q.servers = unique(q.servers)
	return q
}

// ways are the links over which the name servers of the rules are reached now.
func (a *Agent) ways(snap netstate.Snapshot) (links []int) {
	for _, s := range a.conf.Servers {
		for _, ip := range a.nameServers(s.Name) {
			r, _ := snap.RouteTo(ip)
			links = append(links, r.Link)
		}
	}
	return links
}

// unique removes repeated addresses and keeps the order.
func unique(list []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, ip := range list {
		if !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

// targets are the addresses to probe, each over the path that leads to it now.
func (a *Agent) targets(out reach.Out, snap netstate.Snapshot) map[probeKey]probe.Target {
	targets := make(map[probeKey]probe.Target)
	over := ""
	add := func(i int, s config.Server, path reach.Path, network string, ip netip.Addr) {
		addr := netip.AddrPortFrom(ip, s.Port)
		targets[probeKey{server: i, path: path, addr: addr, over: over}] = probe.Target{Name: s.Name, Addr: addr, Network: network,
			TLS: s.TLS, ServerName: s.ServerName, CAs: s.CAs, PinSHA256: s.Pins}
	}
	for i, s := range a.conf.Servers {
		ready, through := a.running != nil && a.running.ready, out.Intent.CLAT.Path()
		switch {
		case out.Class == reach.ClassBrokenIPv4 || out.Class == reach.ClassBrokenCLAT:
			if over = a.foreign; out.Class == reach.ClassBrokenIPv4 { // not through the CLAT
				up, _ := snap.Link(out.Uplink4)
				over = up.Name
			}
			for _, ip := range a.ipv4(s) {
				add(i, s, reach.PathNative, "tcp4", ip)
			}
			over = ""
			for _, ip := range a.ipv4(s) {
				if ready {
					add(i, s, through, "tcp4", ip)
				} else if p, ok := a.likely(out.Uplink); ok {
					add(i, s, reach.PathSynthesized, "tcp6", p.Embed(ip))
				}
			}
		case ready:
			for _, ip := range a.ipv4(s) {
				add(i, s, through, "tcp4", ip)
			}
		case out.Uplink4 != 0 || out.Class == reach.ClassNativeCLAT:
			for _, ip := range a.ipv4(s) {
				add(i, s, reach.PathNative, "tcp4", ip)
			}
		}
		if up, ok := snap.Link(out.Uplink); !ok || len(up.Usable6()) == 0 {
			continue
		}
		for _, ip := range a.names.answer(s.Name).ipv6 {
			add(i, s, a.pathOf(ip), "tcp6", ip)
		}
	}
	return targets
}

// likely is the prefix that a CLAT would use: the best of the uplink.
func (a *Agent) likely(uplink int) (nat64.Prefix, bool) {
	for _, c := range a.find.Report().Candidates {
		if c.Link == 0 || c.Link == uplink {
			return c.Prefix, true
		}
	}
	return nat64.Prefix{}, false
}

// pathOf tells whether an IPv6 address of a server is its own or lies in a
// NAT64's prefix.
func (a *Agent) pathOf(ip netip.Addr) reach.Path {
	for _, c := range a.find.Report().Candidates {
		if c.Prefix.Contains(ip) {
			return reach.PathSynthesized
		}
	}
	return reach.PathNative
}
