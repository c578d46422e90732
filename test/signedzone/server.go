package signedzone

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Server answers for zones, as a recursive resolver with DO and CD would. It may be
// used concurrently when Tamper may.
type Server struct {
	Zones []*Zone
	// Tamper, if set, changes an answer before it is sent, or returns an error.
	Tamper func(q dns.Question, m *dns.Msg) error
}

// Exchange answers a question.
func (s *Server) Exchange(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.Response, m.RecursionAvailable = true, true
	s.fill(m, strings.ToLower(name), qtype)
	// What follows may change the records, so they are copies from here on.
	m, err := overWire(m)
	if err != nil {
		return nil, err
	}
	if s.Tamper != nil {
		if err := s.Tamper(m.Question[0], m); err != nil {
			return nil, err
		}
		return overWire(m)
	}
	return m, nil
}

func overWire(m *dns.Msg) (*dns.Msg, error) {
	b, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack answer: %w", err)
	}
	out := new(dns.Msg)
	return out, out.Unpack(b)
}

// zone returns the zone that answers a question.
func (s *Server) zone(name string, qtype uint16) *Zone {
	var found *Zone
	for _, z := range s.Zones {
		if !dns.IsSubDomain(z.Name, name) || qtype == dns.TypeDS && z.Name == name && name != "." {
			continue
		}
		if found == nil || dns.IsSubDomain(found.Name, z.Name) {
			found = z
		}
	}
	return found
}

// fill answers name after name of a chain of aliases.
func (s *Server) fill(m *dns.Msg, name string, qtype uint16) {
	for range 16 {
		z := s.zone(name, qtype)
		if z == nil {
			m.Rcode = dns.RcodeRefused
			return
		}
		next := z.fill(m, name, qtype)
		if next == "" {
			return
		}
		name = next
	}
}

// fill answers one name, and returns where an alias leads.
func (z *Zone) fill(m *dns.Msg, name string, qtype uint16) (next string) {
	for n := name; n != z.Name && n != "."; {
		n = up(n)
		if d := z.set(n, dns.TypeDNAME); len(d) == 1 {
			m.Answer = append(m.Answer, z.with(n, dns.TypeDNAME)...)
			to := strings.TrimSuffix(name, n) + d[0].(*dns.DNAME).Target
			m.Answer = append(m.Answer, &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: to})
			return to
		}
	}
	if z.exists(name) {
		return z.fillFrom(m, name, name, qtype)
	}
	closer, encloser := name, up(name)
	for !z.exists(encloser) {
		closer, encloser = encloser, up(encloser)
	}
	star := "*." + strings.TrimPrefix(encloser, ".")
	if z.exists(star) {
		z.deny(m, closer, encloser, name)
		return z.fillFrom(m, star, name, qtype)
	}
	m.Rcode = dns.RcodeNameError
	z.soa(m)
	z.deny(m, closer, encloser, name)
	z.deny(m, star, encloser, star)
	return ""
}

// fillFrom answers name with the records of owner, which is name or a wildcard.
func (z *Zone) fillFrom(m *dns.Msg, owner, name string, qtype uint16) (next string) {
	for _, t := range []uint16{qtype, dns.TypeCNAME} {
		set := z.set(owner, t)
		if len(set) == 0 {
			continue
		}
		for _, rr := range z.with(owner, t) {
			rr = dns.Copy(rr)
			rr.Header().Name = name
			m.Answer = append(m.Answer, rr)
		}
		if c, ok := set[0].(*dns.CNAME); ok && qtype != dns.TypeCNAME {
			return c.Target
		}
		return ""
	}
	z.soa(m)
	z.match(m, owner)
	return ""
}

func (z *Zone) soa(m *dns.Msg) { z.add(m, z.with(z.Name, dns.TypeSOA)) }

// add puts records into the authority section once.
func (z *Zone) add(m *dns.Msg, rrs []dns.RR) {
	for _, rr := range rrs {
		if !slices.ContainsFunc(m.Ns, func(have dns.RR) bool { return have.String() == rr.String() }) {
			m.Ns = append(m.Ns, rr)
		}
	}
}

// with returns a set and its signatures.
func (z *Zone) with(name string, t uint16) []dns.RR {
	out := z.set(name, t)
	for _, rr := range z.set(name, dns.TypeRRSIG) {
		if rr.(*dns.RRSIG).TypeCovered == t {
			out = append(out, rr)
		}
	}
	return out
}

// exists tells whether a name or one below it has records.
func (z *Zone) exists(name string) bool {
	return slices.ContainsFunc(z.records, func(rr dns.RR) bool {
		h := rr.Header()
		return h.Rrtype != dns.TypeNSEC3 && !z.ofNSEC3(rr) && dns.IsSubDomain(name, h.Name)
	})
}

func (z *Zone) ofNSEC3(rr dns.RR) bool {
	sig, ok := rr.(*dns.RRSIG)
	return ok && sig.TypeCovered == dns.TypeNSEC3
}

// match adds the record of denial for a name that exists.
func (z *Zone) match(m *dns.Msg, name string) {
	switch {
	case z.Algorithm == 0:
	case z.NSEC3 == nil && z.has(name, dns.TypeNSEC):
		z.add(m, z.with(name, dns.TypeNSEC))
	case z.NSEC3 == nil: // an empty name
		z.coverNSEC(m, name)
	case z.has3(name):
		z.add(m, z.with(z.owner3(name), dns.TypeNSEC3))
	default: // left out by opt-out
		closer := name
		for !z.has3(up(closer)) {
			closer = up(closer)
		}
		z.add(m, z.with(z.owner3(up(closer)), dns.TypeNSEC3))
		z.coverNSEC3(m, closer)
	}
}

func (z *Zone) owner3(name string) string {
	return strings.ToLower(z.hash(name)) + "." + strings.TrimPrefix(z.Name, ".")
}
func (z *Zone) has3(name string) bool { return z.has(z.owner3(name), dns.TypeNSEC3) }

// deny adds the proof that closer does not exist, nor what lies below it.
func (z *Zone) deny(m *dns.Msg, closer, encloser, name string) {
	switch {
	case z.Algorithm == 0:
	case z.NSEC3 == nil:
		z.coverNSEC(m, name)
	default:
		z.match(m, encloser)
		z.coverNSEC3(m, closer)
	}
}

func (z *Zone) coverNSEC(m *dns.Msg, name string) {
	best := ""
	for _, rr := range z.records {
		if n, ok := rr.(*dns.NSEC); ok && slices.Compare(reversed(n.Hdr.Name), reversed(name)) < 0 &&
			(best == "" || slices.Compare(reversed(n.Hdr.Name), reversed(best)) > 0) {
			best = n.Hdr.Name
		}
	}
	z.add(m, z.with(best, dns.TypeNSEC))
}

func (z *Zone) coverNSEC3(m *dns.Msg, name string) {
	h := strings.ToLower(z.hash(name)) + "."
	best, greatest := "", ""
	for _, rr := range z.records {
		if n, ok := rr.(*dns.NSEC3); ok {
			greatest = max(greatest, n.Hdr.Name)
			if n.Hdr.Name < h {
				best = max(best, n.Hdr.Name)
			}
		}
	}
	if best == "" {
		best = greatest
	}
	z.add(m, z.with(best, dns.TypeNSEC3))
}
