package agent

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
)

// Bounds of the wait before a name is asked for again.
const (
	lookupMin   = 10 * time.Second
	lookupMax   = 10 * time.Minute
	lookupRetry = 2 * time.Second // after no answer, doubled up to lookupMax
)

// question is where to ask for the servers' names. Comparable by equal.
type question struct {
	epoch   uint64
	link    string
	servers []netip.Addr
	ways    []int // links over which the rules' servers are reached, 0 none: another way is worth another try
}

func (q question) equal(o question) bool {
	return q.epoch == o.epoch && q.link == o.link && slices.Equal(q.servers, o.servers) && slices.Equal(q.ways, o.ways)
}

// answer is what the uplink's resolvers say of one name. An address that was
// once learned stays until another answer replaces it; an IPv6 address only in the
// epoch in which it was learned, since a DNS64 makes it of its own network's prefix.
type answer struct {
	ipv4, ipv6 []netip.Addr
	err        error
	epoch      uint64
}

// lookup keeps the configured servers' names resolved through the uplink's own
// resolvers. run is its one long-lived goroutine and starts one for each name,
// for which it waits. mu guards what is below it.
type lookup struct {
	rules   func(name string) []netip.Addr // name servers for this name alone; none: those of the question
	dial    func(link string) Dialer
	log     logrus.FieldLogger
	changed chan struct{} // capacity 1; a full channel means that news is waiting already
	asked   chan question // capacity 1; an older question is replaced

	mu      sync.Mutex
	names   []string
	answers map[string]answer
	last    question
}

// follow says which names to look up; the same ones again change nothing.
func (l *lookup) follow(names []string) {
	l.mu.Lock()
	same := slices.Equal(names, l.names)
	l.mu.Unlock()
	if !same {
		l.rename(names)
	}
}

// rename says which names to look up from now on. What is known of those that stay
// stays.
func (l *lookup) rename(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = names
	maps.DeleteFunc(l.answers, func(name string, _ answer) bool { return !slices.Contains(names, name) })
	replace(l.asked, l.last)
}

func newLookup(log logrus.FieldLogger, names []string, rules func(string) []netip.Addr, dial func(link string) Dialer) *lookup {
	return &lookup{names: names, rules: rules, dial: dial, log: log, changed: make(chan struct{}, 1),
		asked: make(chan question, 1), answers: make(map[string]answer)}
}

// ask says where to ask from now on; the same question again changes nothing.
func (l *lookup) ask(q question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.equal(l.last) {
		return
	}
	l.last = q
	replace(l.asked, q)
}

// answer returns what is known of a name.
func (l *lookup) answer(name string) answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.answers[name]
	if a.epoch != l.last.epoch {
		a.ipv6, a.err = nil, nil
	}
	return a
}

func (l *lookup) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	cancel := func() {}
	defer func() { cancel() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-l.asked:
			cancel()
			sub, stop := context.WithCancel(ctx)
			cancel = stop
			l.mu.Lock()
			names := l.names
			l.mu.Unlock()
			for _, name := range names {
				if q := l.of(q, name); len(q.servers) > 0 {
					wg.Go(func() { l.keep(sub, q, name) })
				}
			}
		}
	}
}

// of is the question about one name: a rule's servers are asked by whatever link
// leads to them (spec DA-20).
func (l *lookup) of(q question, name string) question {
	if servers := l.rules(name); len(servers) > 0 {
		q.servers, q.link = servers, ""
	}
	return q
}

// keep asks for one name until ctx ends.
func (l *lookup) keep(ctx context.Context, q question, name string) {
	retry := lookupRetry
	for {
		a, ttl := resolve(ctx, l.dial(q.link), q.servers, name)
		if ctx.Err() != nil {
			return
		}
		if a.err != nil {
			ttl, retry = retry, min(retry*2, lookupMax)
		} else {
			ttl, retry = min(max(ttl, lookupMin), lookupMax), lookupRetry
		}
		a.epoch = q.epoch
		l.store(name, a)
		timer := time.NewTimer(jitter(ttl))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// store keeps an answer. An answer that failed leaves the addresses known before.
func (l *lookup) store(name string, a answer) {
	l.mu.Lock()
	old := l.answers[name]
	if a.err != nil {
		a.ipv4 = old.ipv4
		if old.epoch == a.epoch {
			a.ipv6 = old.ipv6
		}
	}
	same := old.epoch == a.epoch && slices.Equal(old.ipv4, a.ipv4) && slices.Equal(old.ipv6, a.ipv6) && (old.err == nil) == (a.err == nil)
	l.answers[name] = a
	l.mu.Unlock()
	if !same {
		l.log.WithField("server", name).WithField("ipv4", a.ipv4).WithField("ipv6", a.ipv6).Debug("server name resolved")
		notify(l.changed)
	}
}

// hedge is how long a resolver is waited for before the next one is asked as well.
const hedge = time.Second

// resolve asks the resolvers for A and AAAA of name, each as soon as the one
// before has failed or is slow, and takes the first that answers. The time is how
// long the answer may be kept. It waits for the goroutines it starts.
func resolve(ctx context.Context, over Dialer, servers []netip.Addr, name string) (answer, time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	c := dnsq.Client{Dialer: over}
	results := make(chan lookedUp, len(servers)) // one from each, never full
	next := time.NewTimer(0)
	defer next.Stop()
	err := error(nil)
	for asked, failed := 0, 0; failed < len(servers); {
		select {
		case <-next.C:
			if asked == len(servers) {
				continue
			}
			server := servers[asked]
			asked++
			wg.Go(func() { results <- both(ctx, &c, server, name) })
			next.Reset(hedge)
		case r := <-results:
			if r.err == nil {
				return r.answer, r.ttl
			}
			failed++
			err = r.err
			next.Reset(0)
		}
	}
	return answer{err: err}, 0
}

// lookedUp is what one resolver said, and for how long that holds.
type lookedUp struct {
	answer
	ttl time.Duration
}

// both asks one resolver for A and AAAA at once.
func both(ctx context.Context, c *dnsq.Client, server netip.Addr, name string) (r lookedUp) {
	var wg sync.WaitGroup
	var ttl4, ttl6 time.Duration
	var err4, err6 error
	wg.Go(func() { r.ipv4, ttl4, err4 = ask(ctx, c, server, name, dns.TypeA) })
	wg.Go(func() { r.ipv6, ttl6, err6 = ask(ctx, c, server, name, dns.TypeAAAA) })
	wg.Wait()
	r.ttl = min(ttl4, ttl6)
	if r.err = cmp.Or(err4, err6); r.err == nil && len(r.ipv4)+len(r.ipv6) == 0 {
		r.err = fmt.Errorf("resolve %s: %s knows no address of it", name, server)
	}
	return r
}

// ask returns the addresses of one type; none is no error. Records of other names
// than the asked one and its aliases are not believed.
func ask(ctx context.Context, c *dnsq.Client, server netip.Addr, name string, qtype uint16) ([]netip.Addr, time.Duration, error) {
	m, err := c.Query(ctx, netip.AddrPortFrom(server, 53), dns.Fqdn(name), qtype)
	if err != nil {
		return nil, 0, err
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, 0, fmt.Errorf("resolve %s: %s answered %s", name, server, dns.RcodeToString[m.Rcode])
	}
	chain, err := dnsq.Follow(m, dns.Fqdn(name), qtype)
	if err != nil {
		return nil, 0, fmt.Errorf("resolve %s: answer of %s: %w", name, server, err)
	}
	var out []netip.Addr
	for _, a := range chain.Addrs[:min(len(chain.Addrs), maxAddrs)] {
		if a.Is4() && isServer4(a) || a.Is6() && !a.Is4In6() {
			out = append(out, a)
		}
	}
	if len(chain.Addrs) == 0 {
		return out, lookupMax, nil
	}
	return out, chain.TTL, nil
}

// maxAddrs is how many addresses of one type a server may have.
const maxAddrs = 16

// isServer4 refuses addresses that no server can have: whoever answers for a
// name must not be able to draw loopback, link-local or multicast traffic, or
// that of a CLAT, into ours.
func isServer4(a netip.Addr) bool {
	return nat64.NonGlobalAlways.Allows(nat64.WellKnown(), a) && !netstate.Continuity.Contains(a)
}
