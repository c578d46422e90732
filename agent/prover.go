package agent

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/dnssec"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/validate"
)

// When a prefix is validated again.
const (
	proveUnknown = 5 * time.Second // the resolver did not answer
	proveFailed  = time.Minute     // a proof was missing or wrong; it may be mended
	proveMin     = time.Minute     // bounds of the time for which a proof holds
	proveMax     = time.Hour
	proveLimit   = 10 * time.Second // for one prefix
)

// prover keeps the prefixes that were found validated by RFC 7050 section 3.1.
// run is its one goroutine. mu guards what is below it.
type prover struct {
	dial    func(link string) Dialer
	log     logrus.FieldLogger
	changed chan struct{} // capacity 1; a full channel means that news is waiting already
	asked   chan struct{} // capacity 1: look at what is wanted

	mu       sync.Mutex
	conf     config.Discovery
	turn     int // counts configurations
	wanted   question
	prefixes []nat64.Prefix
	results  map[nat64.Prefix]proof
}

// proof is what is known of one prefix, and until when it counts.
type proof struct {
	validate.Result
	due time.Time // to be validated again
}

func newProver(log logrus.FieldLogger, conf config.Discovery, dial func(link string) Dialer) *prover {
	return &prover{conf: conf, dial: dial, log: log, changed: make(chan struct{}, 1), asked: make(chan struct{}, 1), results: map[nat64.Prefix]proof{}}
}

// active tells whether anything is to be validated.
func (p *prover) active() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return trusts(p.conf)
}

func trusts(c config.Discovery) bool { return len(c.TrustedDomains)+len(c.NAT64Names) > 0 }

// configure replaces what is trusted. All results are void.
func (p *prover) configure(conf config.Discovery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conf, p.turn = conf, p.turn+1
	clear(p.results)
	notify(p.asked)
}

// want says which prefixes to validate, and where to ask. Another place makes all
// results void.
func (p *prover) want(q question, prefixes []nat64.Prefix) {
	q.ways = nil // of the servers' names alone
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.equal(p.wanted) && slices.Equal(prefixes, p.prefixes) {
		return
	}
	if !q.equal(p.wanted) {
		clear(p.results)
	}
	p.wanted, p.prefixes = q, prefixes
	notify(p.asked)
}

// result returns what is known of a prefix; done is false while it is not known.
func (p *prover) result(prefix nat64.Prefix) (r validate.Result, done bool) {
	if !p.active() {
		return new(validate.Procedure).Validate(context.Background(), prefix, time.Time{}), true // asks nothing
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	got, done := p.results[prefix]
	return got.Result, done
}

// run validates what is wanted until ctx ends.
func (p *prover) run(ctx context.Context) error {
	for {
		wait := time.Hour
		for _, prefix := range p.due(time.Now()) {
			p.prove(ctx, prefix)
		}
		if next := p.next(); !next.IsZero() {
			wait = max(0, time.Until(next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-p.asked:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// due are the prefixes to validate now.
func (p *prover) due(now time.Time) (out []nat64.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !trusts(p.conf) || len(p.wanted.servers) == 0 {
		return nil
	}
	for _, prefix := range p.prefixes {
		if r, ok := p.results[prefix]; !ok || !now.Before(r.due) {
			out = append(out, prefix)
		}
	}
	return out
}

// next is when the first of the results has to be looked at again.
func (p *prover) next() (at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, prefix := range p.prefixes {
		if r, ok := p.results[prefix]; ok && (at.IsZero() || r.due.Before(at)) {
			at = r.due
		}
	}
	return at
}

// prove validates one prefix and keeps the result, unless it was asked for
// elsewhere meanwhile.
func (p *prover) prove(ctx context.Context, prefix nat64.Prefix) {
	p.mu.Lock()
	q, conf, turn := p.wanted, p.conf, p.turn
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, proveLimit)
	defer cancel()
	procedure := validate.Procedure{Domains: conf.TrustedDomains, Names: conf.NAT64Names,
		Validator: &dnssec.Validator{Exchanger: p.exchanger(q), Anchors: conf.Anchors}}
	now := time.Now()
	r := procedure.Validate(ctx, prefix, now)
	hold := proveFailed
	switch r.Status {
	case validate.Validated:
		hold = min(max(r.TTL, proveMin), proveMax)
	case validate.Unknown:
		hold = proveUnknown
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !q.equal(p.wanted) || turn != p.turn {
		return
	}
	old, had := p.results[prefix]
	p.results[prefix] = proof{r, now.Add(hold)}
	if !had || old.Status != r.Status || old.Reason != r.Reason {
		p.log.WithFields(logrus.Fields{"prefix": prefix.String(), "status": r.Status.String(), "reason": string(r.Reason), "name": r.Name}).Info("prefix validated by DNSSEC")
		notify(p.changed)
	}
}

// exchanger asks the question's resolvers, one after another until one answers.
func (p *prover) exchanger(q question) dnssec.Exchanger {
	client := dnsq.Client{Dialer: p.dial(q.link), Link: q.link}
	return dnssec.ExchangeFunc(func(ctx context.Context, name string, qtype uint16) (m *dns.Msg, err error) {
		for _, s := range q.servers {
			if m, err = client.Ask(ctx, netip.AddrPortFrom(s, 53), name, qtype, dnsq.Flags{DO: true, CD: true}); err == nil {
				return m, nil
			}
		}
		return nil, err
	})
}
