package dns64

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/resolver/dnssec"
)

// Upstream asks a recursive resolver. Of q its question counts, with class IN, and
// the bits CD and, in EDNS, DO. The answer's response code is handed on, its AD bit is
// not; a truncated answer counts as none, so it has to try TCP itself. It must be safe
// for concurrent use, and must not lead back to the Server.
type Upstream interface {
	Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error)
}

// Checker validates with DNSSEC; dnssec.Validator, given the time, is one. It must be
// safe for concurrent use.
type Checker interface {
	Check(ctx context.Context, name string, qtype uint16) dnssec.Result
}

// Times of an Engine whose fields are zero. Resolver libraries ask again after 5 s.
const (
	DefaultTimeout     = 4500 * time.Millisecond // for a whole answer
	DefaultAAAATimeout = 2 * time.Second         // for the first of two questions, such as AAAA before A
)

// Engine answers questions. Set the fields before the first call; then it is safe
// for concurrent use.
type Engine struct {
	Upstream Upstream
	Policy   Policy
	Checker  Checker // nil: nothing is validated
	// Elsewhere tells which names lie behind another NAT64, such as an organization's:
	// nothing is synthesized for them (spec DNS64-12, MSDA-13). nil: none do.
	Elsewhere   func(name string) bool
	Timeout     time.Duration // 0: DefaultTimeout
	AAAATimeout time.Duration // 0: DefaultAAAATimeout

	prefixes atomic.Pointer[[]Prefix]
	stats    counters
}

// Stats are counted since the start.
type Stats struct {
	Queries     uint64 `json:"queries"`     // answered
	Synthesized uint64 `json:"synthesized"` // of these, with addresses or names made here
	Special     uint64 `json:"special"`     // of these, without upstream
	Failed      uint64 `json:"failed"`      // of these, since upstream was silent or an answer was bogus
	Dropped     uint64 `json:"dropped"`     // not answered: too many at once, or no query
}

type counters struct{ queries, synthesized, special, failed, dropped atomic.Uint64 }

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	return Stats{e.stats.queries.Load(), e.stats.synthesized.Load(), e.stats.special.Load(), e.stats.failed.Load(), e.stats.dropped.Load()}
}

// SetPrefixes sets what holds from the next answer on, best first; none: nothing is
// synthesized, and every question but those for special names goes upstream.
func (e *Engine) SetPrefixes(list []Prefix) {
	list = slices.DeleteFunc(slices.Clone(list), func(p Prefix) bool { return !p.IsValid() })
	e.prefixes.Store(&list)
}

// Prefixes returns what is set.
func (e *Engine) Prefixes() []Prefix {
	if p := e.prefixes.Load(); p != nil {
		return *p
	}
	return nil
}

func orElse(d, dflt time.Duration) time.Duration {
	if d <= 0 {
		return dflt
	}
	return d
}

// Answer returns the response to a query; nil when it deserves none. Its size is the
// caller's affair.
func (e *Engine) Answer(ctx context.Context, query *dns.Msg) *dns.Msg {
	if query.Response {
		e.stats.dropped.Add(1)
		return nil
	}
	e.stats.queries.Add(1)
	if m := refuse(query); m != nil {
		return m
	}
	prefixes := e.Prefixes() // one answer sees one set
	if e.Elsewhere != nil && e.Elsewhere(query.Question[0].Name) {
		prefixes = nil
	}
	if m := Special(query, prefixes); m != nil {
		e.stats.special.Add(1)
		return m
	}
	ctx, cancel := context.WithTimeout(ctx, orElse(e.Timeout, DefaultTimeout))
	defer cancel()
	if len(prefixes) > 0 {
		if name, ok := Reverse(query, prefixes, e.Policy); ok {
			first, cancel := context.WithTimeout(ctx, orElse(e.AAAATimeout, DefaultAAAATimeout))
			ptr, _ := e.ask(first, query, name, dns.TypePTR) // without an answer the question goes on as it is
			cancel()
			if m := Pointer(query, name, ptr); m != nil {
				e.stats.synthesized.Add(1)
				return m
			}
		}
		if query.Question[0].Qtype == dns.TypeAAAA && !query.CheckingDisabled {
			return e.aaaa(ctx, query, prefixes)
		}
	}
	q := query.Question[0]
	m, err := e.ask(ctx, query, q.Name, q.Qtype)
	if err != nil {
		return e.failed(query)
	}
	return reply(query, m)
}

// refuse answers what cannot be forwarded.
func refuse(query *dns.Msg) *dns.Msg {
	switch opt := query.IsEdns0(); {
	case query.Opcode != dns.OpcodeQuery:
		return failure(query, dns.RcodeNotImplemented)
	case len(query.Question) != 1 || options(query) > 1: // RFC 9619; RFC 6891 section 6.1.1
		return failure(query, dns.RcodeFormatError)
	case opt != nil && opt.Version() != 0:
		return failure(query, dns.RcodeBadVers)
	}
	q := query.Question[0]
	if q.Qclass != dns.ClassINET || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR || q.Qtype == dns.TypeOPT {
		return failure(query, dns.RcodeRefused)
	}
	return nil
}

// options counts the OPT records.
func options(m *dns.Msg) (n int) {
	for _, rr := range m.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			n++
		}
	}
	return n
}

func (e *Engine) failed(query *dns.Msg) *dns.Msg {
	e.stats.failed.Add(1)
	return failure(query, dns.RcodeServerFailure)
}

// aaaa answers a question for AAAA, RFC 6147 section 5.1.
func (e *Engine) aaaa(ctx context.Context, query *dns.Msg, prefixes []Prefix) *dns.Msg {
	name := query.Question[0].Name
	first, cancel := context.WithTimeout(ctx, orElse(e.AAAATimeout, DefaultAAAATimeout))
	six, err := e.chase(first, query, name, dns.TypeAAAA)
	cancel()
	if err != nil {
		six = nil // a timeout is an error like others, section 5.1.3
	}
	if !Needs(query, six, e.Policy) {
		return Synthesize(query, six, nil, prefixes, e.Policy)
	}
	// The negative answer is validated before A is asked for, section 5.5.
	denied := e.check(ctx, name, dns.TypeAAAA)
	if denied.Verdict == dnssec.Bogus {
		return e.failed(query)
	}
	four, err := e.chase(ctx, query, name, dns.TypeA)
	if err != nil {
		return e.failed(query)
	}
	held := e.check(ctx, name, dns.TypeA)
	if held.Verdict == dnssec.Bogus || held.Verdict == dnssec.Secure && !same(held.Answer, four.Answer) {
		return e.failed(query)
	}
	m := Synthesize(query, six, four, prefixes, e.Policy)
	if slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeAAAA }) {
		e.stats.synthesized.Add(1)
		opt := query.IsEdns0()
		m.AuthenticatedData = opt != nil && opt.Do() && denied.Verdict == dnssec.Secure && held.Verdict == dnssec.Secure
	}
	return m
}

func (e *Engine) check(ctx context.Context, name string, qtype uint16) dnssec.Result {
	if e.Checker == nil {
		return dnssec.Result{}
	}
	return e.Checker.Check(ctx, dns.CanonicalName(name), qtype)
}

// same tells whether validated A records are the ones of an answer.
func same(validated, answer []dns.RR) bool {
	list := func(rrs []dns.RR) (out []string) {
		for _, rr := range rrs {
			if a, ok := rr.(*dns.A); ok {
				out = append(out, a.A.String())
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(list(validated), list(answer))
}

// chase asks upstream for addresses, and follows aliases as far as upstream did not
// (spec DNS64-4).
func (e *Engine) chase(ctx context.Context, query *dns.Msg, name string, qtype uint16) (*dns.Msg, error) {
	whole, err := e.ask(ctx, query, name, qtype)
	if err != nil {
		return nil, err
	}
	for last := name; ; {
		way, err := follow(whole.Answer, name)
		if err != nil {
			return nil, err
		}
		denied := slices.ContainsFunc(whole.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
		if whole.Rcode != dns.RcodeSuccess || denied || strings.EqualFold(way.end, last) || has(whole.Answer, way.end, qtype) {
			return whole, nil
		}
		last = way.end
		m, err := e.ask(ctx, query, last, qtype)
		if err != nil {
			return nil, err
		}
		next := m.Copy()
		next.Answer = append(slices.Clone(whole.Answer), next.Answer...)
		whole = next
	}
}

// ask asks upstream with the bits of query.
func (e *Engine) ask(ctx context.Context, query *dns.Msg, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	q.CheckingDisabled = query.CheckingDisabled
	opt := query.IsEdns0()
	q.SetEdns0(udpSize, opt != nil && opt.Do())
	m, err := e.Upstream.Exchange(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, errors.New("ask upstream: no message came back")
	case m.Truncated: // what is missing may be the AAAA
		return nil, errors.New("ask upstream: the answer is truncated")
	}
	return m, nil
}
