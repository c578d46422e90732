package dns64

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxAliases is how many aliases lead to an address at most. Resolvers stop at 8 to
// 17; without a limit, an answer of 64 KiB would cost millions of comparisons.
const maxAliases = 16

var errAliases = errors.New("the aliases do not end")

// chain is where the aliases of an answer lead.
type chain struct {
	records []dns.RR // the CNAME and DNAME records on the way in order, and their signatures
	end     string
}

// follow follows the aliases in answer that begin at name. Records that are not on
// the way count for nothing, whoever sent them (RFC 2181 section 5.4.1).
func follow(answer []dns.RR, name string) (chain, error) {
	c := chain{end: name}
	for range maxAliases + 1 {
		step, next, err := alias(answer, c.end)
		if err != nil || next == "" {
			return c, err
		}
		for _, rr := range step {
			if !slices.Contains(c.records, rr) { // a DNAME may be used twice
				c.records = append(c.records, rr)
			}
		}
		c.end = next
	}
	return c, fmt.Errorf("follow %s: %w after %d", name, errAliases, maxAliases)
}

// alias returns the records that rename name, and its next name; "" if there is none.
func alias(answer []dns.RR, name string) (step []dns.RR, next string, err error) {
	var cname *dns.CNAME
	var dname *dns.DNAME
	for _, rr := range answer {
		switch rr := rr.(type) {
		case *dns.CNAME:
			if cname == nil && at(rr, name) {
				cname = rr
			}
		case *dns.DNAME: // of names below its owner only, RFC 6672 section 2.2
			if dname == nil && rr.Hdr.Class == dns.ClassINET && !at(rr, name) && dns.IsSubDomain(rr.Hdr.Name, name) {
				dname = rr
			}
		}
	}
	if dname != nil {
		step = append(append(step, dname), signatures(answer, dname)...)
	}
	switch {
	case cname != nil:
		return append(append(step, cname), signatures(answer, cname)...), cname.Target, nil
	case dname != nil:
		// The CNAME that ought to be there as well, RFC 6672 section 3.1.
		next = name[:len(name)-len(strings.TrimPrefix(dname.Hdr.Name, "."))] + strings.TrimPrefix(dname.Target, ".")
		if _, ok := dns.IsDomainName(next); !ok {
			return nil, "", fmt.Errorf("follow DNAME of %s: %w: a name gets too long", dname.Hdr.Name, errAliases)
		}
		h := dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: dname.Hdr.Ttl}
		return append(step, &dns.CNAME{Hdr: h, Target: next}), next, nil
	}
	return nil, "", nil
}

// at tells whether rr belongs to name, in the class IN.
func at(rr dns.RR, name string) bool {
	return rr.Header().Class == dns.ClassINET && strings.EqualFold(rr.Header().Name, name)
}

// signatures returns those of rr, an alias.
func signatures(answer []dns.RR, rr dns.RR) (out []dns.RR) {
	for _, s := range answer {
		if sig, ok := s.(*dns.RRSIG); ok && sig.TypeCovered == rr.Header().Rrtype && at(sig, rr.Header().Name) {
			out = append(out, sig)
		}
	}
	return out
}

func has(answer []dns.RR, name string, qtype uint16) bool {
	return slices.ContainsFunc(answer, func(rr dns.RR) bool { return rr.Header().Rrtype == qtype && at(rr, name) })
}
