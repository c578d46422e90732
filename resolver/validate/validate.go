// Package validate decides whether a NAT64 prefix that was learned by DNS belongs to
// a domain that is trusted: RFC 7050 section 3.1.
//
// The prefix's own addresses are named by PTR records; a name inside a trusted domain
// has AAAA records that hold those addresses, signed with DNSSEC. The PTR is only a
// hint and needs no signature. What is proven is that the prefix belongs to the
// domain, not that this network is the one where it is meant to be used: a path
// through it is to be probed all the same (RFC 7050 section 7).
//
// It is pure: it asks through the port of resolver/dnssec and gets the time as an
// argument. It does not find prefixes (resolver/discover) and does not rank them
// (resolver/pref64).
package validate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/resolver/dnssec"
	"github.com/reach64/reach64/resolver/nat64"
)

// Status is what became of a prefix.
type Status uint8

// The statuses. Only Validated raises trust; only Failed speaks against the prefix.
const (
	Unvalidated Status = iota // nothing was tried, or nothing could be
	Validated                 // it belongs to a trusted domain
	Failed                    // a proof is missing or wrong
	Unknown                   // the resolver did not answer: to be tried again
)

var statusNames = [...]string{"unvalidated", "validated", "failed", "unknown"}

// String returns unvalidated, validated, failed or unknown.
func (s Status) String() string {
	if int(s) >= len(statusNames) {
		return fmt.Sprintf("status %d", uint8(s))
	}
	return statusNames[s]
}

// MarshalText writes the word of String.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reason is one word for which proof there is, or which one is missing.
type Reason string

// The reasons, in the order of the procedure.
const (
	NoDomains     Reason = "no-trusted-domains" // unvalidated: none is configured
	WellKnown     Reason = "well-known-prefix"  // unvalidated: 64:ff9b::/96 belongs to nobody, so it cannot be
	NoName        Reason = "no-name"            // failed: the prefix's addresses have no PTR
	NotTrusted    Reason = "untrusted-domain"   // failed: they have names, none in a trusted domain
	NoAnswer      Reason = "no-answer"          // unknown: a question was not answered
	NoAddress     Reason = "no-address"         // failed: the name does not have the prefix's address
	NotSigned     Reason = "not-signed"         // failed: it has, but without DNSSEC
	BadProof      Reason = "bad-proof"          // failed: DNSSEC says that the answer is not genuine
	SignedAddress Reason = "signed-address"     // validated
)

// order tells how far the procedure came.
var order = []Reason{NoDomains, WellKnown, NoName, NotTrusted, NoAnswer, NoAddress, NotSigned, BadProof, SignedAddress}

// Result is the outcome for one prefix.
type Result struct {
	Status Status
	Reason Reason
	Name   string        // of the NAT64, "" when none was found
	DNSSEC dnssec.Result // of that name's addresses; the zero value when not asked
	TTL    time.Duration // how long Validated holds
	Detail string        // a sentence for people
}

// String is for logs: "failed: not-signed (nat64.example.net.)".
func (r Result) String() string {
	s := r.Status.String() + ": " + string(r.Reason)
	if r.Name != "" {
		s += " (" + r.Name + ")"
	}
	return s
}

// Procedure validates prefixes. Set the fields before the first call.
type Procedure struct {
	Validator *dnssec.Validator
	// Domains are trusted, made by ParseDomains. None: nothing is validated, and
	// nothing fails (spec R7050-23).
	Domains []string
	// Names are names of NAT64s that are known beforehand. They are trusted, and are
	// used in place of PTR records.
	Names []string
}

var errAnswer = errors.New("the resolver answers with an error code, or not at all")

// maxNames is how many names of one prefix are tried.
const maxNames = 4

// knownIPv4 are the addresses of ipv4only.arpa, RFC 7050 section 2.2.
var knownIPv4 = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 0, 170}), netip.AddrFrom4([4]byte{192, 0, 0, 171})}

// ParseDomains reads names of trusted domains, such as "example.net": a name lies in
// one if it is that domain or below it, whatever its case. The root is refused, as it
// would trust everybody.
func ParseDomains(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		if _, ok := dns.IsDomainName(n); !ok || n == "" || n == "." || strings.ContainsAny(n, "* \\") || strings.ContainsFunc(n, func(r rune) bool { return r > 126 || r < 33 }) {
			return nil, fmt.Errorf("trusted domain %q: want a domain name such as example.net (in its ASCII form)", n)
		}
		if c := dns.CanonicalName(n); !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out, nil
}

// Validate runs the procedure for one prefix, spec 7050-21: name of the NAT64 by PTR,
// trusted or no further, its AAAA with the prefix's address, DNSSEC.
func (p *Procedure) Validate(ctx context.Context, prefix nat64.Prefix, now time.Time) Result {
	switch {
	case len(p.Domains) == 0 && len(p.Names) == 0:
		return Result{Reason: NoDomains, Detail: "no trusted domain is configured, so that no prefix can be validated"}
	case !prefix.IsValid() || prefix.IsWellKnown():
		return Result{Reason: WellKnown, Detail: "64:ff9b::/96 is used by many networks and belongs to nobody, so that it cannot be validated"}
	}
	best := p.known(ctx, prefix, now)
	if best.Status == Validated || len(p.Domains) == 0 {
		return best
	}
	found, named := p.named(ctx, prefix)
	if named.Reason != "" {
		best = further(best, named)
	}
	for _, name := range found {
		if best = further(best, p.address(ctx, name, prefix, now)); best.Status == Validated {
			break
		}
	}
	return best
}

// further returns the result that came further in the procedure.
func further(a, b Result) Result {
	if a.Reason == "" || slices.Index(order, b.Reason) > slices.Index(order, a.Reason) {
		return b
	}
	return a
}

// known tries the configured names.
func (p *Procedure) known(ctx context.Context, prefix nat64.Prefix, now time.Time) (best Result) {
	for _, name := range p.Names[:min(len(p.Names), maxNames)] {
		if best = further(best, p.address(ctx, dns.CanonicalName(name), prefix, now)); best.Status == Validated {
			break
		}
	}
	return best
}

// named asks for the PTR of the prefix's two addresses (steps 2 and 3) and returns
// the names in trusted domains; without one, why.
func (p *Procedure) named(ctx context.Context, prefix nat64.Prefix) (trusted []string, none Result) {
	var others []string
	var failure error
	for _, v4 := range knownIPv4 {
		a := prefix.Embed(v4)
		reverse, err := dns.ReverseAddr(a.String())
		if err != nil {
			continue // no such address
		}
		m, err := p.Validator.Exchanger.Exchange(ctx, reverse, dns.TypePTR)
		if err == nil && m == nil || err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			err = errAnswer
		}
		if err != nil {
			failure = fmt.Errorf("ask for PTR %s: %w", reverse, err)
			continue
		}
		for _, name := range pointers(m, reverse) {
			switch {
			case !p.trusts(name):
				others = append(others, name)
			case !slices.Contains(trusted, name) && len(trusted) < maxNames:
				trusted = append(trusted, name)
			}
		}
	}
	switch {
	case len(trusted) > 0:
		return trusted, Result{}
	case len(others) > 0:
		return nil, Result{Status: Failed, Reason: NotTrusted, Name: others[0],
			Detail: fmt.Sprintf("the NAT64 of %s is called %s, which lies in none of the trusted domains %s", prefix, others[0], strings.Join(p.Domains, ", "))}
	case failure != nil:
		return nil, Result{Status: Unknown, Reason: NoAnswer, Detail: failure.Error()}
	default:
		return nil, Result{Status: Failed, Reason: NoName,
			Detail: fmt.Sprintf("the addresses of %s have no PTR record, so that the NAT64 has no name whose domain could be trusted", prefix)}
	}
}

// trusts tells whether name lies in a trusted domain, by whole labels.
func (p *Procedure) trusts(name string) bool {
	return slices.ContainsFunc(p.Domains, func(d string) bool { return dns.IsSubDomain(d, name) })
}

// pointers returns the names that the PTR records for name hold, through its aliases.
func pointers(m *dns.Msg, name string) []string {
	at := dns.CanonicalName(name)
	for range m.Answer { // each alias leads on once
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CNAME); ok && dns.CanonicalName(c.Hdr.Name) == at {
				at = dns.CanonicalName(c.Target)
				break
			}
		}
	}
	var out []string
	for _, rr := range m.Answer {
		ptr, ok := rr.(*dns.PTR)
		if !ok || dns.CanonicalName(ptr.Hdr.Name) != at {
			continue
		}
		if n := dns.CanonicalName(ptr.Ptr); n != "." && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// address asks for the AAAA of a trusted name (steps 4 to 6).
func (p *Procedure) address(ctx context.Context, name string, prefix nat64.Prefix, now time.Time) Result {
	res := p.Validator.Validate(ctx, name, dns.TypeAAAA, now)
	r := Result{Status: Failed, Name: name, DNSSEC: res}
	switch {
	case res.Verdict == dnssec.Indeterminate:
		r.Status, r.Reason = Unknown, NoAnswer
		r.Detail = fmt.Sprintf("whether the addresses of %s are genuine cannot be told: %s", name, res.Detail)
	case res.Verdict == dnssec.Bogus:
		r.Reason = BadProof
		r.Detail = fmt.Sprintf("the addresses of %s are not genuine: %s", name, res.Detail)
	case !holds(res.Answer, prefix):
		r.Reason = NoAddress
		r.Detail = fmt.Sprintf("%s has no address inside %s that stands for %s or %s", name, prefix, knownIPv4[0], knownIPv4[1])
	case res.Verdict == dnssec.Insecure:
		r.Reason = NotSigned
		r.Detail = fmt.Sprintf("%s has the right address, but it is not signed: %s", name, res.Detail)
	default:
		r.Status, r.Reason, r.TTL = Validated, SignedAddress, res.TTL
		r.Detail = fmt.Sprintf("%s, which is trusted, has a signed address inside %s", name, prefix)
	}
	return r
}

// holds tells whether the records have one of the prefix's two addresses. Others do
// not matter (step 5).
func holds(rrs []dns.RR, prefix nat64.Prefix) bool {
	return slices.ContainsFunc(rrs, func(rr dns.RR) bool {
		a, ok := rr.(*dns.AAAA)
		if !ok {
			return false
		}
		ip, ok := netip.AddrFromSlice(a.AAAA)
		return ok && slices.ContainsFunc(knownIPv4, func(v4 netip.Addr) bool { return prefix.Embed(v4) == ip })
	})
}
