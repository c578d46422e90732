package diag

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/reach64/reach64/tunnel/dial"
)

// Reasons of the service (agent/reach) by what they mean for its CLAT.
var (
	notNeeded = []string{"native-ipv4", "server-has-ipv6", "another-clat", "another-clat-without-path", "ipv4-without-path", "no-default-route"}
	switched  = []string{"switched-off", "paused"}
	broken    = []string{"datapath-failed", "duplicate-address", "changed-by-others", "no-slash-64", "directaccess-one-address", "server-ipv4-unknown", "not-permitted"}
	underWay  = []string{"clat-starting", "discovering-prefix", "waiting-for-dhcpv4", "ipv4-flapping"}
)

func judgeCLAT(e *Evidence) finding {
	st := e.Service.Status
	if !e.Service.Running {
		return skip("the service does not run")
	}
	said := st.Sentence
	if st.Detail != nil {
		said += " " + *st.Detail
	}
	switch c := st.CLAT; {
	case c != nil && c.Ready:
		ends := c.IPv4
		if c.IPv6 != nil {
			ends += " <-> " + *c.IPv6
		}
		return pass("%s on %s, MTU %d", ends, c.Device, c.MTU)
	case slices.Contains(notNeeded, st.Reason):
		return skip("stands down: %s", said)
	case slices.Contains(switched, st.Reason):
		return warn(text(st.Advice), "%s", said)
	case slices.Contains(broken, st.Reason):
		return fail(orElse(text(st.Advice), "See the service's log."), "%s", said)
	case slices.Contains(underWay, st.Reason):
		return unknown("%s Run the doctor again in a few seconds.", said)
	case c != nil:
		return unknown("it is not ready; the service says: %s", said)
	}
	return warn("Run reach64 refresh, and the doctor again.", "the service says: %s", said)
}

// ipv4s are the IPv4 addresses by which the server is known.
func (s *Server) ipv4s() []netip.Addr {
	out := slices.Clone(s.Given)
	for _, ip := range append(recordsOf(s, 4), s.View.Addrs...) {
		if ip.Is4() && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}

func judgeRoute(e *Evidence, s *Server) finding {
	c := e.Service.Status.CLAT
	if !e.Service.Running || c == nil || !c.Ready {
		return skip("there is no CLAT of reach64 that is ready")
	}
	var good, bad []string
	for _, ip := range s.ipv4s() {
		r, ok := e.Net.RouteTo(ip)
		l, _ := e.Net.Link(r.Link)
		switch {
		case ok && l.Name == c.Device:
			good = append(good, fmt.Sprintf("%s goes to %s", ip, l.Name))
		case ok && l.Tunnel:
			return skip("%s goes through the tunnel %s", ip, l.Name)
		case ok:
			bad = append(bad, fmt.Sprintf("%s goes over %s, not to %s", ip, l.Name, c.Device))
		default:
			bad = append(bad, fmt.Sprintf("there is no route to %s", ip))
		}
	}
	switch {
	case len(good) > 0:
		return pass("%s", good[0]).with(append(good[1:], bad...)...)
	case len(bad) > 0:
		return fail("If the server is not in the configuration, add it, or set path.scope = \"all\". Else another program takes the route away: see reach64 logs.", "%s", bad[0]).with(bad[1:]...)
	}
	return unknown("no IPv4 address of %s is known", s.Name)
}

func judgeDatapath(e *Evidence) finding {
	st := e.Service.Status
	if !e.Service.Running || st.CLAT == nil || !st.CLAT.Ready {
		return skip("there is no CLAT of reach64 that is ready")
	}
	steered := ""
	if st.CLAT.Steered != "" {
		steered = ", steered by " + st.CLAT.Steered
	}
	f := pass("%s%s; %d packets out, %d in", text(st.Datapath), steered, st.Counters["4to6-translated"], st.Counters["6to4-translated"])
	if flows := st.Flows(); flows != "" {
		f = pass("%s; flows: %s", text(st.Datapath), flows)
	}
	if st.DatapathNote != nil {
		f = f.with(*st.DatapathNote)
	}
	return f
}

func judgeThrough(_ *Evidence, s *Server) finding {
	p, ok := s.any(func(p Path) bool { return p.Kind == dial.CLAT && p.Own })
	if !ok {
		return skip("there is no CLAT of reach64 to the server")
	}
	if p.Result.Reachable {
		return pass("%s answers, as the backup client sees it", p.Addr)
	}
	f := fail("Something on this machine stands between: look for a firewall that knows nothing of the CLAT's device or address, and at the counters of reach64 status; reach64 capture shows both sides.",
		"%s through the CLAT: %s", p.Addr, p.Result.Reason)
	if other, ok := s.any(func(p Path) bool { return p.Kind != dial.CLAT && p.Result.Reachable }); ok {
		f = f.with(fmt.Sprintf("%s answers through %s", other.Addr, other.way()))
	}
	return f
}

// answeredBut tells whether the server answered over a path other than these.
func (s *Server) answeredBut(these func(Path) bool) bool {
	_, ok := s.any(func(p Path) bool { return p.answers() && !these(p) })
	return ok
}

func judgeForeign(e *Evidence) finding {
	if e.Foreign == nil {
		if e.Native != "" {
			return pass("none").with(e.Native)
		}
		return pass("none")
	}
	who := fmt.Sprintf("%s (%s)", e.Foreign.Name, e.Foreign.Evidence)
	theirs := func(p Path) bool { return p.Kind == dial.CLAT && !p.Own }
	for i := range e.Servers {
		s := &e.Servers[i]
		p, ok := s.any(theirs)
		switch {
		case ok && p.Result.Reachable:
			return pass("%s carries IPv4; reach64 stands down", who)
		case ok && s.answeredBut(theirs):
			return fail("Mend or stop the other program, or set path.other_clat = \"take-over\" so that reach64 carries the servers' traffic.",
				"%s is at work, and %s does not answer through it, but otherwise", who, s.label())
		}
	}
	return warn("Two CLATs on one machine get into each other's way: stop the one that is not wanted.", "%s is at work beside reach64", who)
}

func judgeVPN(e *Evidence) finding {
	vpn := func(p Path) bool { return p.Kind == dial.NativeIPv4 && p.Tunnel && p.Routed }
	for i := range e.Servers {
		s := &e.Servers[i]
		p, ok := s.any(vpn)
		switch {
		case ok && p.Result.Reachable:
			return pass("%s goes through %s and answers there", s.label(), p.Link)
		case ok && s.answeredBut(vpn):
			return fail("Exempt the server's address from the VPN (split tunnelling), or let the VPN reach the server.",
				"IPv4 to %s goes into %s, where the server does not answer (%s); beside the VPN it does", s.Name, p.Link, p.Result.Reason)
		case ok:
			return warn("Try without the VPN.", "IPv4 to %s goes into %s, and the server answers nowhere", s.Name, p.Link)
		}
	}
	if r, ok := e.Net.Default(false, e.ownIndex()); ok {
		if l, _ := e.Net.Link(r.Link); l.Tunnel && (e.Foreign == nil || e.Foreign.Link != l.Name) {
			return pass("the IPv4 default route goes through %s", l.Name)
		}
	}
	return pass("no tunnel takes the way to the servers")
}

func judgeIPv4(e *Evidence) finding {
	up, ok := e.uplink4()
	switch {
	case !ok:
		return skip("there is no native IPv4 here")
	case up.Tunnel:
		return skip("IPv4 goes through the tunnel %s", up.Name)
	}
	native := func(p Path) bool { return p.Kind == dial.NativeIPv4 && !p.Tunnel }
	silent := ""
	for i := range e.Servers {
		s := &e.Servers[i]
		p, ok := s.any(native)
		switch {
		case ok && p.answers():
			return pass("%s answers over %s", p.Addr, p.Link)
		case ok && s.answeredBut(native):
			silent = fmt.Sprintf("%s has an IPv4 address and default route, but %s does not answer there (%s), though it does otherwise", up.Name, p.Addr, p.Result.Reason)
		}
	}
	if silent == "" {
		return unknown("%s has an IPv4 default route; no server tells whether it leads anywhere", up.Name)
	}
	return fail("The router gives out IPv4 and does not carry it: its operator has to mend the IPv4 side, or stop its DHCPv4 server. reach64's CLAT carries the servers' traffic meanwhile; other IPv4 traffic fails.", "%s", silent)
}
