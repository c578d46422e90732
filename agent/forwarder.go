package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/miekg/dns"
	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/resolver/dns64"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/pref64"
)

// forwarder is the local DNS64 when one is configured: it asks the uplink's
// resolvers, and synthesizes with the prefixes that the last decision found usable.
type forwarder struct {
	listen netip.AddrPort // not valid: none
	engine *dns64.Engine
	dial   func(link string) Dialer
	rules  func(name string) []netip.Addr // name servers for this name alone; none: the uplink's
	log    logrus.FieldLogger
	up     atomic.Pointer[upstream]
}

// upstream is where it asks.
type upstream struct {
	link    string
	servers []netip.AddrPort
}

func newForwarder(log logrus.FieldLogger, conf config.Config, dial func(link string) Dialer, rules func(string) []netip.Addr, corporate func(string) bool) *forwarder {
	f := &forwarder{listen: conf.DNS.Listen, dial: dial, rules: rules, log: log}
	f.engine = &dns64.Engine{Upstream: f, Elsewhere: corporate,
		Policy: dns64.Policy{NonGlobal: conf.Discovery.NonGlobal, Exclude: conf.DNS.Exclude}}
	return f
}

// run serves until ctx ends.
func (f *forwarder) run(ctx context.Context) error {
	if !f.listen.IsValid() {
		<-ctx.Done()
		return nil
	}
	udp, tcp, err := dns64.Listen(ctx, f.listen)
	if err != nil {
		return fmt.Errorf("open DNS64: %w", err)
	}
	f.log.WithField("address", f.listen.String()).Info("local DNS64 serves")
	return (&dns64.Server{Engine: f.engine, Log: f.log}).Run(ctx, udp, tcp)
}

// follow takes over where to ask and what to synthesize with. Where native IPv4
// works nothing is synthesized.
func (f *forwarder) follow(q question, w reach.World, out reach.Out) {
	if !f.listen.IsValid() {
		return
	}
	u := &upstream{link: q.link}
	for _, s := range q.servers {
		if at := netip.AddrPortFrom(s, 53); at != f.listen { // resolv.conf may name ourselves
			u.servers = append(u.servers, at)
		}
	}
	f.up.Store(u)
	var list []dns64.Prefix
	if out.Class != reach.ClassDualStack && out.Class != reach.ClassV4Only {
		for _, c := range w.Prefixes {
			p := dns64.Prefix{Prefix: c.Prefix, IPv4: c.IPv4}
			// What was seen in a server's address leads to the organization there, and of
			// a PCP server's prefixes the first alone is for synthesis (RFC 7225 section 5).
			not := c.Source == pref64.Server && out.Class == reach.ClassDirectAccess || c.Source == pref64.PCP && c.Order > 0 && c.IPv4.All()
			if !not && (c.Link == 0 || c.Link == out.Uplink) && !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	f.engine.SetPrefixes(list)
}

// Exchange asks the uplink's resolvers as they are at the moment, or those that a
// rule names, by whatever link leads to them (spec DNS64-12).
func (f *forwarder) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	u := f.up.Load()
	if u == nil {
		u = &upstream{}
	}
	if len(q.Question) == 1 {
		if own := f.rules(q.Question[0].Name); len(own) > 0 {
			u = &upstream{}
			for _, s := range own {
				u.servers = append(u.servers, netip.AddrPortFrom(s, 53))
			}
		}
	}
	return dns64.Forward{
		Client:  &dnsq.Client{Dialer: f.dial(u.link), Link: u.link},
		Servers: func() []netip.AddrPort { return u.servers },
	}.Exchange(ctx, q)
}
