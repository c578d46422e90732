package dnssec

import (
	"strings"

	"github.com/miekg/dns"
)

// step is how far the way down from an anchor to a name came: the signed zone that
// the name lies in, or why there is none.
type step struct {
	zone *zone
	gone bool // the name is proven not to exist, so nothing below it does
	err  *fault
}

func equalHex(a, b string) bool { return strings.EqualFold(a, b) }

// walk goes from the anchor down to name and looks for a zone cut at each label: a
// DS leads into the next zone; the proof that there is none, into an unsigned one
// or no further (RFC 4035 section 5.2).
func (r *run) walk(name string) step {
	if s, ok := r.steps[name]; ok {
		return s
	}
	s := r.down(name)
	r.steps[name] = s
	return s
}

func (r *run) down(name string) step {
	top, ds, keys, ok := r.anchors.above(name)
	switch {
	case !ok:
		return step{err: failed(Indeterminate, NoAnchor, name, dns.TypeDS, "no trust anchor lies above %s", name)}
	case top == name:
		z, f := r.anchor(top, ds, keys)
		return step{zone: z, err: f}
	}
	up := r.walk(parent(name))
	if up.err != nil || up.gone {
		return up
	}
	m, f := r.ask(name, dns.TypeDS)
	if f != nil {
		return step{err: f}
	}
	return r.cut(name, up.zone, m)
}

// anchor checks the keys of the zone that trust begins with.
func (r *run) anchor(name string, ds []*dns.DS, keys []*dns.DNSKEY) (*zone, *fault) {
	s, f := r.dnskeys(name)
	if f != nil {
		return nil, f
	}
	have := keysOf(s)
	good, usable, f := r.trust(name, have, ds)
	if f != nil {
		return nil, f
	}
	for _, a := range keys {
		usable = usable || knownAlgorithm(a.Algorithm)
		for _, k := range have {
			if knownAlgorithm(k.Algorithm) && k.Algorithm == a.Algorithm && k.PublicKey == a.PublicKey {
				good = append(good, k)
			}
		}
	}
	if !usable {
		return nil, failed(Indeterminate, NoAnchor, name, dns.TypeDNSKEY, "the trust anchor of %s has an algorithm that is not known here", name)
	}
	return r.enter(name, s, have, good)
}

// dnskeys asks for the keys of a zone.
func (r *run) dnskeys(name string) (*set, *fault) {
	m, f := r.ask(name, dns.TypeDNSKEY)
	if f != nil {
		return nil, f
	}
	s := group(m.Answer).find(name, dns.TypeDNSKEY)
	if s == nil {
		return nil, bogus(NoDNSKEY, name, dns.TypeDNSKEY, "the zone %s should be signed, but there are no keys in its answer", name)
	}
	return s, nil
}

// enter takes over the keys of a zone when one of the good ones signs them all.
func (r *run) enter(name string, s *set, have, good []key) (*zone, *fault) {
	if len(good) == 0 {
		return nil, bogus(BadDS, name, dns.TypeDNSKEY, "none of the %d keys of %s is the one that its DS or trust anchor names", len(have), name)
	}
	p, f := r.verify(s, &zone{name, good})
	if f != nil {
		return nil, f
	}
	if p.labels != dns.CountLabel(name) {
		return nil, bogus(BadSignature, name, dns.TypeDNSKEY, "the keys of %s come from a wildcard", name)
	}
	return &zone{name, have}, nil
}

// cut reads the answer to the question for the DS of name, which lies below z.
func (r *run) cut(name string, z *zone, m *dns.Msg) step {
	answer := group(m.Answer)
	if s := answer.find(name, dns.TypeDS); s != nil {
		p, f := r.verify(s, z)
		if f == nil && p.labels != dns.CountLabel(name) {
			f = bogus(BadSignature, name, dns.TypeDS, "the DS of %s comes from a wildcard", name)
		}
		if f != nil {
			return step{err: f}
		}
		next, f := r.delegated(name, s)
		return step{zone: next, err: f}
	}
	// Where an alias is, there is no zone cut; below a DNAME there is nothing.
	for _, s := range answer {
		isAlias := s.qtype == dns.TypeCNAME && s.name == name
		isTree := s.qtype == dns.TypeDNAME && below(s.name, name)
		if !isAlias && !isTree || isAlias && answer.dnameAbove(name) != nil {
			continue
		}
		f := r.trueSet(s, z, m)
		return step{zone: z, gone: isTree, err: f}
	}
	d, f := r.deny(m, z, name, dns.TypeDS)
	switch {
	case f != nil:
		return step{err: f}
	case d.optOut:
		return step{err: failed(Insecure, OptOut, name, dns.TypeDS, "the zone %s lists signed delegations only (NSEC3 opt-out), and %s is not among them", z.name, name)}
	case d.delegation:
		return step{err: failed(Insecure, NoDS, name, dns.TypeDS, "the zone %s proves that %s is not signed", z.name, name)}
	}
	return step{zone: z, gone: d.nxdomain}
}

// delegated goes into the zone that s, its DS set, vouches for.
func (r *run) delegated(name string, s *set) (*zone, *fault) {
	var records []*dns.DS
	for _, rr := range s.rrs {
		if d, ok := rr.(*dns.DS); ok {
			records = append(records, d)
		}
	}
	if _, usable, _ := r.trust(name, nil, records); !usable {
		return nil, failed(Insecure, UnsupportedAlgorithm, name, dns.TypeDS, "%s is signed only with algorithms or digests that are not known here", name)
	}
	keys, f := r.dnskeys(name)
	if f != nil {
		return nil, f
	}
	have := keysOf(keys)
	good, _, f := r.trust(name, have, records)
	if f != nil {
		return nil, f
	}
	return r.enter(name, keys, have, good)
}
