package discover

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// The times of asking DNS (spec R7050-7 to R7050-9, 7050-6, 7050-8).
const (
	dnsPort     = 53
	ttlMin      = 10 * time.Second // shorter ones are used this long
	ttlZero     = 60 * time.Second // in the place of TTL 0
	ttlMax      = 24 * time.Hour
	askBefore   = 10 * time.Second // before the TTL ends
	negativeMax = 3 * time.Hour    // RFC 2308 section 5: longer ones than one to three hours are no good
	negativeDef = 10 * time.Minute // without a SOA record there is no TTL to obey
	retryMax    = 300 * time.Second
)

// retries are the waits after the first, second, ... inconclusive answer in a
// row; then they double up to retryMax.
var retries = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second}

// retryIn returns the wait after failures inconclusive answers in a row, spread by
// a tenth so that many endpoints do not ask in step.
func retryIn(failures int) time.Duration {
	i := min(failures-1, len(retries)-1)
	d := retries[i]
	for range failures - 1 - i {
		d = min(2*d, retryMax)
		if d == retryMax {
			break
		}
	}
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// asker is one resolver on one link, in one epoch. It is replaced when the epoch
// rises, so that answers to older questions find nobody.
type asker struct {
	link     *linkState
	addr     netip.AddrPort
	run      int  // number of the question under way; answers to others are dropped
	busy     bool // a question is under way
	cancel   context.CancelFunc
	failures int // inconclusive answers in a row
	refusals int // negative answers in a row
	next     time.Time
	answer   answer    // the last that was conclusive
	until    time.Time // when its prefixes run out
	trouble  string    // of the last question, if inconclusive
	silent   bool      // nothing came back to the last question
	at       time.Time
	took     time.Duration
}

func (a *asker) key() pref64.Key {
	return pref64.Key{Source: pref64.DNS, Link: a.link.Index, Server: a.addr.Addr()}
}

// reconcile brings a link's askers in line with its resolvers.
func (e *engine) reconcile(now time.Time, l *linkState) {
	servers := l.resolvers()
	var askers []*asker
	for _, s := range servers {
		i := slices.IndexFunc(l.askers, func(a *asker) bool { return a.addr.Addr() == s })
		if i >= 0 {
			askers = append(askers, l.askers[i])
			continue
		}
		askers = append(askers, &asker{link: l, addr: netip.AddrPortFrom(s, dnsPort), next: now, cancel: func() {}})
	}
	for _, a := range l.askers {
		if !slices.Contains(askers, a) {
			e.drop(a)
		}
	}
	l.askers = askers
}

// resolvers lists whom to ask: the routers' first, then the system's (spec
// 8880-1). Local stubs are asked only when there is nobody else, since what they
// do with this name is their own affair (spec R7050-10).
func (l *linkState) resolvers() []netip.Addr {
	var own, stubs []netip.Addr
	add := func(addr netip.Addr) {
		addr = addr.Unmap()
		if addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "" {
			addr = addr.WithZone(l.Name)
		}
		list := &own
		if addr.IsLoopback() {
			list = &stubs
		}
		if addr.IsValid() && !slices.Contains(*list, addr) && len(*list) < pref64.MaxServers {
			*list = append(*list, addr)
		}
	}
	for _, r := range l.routers {
		for _, s := range r.servers {
			add(s.addr)
		}
	}
	for _, addr := range l.DNS {
		add(addr)
	}
	if l.stub = len(own) == 0 && len(stubs) > 0; l.stub {
		l.passed = nil
		return stubs
	}
	l.passed = stubs
	return own
}

// drop forgets a resolver with its answers.
func (e *engine) drop(a *asker) {
	a.cancel()
	e.set.Drop(func(k pref64.Key) bool { return k == a.key() })
}

func (e *engine) dropAskers(l *linkState) {
	for _, a := range l.askers {
		e.drop(a)
	}
	l.askers = nil
}

// dnsResult is what a question brought.
type dnsResult struct {
	from *asker
	run  int
	answer
	took time.Duration
}

func (e *engine) startAsk(ctx context.Context, now time.Time, a *asker) {
	ctx, cancel := context.WithCancel(ctx)
	a.run++
	a.busy, a.cancel = true, cancel
	client := dnsq.Client{Dialer: e.d.dial(a.link.Name), Link: a.link.Name}
	run, addr := a.run, a.addr
	e.workers.Go(func() {
		defer cancel()
		r := dnsResult{from: a, run: run, answer: ask(ctx, &client, addr), took: time.Since(now)}
		select {
		case e.answered <- r:
		case <-ctx.Done():
		}
	})
}

// onAnswer takes an answer in, unless its question is no longer the one under way.
func (e *engine) onAnswer(now time.Time, r dnsResult) {
	a := r.from
	if l := e.link(a.link.Index); l != a.link || !slices.Contains(l.askers, a) || a.run != r.run {
		return
	}
	a.busy, a.at, a.took, a.trouble, a.silent = false, now, r.took, "", r.silent
	if r.verdict == Error { // what is known stays until it runs out (spec R7050-8)
		a.failures++
		a.trouble, a.next = r.reason, now.Add(retryIn(a.failures))
		return
	}
	a.answer, a.failures, a.until = r.answer, 0, time.Time{}
	if r.verdict == Found {
		a.refusals, a.until, a.next = 0, now.Add(r.lifetime), now.Add(max(r.lifetime-askBefore, r.lifetime/2))
	} else { // never sooner than its TTL allows, and less and less often where that is short
		a.refusals++
		a.next = now.Add(max(r.lifetime, retryIn(a.refusals)))
	}
	e.set.Replace(now, a.key(), r.candidates(now))
}

// answer is what a resolver says of ipv4only.arpa.
type answer struct {
	verdict  Verdict
	reason   string
	prefixes []nat64.Prefix
	server   netip.AddrPort
	lifetime time.Duration // how long it may be used, or binds when there is none
	silent   bool          // nothing came back
}

// candidates returns the prefixes as candidates. Nothing has validated them.
func (a answer) candidates(now time.Time) []pref64.Candidate {
	var cs []pref64.Candidate
	for i, p := range a.prefixes {
		cs = append(cs, pref64.Candidate{Prefix: p, Source: pref64.DNS, Server: a.server.Addr(), Until: now.Add(a.lifetime),
			Trust: pref64.AfterProbe, Reason: a.reason, Order: i})
	}
	return cs
}

// maxAAAA is how many addresses of an answer are looked at: 8 prefixes, each with
// both well-known addresses, four times over.
const maxAAAA = 4 * 2 * pref64.MaxPrefixes

// name is the well-known name of RFC 7050 section 2.2, absolute.
const name = "ipv4only.arpa."

// ask asks one resolver once.
func ask(ctx context.Context, c *dnsq.Client, server netip.AddrPort) answer {
	m, err := c.Query(ctx, server, name, dns.TypeAAAA)
	if err != nil {
		return answer{verdict: Error, reason: err.Error(), server: server, silent: true}
	}
	a := judge(m)
	a.server = server
	a.reason = fmt.Sprintf("resolver %s: %s", server.Addr(), a.reason)
	return a
}

// judge reads the answer by RFC 7050 section 3 (spec R7050-6).
func judge(m *dns.Msg) answer {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return answer{verdict: Error, reason: "answers " + dns.RcodeToString[m.Rcode]}
	}
	c, err := dnsq.Follow(m, name, dns.TypeAAAA)
	if err != nil {
		return answer{verdict: Error, reason: err.Error()}
	}
	addrs, ttl := c.Addrs[:min(len(c.Addrs), maxAAAA)], c.TTL
	prefixes, foreign := pref64.FromAAAA(addrs)
	switch {
	case len(prefixes) > 0:
		if ttl == 0 {
			ttl = ttlZero
		}
		a := answer{verdict: Found, prefixes: prefixes[:min(len(prefixes), pref64.MaxPrefixes)], lifetime: min(max(ttl, ttlMin), ttlMax)}
		a.reason = fmt.Sprintf("DNS64, TTL %s", ttl)
		if foreign > 0 {
			a.reason += fmt.Sprintf("; %d addresses without a prefix in the answer", foreign)
		}
		return a
	case foreign > 0:
		return answer{verdict: None, lifetime: min(ttl, negativeMax),
			reason: fmt.Sprintf("answers %s with %v, which holds no prefix: a hijacked name or a misconfigured DNS64", name, addrs[0])}
	case m.Rcode == dns.RcodeNameError:
		return answer{verdict: None, reason: "no DNS64 (it says the name does not exist)", lifetime: negativeTTL(m)}
	default:
		return answer{verdict: None, reason: "no DNS64 (no AAAA for " + name + ")", lifetime: negativeTTL(m)}
	}
}

// negativeTTL is for how long the name must not be asked for again (RFC 7050
// section 3, spec 7050-6): the lesser of the SOA record's TTL and its minimum, RFC
// 2308 section 5.
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, negativeMax)
		}
	}
	return negativeDef
}
