package diag

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/ping"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/probe"
	"github.com/reach64/reach64/tunnel/dial"
)

// How many addresses of a server and prefixes are tried.
const (
	maxAddrs    = 3
	maxPrefixes = 3
)

// paths probes every address of every server over every way to it, all at once.
func (g *gatherer) paths(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range g.e.Servers {
		s := &g.e.Servers[i]
		s.Paths = g.e.plan(s)
		for j := range s.Paths {
			if p := &s.Paths[j]; p.Kind != dial.NoPath {
				wg.Go(func() { g.probe(ctx, s, p) })
			} else {
				p.Result = probe.Result{Reason: probe.Unreachable, Err: "there is no route to an IPv4 address"}
			}
		}
	}
	wg.Wait()
}

// plan lists the ways to a server.
func (e *Evidence) plan(s *Server) (out []Path) {
	add := func(p Path) {
		if !slices.ContainsFunc(out, func(o Path) bool { return o.Addr == p.Addr && o.Link == p.Link }) {
			p.Tunnel = e.isTunnel(p.Link)
			out = append(out, p)
		}
	}
	six := recordsOf(s, 6)
	for _, ip := range s.View.Addrs {
		if ip.Is6() && !slices.Contains(six, ip) {
			six = append(six, ip)
		}
	}
	if a, err := netip.ParseAddr(s.Name); err == nil && a.Is6() {
		six = append(six, a)
	}
	for _, ip := range six[:min(len(six), maxAddrs)] {
		kind, prefix := e.kindOf(ip)
		r, _ := e.Net.RouteTo(ip)
		add(Path{Kind: kind, Addr: netip.AddrPortFrom(ip, s.Port), Prefix: prefix, Link: e.linkName(r.Link), Routed: s.Literal || slices.Contains(s.View.Addrs, ip)})
	}
	four := s.ipv4s()
	for _, ip := range four[:min(len(four), maxAddrs)] {
		for i, k := range e.Prefixes() {
			if i < maxPrefixes && e.Config.Conf.Discovery.NonGlobal.Allows(k.Prefix, ip) {
				r, _ := e.Net.RouteTo(k.Prefix.Embed(ip))
				add(Path{Kind: dial.Synthesized, Addr: netip.AddrPortFrom(k.Prefix.Embed(ip), s.Port), Prefix: k.Prefix, Link: e.linkName(r.Link)})
			}
		}
		for _, p := range e.plan4(netip.AddrPortFrom(ip, s.Port)) {
			add(p)
		}
	}
	return out
}

// plan4 is how IPv4 goes: by the route that there is, and by native IPv4 when a CLAT
// has taken its place.
func (e *Evidence) plan4(to netip.AddrPort) (out []Path) {
	if e.NetErr != "" {
		return []Path{{Kind: dial.NativeIPv4, Addr: to, Routed: true}}
	}
	r, ok := e.Net.RouteTo(to.Addr())
	l, _ := e.Net.Link(r.Link)
	switch {
	case to.Addr().IsLoopback():
		out = append(out, Path{Kind: dial.NativeIPv4, Addr: to, Routed: true})
	case !ok:
		out = append(out, Path{Kind: dial.NoPath, Addr: to, Routed: true})
	case l.Name == e.own():
		out = append(out, Path{Kind: dial.CLAT, Addr: to, Link: l.Name, Own: true, Routed: true})
	case e.Foreign != nil && e.Foreign.Link == l.Name || len(l.Native4()) == 0 && continuity(l):
		out = append(out, Path{Kind: dial.CLAT, Addr: to, Link: l.Name, Routed: true})
	default:
		out = append(out, Path{Kind: dial.NativeIPv4, Addr: to, Link: l.Name, Routed: true})
	}
	if up, ok := e.uplink4(); ok && up.Name != out[0].Link && !to.Addr().IsLoopback() {
		out = append(out, Path{Kind: dial.NativeIPv4, Addr: to, Link: up.Name})
	}
	return out
}

func continuity(l netstate.Link) bool {
	return slices.ContainsFunc(l.Addrs, func(a netstate.Addr) bool { return netstate.Continuity.Contains(a.Prefix.Addr()) })
}

func (e *Evidence) linkName(index int) string {
	l, _ := e.Net.Link(index)
	return l.Name
}

func (e *Evidence) isTunnel(link string) bool {
	l, _ := e.Net.LinkByName(link)
	return l.Tunnel
}

// kindOf tells a native IPv6 address from one that a DNS64 has made.
func (e *Evidence) kindOf(ip netip.Addr) (dial.Kind, nat64.Prefix) {
	for _, k := range append(e.Prefixes(), Known{Prefix: nat64.WellKnown()}) {
		if k.Prefix.Contains(ip) {
			return dial.DNS64, k.Prefix
		}
	}
	return dial.NativeIPv6, nat64.Prefix{}
}

// probe tries one path, and once more with small segments when TLS is silent.
func (g *gatherer) probe(ctx context.Context, s *Server, p *Path) {
	link := ""
	if p.Kind == dial.NativeIPv4 && !p.Routed {
		link = p.Link // the route leads elsewhere
	}
	t := s.Identity
	t.Name, t.Addr = s.Name, p.Addr
	p.Result = probe.Probe(ctx, &watched{over: g.p.Dial(link), mtu: g.p.PathMTU, seen: &p.MTU}, t)
	if stalls(*p) && g.p.Small != nil {
		var mtu int
		r := probe.Probe(ctx, &watched{over: g.p.Small(link), mtu: g.p.PathMTU, seen: &mtu}, t)
		p.Small = &r
	}
}

// watched is a dialler with limits, whose connections tell their path MTU when they
// are closed.
type watched struct {
	over Dialer
	mtu  func(net.Conn) int
	seen *int
}

// DialContext connects within tcpLimit; all that follows has to be done within tlsLimit.
func (w *watched) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, tcpLimit)
	defer cancel()
	c, err := w.over.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(tlsLimit)); err != nil {
		c.Close()
		return nil, err
	}
	return &closing{c, w}, nil
}

type closing struct {
	net.Conn
	w *watched
}

func (c *closing) Close() error {
	if c.w.mtu != nil {
		*c.w.seen = c.w.mtu(c.Conn)
	}
	return c.Conn.Close()
}

// echoes asks behind each prefix, for the first IPv4 address of each server.
func (g *gatherer) echoes(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range g.e.Servers {
		s := &g.e.Servers[i]
		four := s.ipv4s()
		if len(four) == 0 {
			continue
		}
		known := g.e.Prefixes()
		s.Echo = make([]Echo, min(len(known), maxPrefixes))
		for j := range s.Echo {
			s.Echo[j] = Echo{Prefix: known[j].Prefix, To: known[j].Prefix.Embed(four[0])}
			wg.Go(func() { g.echo(ctx, &s.Echo[j]) })
		}
	}
	wg.Wait()
}

// maxHops is how far routers are asked for.
const maxHops = 12

// echo sends a small request, and others that die on the way to hear of the routers
// there; when the small one is answered, growing ones.
func (g *gatherer) echo(ctx context.Context, x *Echo) {
	c, err := g.p.Ping()
	if err != nil {
		x.Err = err.Error()
		return
	}
	defer c.Close()
	requests := []ping.Request{{Size: 64}}
	for n := 1; n <= maxHops && c.SeesErrors(); n++ {
		requests = append(requests, ping.Request{Size: 64, Hops: n})
	}
	first, cancel := context.WithTimeout(ctx, echoLimit)
	answers, err := c.Ask(first, x.To, requests, func(a ping.Answer) bool { return a.Kind == ping.Reply && a.Hops == 0 })
	cancel()
	if err != nil {
		x.Err = err.Error()
		return
	}
	for _, a := range answers {
		switch {
		case a.Kind == ping.Reply && (x.Reply == 0 || a.Hops == 0):
			x.Reply = a.Took
		case a.Kind != ping.Reply:
			x.Heard = append(x.Heard, Heard{Hops: a.Hops, From: a.From, What: string(a.Kind)})
		}
	}
	if x.Reply == 0 && !c.SeesErrors() {
		x.Err = "no echo came back, and errors of routers can be seen by root alone"
	}
	if x.Reply > 0 && c.Whole() {
		g.sizes(ctx, c, x)
	}
}

// sizes finds the biggest packet that is answered.
func (g *gatherer) sizes(ctx context.Context, c Pinger, x *Echo) {
	mtu := 1500
	if r, ok := g.e.Net.RouteTo(x.To); ok {
		if l, ok := g.e.Net.Link(r.Link); ok && l.MTU > 0 {
			mtu = l.MTU
			if l.MTU6 > 0 {
				mtu = min(mtu, l.MTU6)
			}
		}
	}
	var requests []ping.Request
	for _, n := range []int{1280, 1360, 1400, 1420, 1440, 1460, 1480, 1492, 1500, mtu} {
		if n <= mtu && !slices.Contains(x.Asked, n) {
			x.Asked = append(x.Asked, n)
			requests = append(requests, ping.Request{Size: n})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sizeLimit)
	defer cancel()
	answers, _ := c.Ask(ctx, x.To, requests, nil) // what could not be sent is as what is lost
	for _, a := range answers {
		switch a.Kind {
		case ping.Reply:
			x.Sizes = append(x.Sizes, a.Size)
		case ping.TooBig:
			x.TooBig = a.MTU
		}
	}
	slices.Sort(x.Sizes)
}
