package dnssec

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// answer validates the answer to a question, alias after alias.
func (r *run) answer(name string, qtype uint16) Result {
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return failed(Indeterminate, BadQuestion, name, qtype, "%q is no domain name", name).result()
	}
	switch qtype {
	case dns.TypeANY, dns.TypeRRSIG, dns.TypeAXFR, dns.TypeIXFR, dns.TypeOPT, dns.TypeNone:
		return failed(Indeterminate, BadQuestion, name, qtype, "answers of type %s cannot be validated", dns.Type(qtype)).result()
	}
	c := &chain{run: r, qtype: qtype, at: dns.CanonicalName(dns.Fqdn(name)), ttl: math.MaxInt64}
	for {
		done, f := c.next()
		switch {
		case f != nil && f.verdict != Insecure:
			return f.result()
		case f != nil && c.insecure == nil:
			c.insecure = f
		}
		if done {
			return c.result()
		}
	}
}

func (f *fault) result() Result {
	return Result{Verdict: f.verdict, Reason: f.reason, Name: f.name, Type: f.qtype, Detail: f.detail}
}

// chain is an answer under validation: the name reached, and what was found so far.
type chain struct {
	run   *run
	qtype uint16
	at    string
	seen  []string
	m     *dns.Msg // the answer that at was last found in

	insecure *fault // the first part that is not signed
	ttl      time.Duration
	rrs      []dns.RR
	exists   bool
}

func (c *chain) result() Result {
	res := Result{Verdict: Secure, Reason: Validated, Name: c.at, Type: c.qtype, TTL: c.ttl,
		Detail: "signed from the trust anchor down"}
	if c.insecure != nil {
		res = c.insecure.result()
	}
	res.Answer, res.Exists = c.rrs, c.exists
	return res
}

// next validates what is said of the name reached: the records, an alias, which
// moves on, or that there is neither. With an error of Insecure the chain goes on.
func (c *chain) next() (done bool, _ *fault) {
	if slices.Contains(c.seen, c.at) {
		return true, bogus(BadAlias, c.at, c.qtype, "the aliases go round in a circle at %s", c.at)
	}
	if len(c.seen) > c.run.limits.Chain {
		return true, failed(Indeterminate, ChainTooLong, c.at, c.qtype, "more than %d aliases", c.run.limits.Chain)
	}
	c.seen = append(c.seen, c.at)
	sections, f := c.sections()
	if f != nil {
		return true, f
	}
	if s := sections.find(c.at, c.qtype); s != nil {
		c.rrs, c.exists = s.rrs, true
		return true, c.take(s)
	}
	if s := sections.dnameAbove(c.at); s != nil {
		return c.dname(s, sections)
	}
	if s := sections.find(c.at, dns.TypeCNAME); s != nil {
		to, ok := s.target()
		if !ok {
			return true, bogus(BadAlias, c.at, dns.TypeCNAME, "%s has %d CNAME records", c.at, len(s.rrs))
		}
		f := c.take(s)
		c.at = to
		return false, f
	}
	return true, c.denied()
}

// sections returns the answer section that speaks of the name reached. A resolver
// that did not follow the aliases to their end is asked anew.
func (c *chain) sections() (sets, *fault) {
	if c.m != nil {
		got := group(c.m.Answer)
		speaks := got.find(c.at, c.qtype) != nil || got.find(c.at, dns.TypeCNAME) != nil || got.dnameAbove(c.at) != nil
		if speaks || c.m.Rcode == dns.RcodeNameError || len(c.m.Ns) > 0 {
			return got, nil
		}
	}
	m, f := c.run.ask(c.at, c.qtype)
	if f != nil {
		return nil, f
	}
	c.m = m
	return group(m.Answer), nil
}

// take validates a set, and notes how long it may be kept.
func (c *chain) take(s *set) *fault {
	p, f := c.run.secure(s, c.m)
	if f == nil {
		c.ttl = min(c.ttl, p.ttl)
	}
	return f
}

// dname follows a DNAME, RFC 6672. Its CNAME is not signed: it is computed here,
// and one that says otherwise is a forgery (section 5.3.1).
func (c *chain) dname(s *set, sections sets) (done bool, _ *fault) {
	target, ok := s.target()
	if !ok {
		return true, bogus(BadAlias, s.name, dns.TypeDNAME, "%s has %d DNAME records", s.name, len(s.rrs))
	}
	to := strings.TrimSuffix(strings.TrimSuffix(c.at, s.name), ".") + "." + target
	if target == "." {
		to = strings.TrimSuffix(c.at, s.name)
	}
	if _, ok := dns.IsDomainName(to); !ok {
		return true, bogus(BadAlias, c.at, dns.TypeDNAME, "the DNAME of %s makes %s too long", s.name, c.at)
	}
	if a := sections.find(c.at, dns.TypeCNAME); a != nil {
		if says, ok := a.target(); !ok || says != to {
			return true, bogus(BadAlias, c.at, dns.TypeCNAME, "the CNAME of %s does not follow from the DNAME of %s", c.at, s.name)
		}
	}
	f := c.take(s)
	c.at = to
	return false, f
}

// target returns where the CNAME or DNAME of a set leads; it is false when there are
// several that lead to different names (RFC 2181 section 10.1).
func (s *set) target() (to string, ok bool) {
	for _, rr := range s.rrs {
		var t string
		switch rr := rr.(type) {
		case *dns.CNAME:
			t = rr.Target
		case *dns.DNAME:
			t = rr.Target
		}
		if t = dns.CanonicalName(t); ok && t != to {
			return "", false
		}
		to, ok = t, true
	}
	return to, ok
}

// dnameAbove returns the DNAME of the nearest name above name.
func (l sets) dnameAbove(name string) *set {
	var found *set
	for _, s := range l {
		if s.qtype == dns.TypeDNAME && below(s.name, name) && (found == nil || below(found.name, s.name)) {
			found = s
		}
	}
	return found
}

// denied validates that the name reached has no records of the type.
func (c *chain) denied() *fault {
	c.exists = c.m.Rcode != dns.RcodeNameError
	z, f := c.run.authority(c.m, c.at, c.qtype)
	if f != nil {
		return f
	}
	d, f := c.run.deny(c.m, z, c.at, c.qtype)
	if f != nil {
		return f
	}
	c.exists = !d.nxdomain
	if d.optOut {
		return failed(Insecure, OptOut, c.at, c.qtype, "the zone %s lists signed delegations only (NSEC3 opt-out), so that %s may exist unsigned", z.name, c.at)
	}
	c.ttl = min(c.ttl, d.ttl)
	return nil
}

// authority returns the zone that signed the denial in m. Without any signature the
// name has to lie in an unsigned zone.
func (r *run) authority(m *dns.Msg, name string, qtype uint16) (*zone, *fault) {
	for _, s := range group(m.Ns) {
		if s.qtype != dns.TypeNSEC && s.qtype != dns.TypeNSEC3 && s.qtype != dns.TypeSOA {
			continue
		}
		for _, sig := range s.sigs {
			signer := dns.CanonicalName(sig.SignerName)
			if !dns.IsSubDomain(signer, name) || qtype == dns.TypeDS && signer == name && name != "." {
				continue
			}
			return r.zoneNamed(signer, name, qtype)
		}
	}
	if f := r.unsigned(name, qtype); f != nil {
		return nil, f
	}
	return nil, bogus(NoDenial, name, qtype, "there is no %s %s in the answer, and no signed proof that there is none", dns.Type(qtype), name)
}

// zoneNamed walks to a zone that is said to have signed something.
func (r *run) zoneNamed(signer, name string, qtype uint16) (*zone, *fault) {
	s := r.walk(signer)
	switch {
	case s.err != nil:
		return nil, s.err
	case s.zone.name != signer:
		return nil, bogus(WrongSigner, name, qtype, "%s %s is signed by %s, which is no zone; the zone there is %s", dns.Type(qtype), name, signer, s.zone.name)
	}
	return s.zone, nil
}

// unsigned returns the proof that name lies in an unsigned zone as a fault, or why
// it could not be had. nil: it lies in a signed one.
func (r *run) unsigned(name string, qtype uint16) *fault {
	if qtype == dns.TypeDS { // it belongs to the zone above
		name = parent(name)
	}
	return r.walk(name).err
}

// secure validates a set that stands in the answer section of m.
func (r *run) secure(s *set, m *dns.Msg) (proof, *fault) {
	var tried []string
	var first *fault
	for _, sig := range s.sigs {
		signer := dns.CanonicalName(sig.SignerName)
		if !dns.IsSubDomain(signer, s.name) || s.qtype == dns.TypeDS && signer == s.name || slices.Contains(tried, signer) || len(tried) == 2 {
			continue
		}
		tried = append(tried, signer)
		z, f := r.zoneNamed(signer, s.name, s.qtype)
		var p proof
		if f == nil {
			p, f = r.signedBy(s, z, m)
		}
		if f == nil {
			return p, nil
		}
		if first == nil {
			first = f
		}
	}
	if first == nil {
		first = r.unsigned(s.name, s.qtype)
	}
	if first == nil {
		first = bogus(Unsigned, s.name, s.qtype, "the zone is signed, but there is no signature of it over %s %s", dns.Type(s.qtype), s.name)
	}
	return proof{}, first
}

// trueSet is signedBy for a set of which only the truth matters.
func (r *run) trueSet(s *set, z *zone, m *dns.Msg) *fault {
	_, f := r.signedBy(s, z, m)
	return f
}

// signedBy validates a set of zone z, and that a wildcard it came from applies
// (RFC 4035 section 5.3.4, RFC 5155 section 8.8).
func (r *run) signedBy(s *set, z *zone, m *dns.Msg) (proof, *fault) {
	p, f := r.verify(s, z)
	if f != nil || p.labels == signedLabels(s.name) {
		return p, f
	}
	return p, r.expanded(m, z, s, p.labels)
}
