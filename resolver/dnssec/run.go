package dnssec

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// run is one validation. It belongs to one goroutine.
type run struct {
	ctx     context.Context
	port    Exchanger
	anchors Anchors
	limits  Limits
	now     time.Time

	asked  map[question]*dns.Msg
	steps  map[string]step // of the way down from the anchor, by name
	hashes map[hashed]string

	queries, signatures, digests int // done so far
}

type question struct {
	name  string
	qtype uint16
}

// fault is why something is not secure, and where.
type fault struct {
	verdict Verdict
	reason  Reason
	name    string
	qtype   uint16
	detail  string
}

func failed(v Verdict, why Reason, name string, qtype uint16, format string, args ...any) *fault {
	return &fault{v, why, name, qtype, fmt.Sprintf(format, args...)}
}

func bogus(why Reason, name string, qtype uint16, format string, args ...any) *fault {
	return failed(Bogus, why, name, qtype, format, args...)
}

// ask asks the resolver, each question once.
func (r *run) ask(name string, qtype uint16) (*dns.Msg, *fault) {
	q := question{name, qtype}
	if m := r.asked[q]; m != nil {
		return m, nil
	}
	if r.queries >= r.limits.Queries {
		return nil, failed(Indeterminate, TooManyQueries, name, qtype, "%d questions were asked, which is the limit", r.queries)
	}
	r.queries++
	m, err := r.port.Exchange(r.ctx, name, qtype)
	if err == nil && m == nil {
		err = errors.New("no message")
	}
	switch {
	case err != nil:
		return nil, failed(Indeterminate, NoAnswer, name, qtype, "ask for %s %s: %v", dns.Type(qtype), name, err)
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, failed(Indeterminate, ServerError, name, qtype, "the resolver answers %s to %s %s", rcodeText(m.Rcode), dns.Type(qtype), name)
	case m.Truncated:
		return nil, failed(Indeterminate, Truncated, name, qtype, "the answer to %s %s is truncated", dns.Type(qtype), name)
	}
	r.asked[q] = m
	return m, nil
}

func rcodeText(code int) string {
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("RCODE %d", code)
}

// digest counts a hash.
func (r *run) digest(name string, qtype uint16) *fault {
	if r.digests >= r.limits.Hashes {
		return bogus(TooMuchWork, name, qtype, "%d hashes were computed, which is the limit", r.digests)
	}
	r.digests++
	return nil
}

// set is a set of records of one name and type with its signatures.
type set struct {
	name  string // canonical
	qtype uint16
	rrs   []dns.RR
	sigs  []*dns.RRSIG
}

// sets are those of a section of a message, in its order.
type sets []*set

// group sorts a section into sets. Records of other classes are left out, as are
// signatures without records.
func group(section []dns.RR) sets {
	var out sets
	index := map[question]*set{}
	for _, rr := range section {
		if rr == nil {
			continue
		}
		h := rr.Header()
		if h.Class != dns.ClassINET || h.Rrtype == dns.TypeRRSIG || h.Rrtype == dns.TypeOPT {
			continue
		}
		q := question{dns.CanonicalName(h.Name), h.Rrtype}
		if index[q] == nil {
			index[q] = &set{name: q.name, qtype: q.qtype}
			out = append(out, index[q])
		}
		index[q].rrs = append(index[q].rrs, rr)
	}
	for _, rr := range section {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.Hdr.Class == dns.ClassINET {
			if s := index[question{dns.CanonicalName(sig.Hdr.Name), sig.TypeCovered}]; s != nil {
				s.sigs = append(s.sigs, sig)
			}
		}
	}
	return out
}

// find returns the set of name and type, nil if there is none.
func (l sets) find(name string, qtype uint16) *set {
	for _, s := range l {
		if s.name == name && s.qtype == qtype {
			return s
		}
	}
	return nil
}
