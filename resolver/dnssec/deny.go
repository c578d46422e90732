package dnssec

import (
	"math"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// denial is what a proof of absence says.
type denial struct {
	nxdomain   bool // the name does not exist; else it has no such records
	optOut     bool // or it is an unsigned delegation, RFC 5155 section 6
	delegation bool // the name is a delegation; only said of DS
	ttl        time.Duration
}

// evidence are the NSEC and NSEC3 records of one answer whose signatures are good.
type evidence struct {
	run   *run
	zone  *zone
	nsec  []*dns.NSEC
	nsec3 []*dns.NSEC3
	ttl   time.Duration
	first *fault // of those that are not good
}

// maxRecords is how many of them are looked at; a proof needs at most three.
const maxRecords = 12

// collect validates the denial records of m. It fails when other records that
// belong to the denial, the SOA, are forged.
func (r *run) collect(m *dns.Msg, z *zone) (*evidence, *fault) {
	e := &evidence{run: r, zone: z, ttl: math.MaxInt64}
	for _, s := range group(m.Ns) {
		if s.qtype != dns.TypeNSEC && s.qtype != dns.TypeNSEC3 && s.qtype != dns.TypeSOA || len(e.nsec)+len(e.nsec3) >= maxRecords {
			continue
		}
		p, f := r.verify(s, z)
		owner := ""
		if f == nil && s.qtype == dns.TypeNSEC && p.labels < signedLabels(s.name) {
			owner = wildcardOf(s.name, p.labels) // some servers expand it; what was signed has this owner
		} else if f == nil && p.labels != signedLabels(s.name) {
			f = bogus(BadSignature, s.name, s.qtype, "a record of denial comes from a wildcard")
		}
		if f != nil {
			if s.qtype == dns.TypeSOA || f.reason == TooMuchWork {
				return nil, f
			}
			if e.first == nil {
				e.first = f
			}
			continue
		}
		e.ttl = min(e.ttl, p.ttl)
		for _, rr := range s.rrs {
			switch rr := rr.(type) {
			case *dns.NSEC:
				if owner != "" {
					rr = dns.Copy(rr).(*dns.NSEC)
					rr.Hdr.Name = owner
				}
				e.nsec = append(e.nsec, rr)
			case *dns.NSEC3:
				e.nsec3 = append(e.nsec3, rr)
			}
		}
	}
	return e, nil
}

// missing is the fault when the evidence does not prove what it should.
func (e *evidence) missing(why Reason, name string, qtype uint16) *fault {
	if e.first != nil {
		return e.first
	}
	return bogus(why, name, qtype, "what the zone %s proves does not say that there is no %s %s (%d NSEC, %d NSEC3 records)",
		e.zone.name, dns.Type(qtype), name, len(e.nsec), len(e.nsec3))
}

// deny reads the proof in m that zone z has no records of type qtype at name: by
// NSEC (RFC 4035 section 5.4) or NSEC3 (RFC 5155 section 8). What the proof says
// counts, not the response code, which nobody signs.
func (r *run) deny(m *dns.Msg, z *zone, name string, qtype uint16) (denial, *fault) {
	e, f := r.collect(m, z)
	if f != nil {
		return denial{}, f
	}
	d, ok := e.byNSEC(name, qtype)
	if !ok {
		if d, ok, f = e.byNSEC3(name, qtype); f != nil {
			return denial{}, f
		}
	}
	if !ok {
		return denial{}, e.missing(NoDenial, name, qtype)
	}
	d.ttl = e.ttl
	return d, nil
}

// expanded reads the proof in m that a set with fewer labels in its signature than
// in its name rightly comes from a wildcard: the next closer name does not exist.
func (r *run) expanded(m *dns.Msg, z *zone, s *set, labels int) *fault {
	e, f := r.collect(m, z)
	if f != nil {
		return f
	}
	closer := last(s.name, labels+1)
	for _, n := range e.nsec {
		if covers(n, closer) && !dns.IsSubDomain(closer, dns.CanonicalName(n.NextDomain)) {
			return nil
		}
	}
	l, f := e.hashed()
	if f != nil {
		return f
	}
	n, f := l.cover(closer)
	switch {
	case f != nil:
		return f
	case n == nil:
		return e.missing(NoWildcardProof, s.name, s.qtype)
	case n.Flags&1 != 0:
		return failed(Insecure, OptOut, s.name, s.qtype, "the zone %s proves only by NSEC3 opt-out that the wildcard applies to %s", z.name, s.name)
	}
	return nil
}

// absent tells whether a bitmap of types at name says that qtype is not there, and
// is a bitmap of the right side of a zone cut (RFC 6840 section 4.1).
func absent(types []uint16, name string, qtype uint16) (d denial, ok bool) {
	has := func(t uint16) bool { return slices.Contains(types, t) }
	switch {
	case has(qtype) || has(dns.TypeCNAME):
		return d, false
	case qtype == dns.TypeDS:
		// The parent's record; the child's has the SOA.
		return denial{delegation: has(dns.TypeNS)}, !has(dns.TypeSOA) || name == "."
	default:
		return d, !has(dns.TypeNS) || has(dns.TypeSOA)
	}
}

// mayCover tells whether a record at owner says something about names below it: not
// when a delegation or a DNAME is there (RFC 6840 section 4.1).
func mayCover(types []uint16) bool {
	return !slices.Contains(types, dns.TypeDNAME) && (!slices.Contains(types, dns.TypeNS) || slices.Contains(types, dns.TypeSOA))
}

// covers tells whether n proves that nothing is at name, though there may be names
// below it.
func covers(n *dns.NSEC, name string) bool {
	owner, next := dns.CanonicalName(n.Hdr.Name), dns.CanonicalName(n.NextDomain)
	if below(owner, name) && !mayCover(n.TypeBitMap) {
		return false
	}
	if compare(owner, name) >= 0 {
		return false
	}
	return compare(name, next) < 0 || compare(next, owner) <= 0 // the last one leads back to the apex
}

// at returns the NSEC record of a name, nil if there is none.
func (e *evidence) at(name string) *dns.NSEC {
	for _, n := range e.nsec {
		if dns.CanonicalName(n.Hdr.Name) == name {
			return n
		}
	}
	return nil
}

// byNSEC is the proof by NSEC records. ok is false when there is none.
func (e *evidence) byNSEC(name string, qtype uint16) (d denial, ok bool) {
	if n := e.at(name); n != nil {
		return absent(n.TypeBitMap, name, qtype)
	}
	for _, n := range e.nsec {
		if !covers(n, name) || !dns.IsSubDomain(e.zone.name, dns.CanonicalName(n.NextDomain)) {
			continue
		}
		next := dns.CanonicalName(n.NextDomain)
		if below(name, next) {
			return denial{}, true // an empty name between others, RFC 4592 section 2.2.2
		}
		encloser := common(name, dns.CanonicalName(n.Hdr.Name))
		if c := common(name, next); dns.CountLabel(c) > dns.CountLabel(encloser) {
			encloser = c
		}
		star := wildcard(encloser)
		if w := e.at(star); w != nil {
			d, ok := absent(w.TypeBitMap, star, qtype)
			return denial{delegation: d.delegation}, ok
		}
		for _, w := range e.nsec {
			if covers(w, star) {
				return denial{nxdomain: true}, true
			}
		}
	}
	return denial{}, false
}
