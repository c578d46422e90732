package dnssec

import (
	"strings"

	"github.com/miekg/dns"
)

// hashed is a name under the parameters of a chain of NSEC3 records.
type hashed struct {
	name, salt string
	iterations uint16
}

// ring are the NSEC3 records of one answer, all with the parameters of the first,
// RFC 5155 section 8.2. Records with unknown flags or hashes do not count.
type ring struct {
	e          *evidence
	salt       string
	iterations uint16
	records    []*dns.NSEC3
}

// hashed returns the ring, empty if there are no such records. More iterations than
// Limits make the zone count as unsigned, now that the signatures over the number
// have been checked (RFC 9276 section 3.2).
func (e *evidence) hashed() (ring, *fault) {
	l := ring{e: e}
	for _, n := range e.nsec3 {
		if n.Hash != dns.SHA1 || n.Flags&^1 != 0 || parent(dns.CanonicalName(n.Hdr.Name)) != e.zone.name {
			continue
		}
		if int(n.Iterations) > e.run.limits.Iterations {
			return l, failed(Insecure, TooManyIterations, e.zone.name, dns.TypeNSEC3,
				"the zone %s hashes names %d times, at most %d are computed", e.zone.name, n.Iterations, e.run.limits.Iterations)
		}
		if len(l.records) == 0 {
			l.salt, l.iterations = n.Salt, n.Iterations
		}
		if n.Iterations == l.iterations && equalHex(n.Salt, l.salt) {
			l.records = append(l.records, n)
		}
	}
	return l, nil
}

// hash returns the hash of name, in upper case base32.
func (l ring) hash(name string) (string, *fault) {
	r, k := l.e.run, hashed{name, strings.ToLower(l.salt), l.iterations}
	if h, ok := r.hashes[k]; ok {
		return h, nil
	}
	if f := r.digest(name, dns.TypeNSEC3); f != nil {
		return "", f
	}
	h := dns.HashName(name, dns.SHA1, l.iterations, l.salt)
	r.hashes[k] = h
	return h, nil
}

// owner is the hash that a record stands at.
func owner(n *dns.NSEC3) string {
	first, _, _ := strings.Cut(n.Hdr.Name, ".")
	return strings.ToUpper(first)
}

// match returns the record of name, nil if there is none.
func (l ring) match(name string) (*dns.NSEC3, *fault) {
	if len(l.records) == 0 {
		return nil, nil
	}
	h, f := l.hash(name)
	for _, n := range l.records {
		if f == nil && owner(n) == h {
			return n, nil
		}
	}
	return nil, f
}

// cover returns a record that proves that the hash of name is not in the zone, nil
// if there is none.
func (l ring) cover(name string) (*dns.NSEC3, *fault) {
	if len(l.records) == 0 {
		return nil, nil
	}
	h, f := l.hash(name)
	if f != nil || h == "" {
		return nil, f
	}
	for _, n := range l.records {
		from, to := owner(n), strings.ToUpper(n.NextDomain)
		inside := from < h && h < to
		around := to <= from && h != from && (h > from || h < to) // the last one, or the only one
		if inside || around {
			return n, nil
		}
	}
	return nil, nil
}

// encloser is the proof of the closest encloser, RFC 5155 section 8.3: the longest
// name above name that exists, and that nothing is at the next closer name. nil
// covering: there is no such proof.
func (l ring) encloser(name string) (closest string, covering *dns.NSEC3, _ *fault) {
	closer := name
	for at := name; at != l.e.zone.name; {
		at = parent(at)
		n, f := l.match(at)
		if f != nil {
			return "", nil, f
		}
		if n == nil {
			closer = at
			continue
		}
		if !mayCover(n.TypeBitMap) {
			return "", nil, l.beneath(n, at)
		}
		c, f := l.cover(closer)
		return at, c, f
	}
	return "", nil, nil
}

// beneath is the fault when the closest encloser is a delegation or a DNAME. Below
// an unsigned delegation nothing can be proven from here.
func (l ring) beneath(n *dns.NSEC3, at string) *fault {
	if d, ok := absent(n.TypeBitMap, at, dns.TypeDS); ok && d.delegation {
		return failed(Insecure, NoDS, at, dns.TypeDS, "the zone %s proves that %s is not signed", l.e.zone.name, at)
	}
	return nil
}

// byNSEC3 is the proof by NSEC3 records. ok is false when there is none.
func (e *evidence) byNSEC3(name string, qtype uint16) (d denial, ok bool, _ *fault) {
	l, f := e.hashed()
	if f != nil || len(l.records) == 0 || !dns.IsSubDomain(e.zone.name, name) {
		return d, false, f
	}
	if n, f := l.match(name); n != nil || f != nil {
		if f == nil {
			d, ok = absent(n.TypeBitMap, name, qtype) // section 8.5, 8.6
		}
		return d, ok, f
	}
	closest, covering, f := l.encloser(name)
	if f != nil || covering == nil {
		return d, false, f
	}
	d.optOut = covering.Flags&1 != 0
	if qtype == dns.TypeDS && d.optOut { // section 8.6
		return d, true, nil
	}
	star := wildcard(closest)
	n, f := l.match(star)
	switch {
	case f != nil:
		return d, false, f
	case n != nil: // section 8.7
		w, ok := absent(n.TypeBitMap, star, qtype)
		d.delegation = w.delegation
		return d, ok, nil
	}
	n, f = l.cover(star)
	d.nxdomain = true // section 8.4
	return d, n != nil, f
}
