package dns64

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// udpSize, in bytes, is what the EDNS of responses offers: never fragmented.
const udpSize = 1232

// reply returns from, an answer of upstream, as the response to query: with its
// question and id, and EDNS only if the client used it (RFC 6891 section 6.1.1). AD
// is not set: programs believe it from a resolver on loopback, and the way to
// upstream is the open network (RFC 4035 section 4.9.3).
func reply(query, from *dns.Msg) *dns.Msg {
	m := empty(query, from.Rcode)
	m.Authoritative, m.RecursionAvailable = from.Authoritative, from.RecursionAvailable
	asked := ""
	if len(query.Question) == 1 {
		asked = query.Question[0].Name
	}
	m.Answer, m.Ns, m.Extra = section(from.Answer, asked), section(from.Ns, asked), append(section(from.Extra, asked), m.Extra...)
	return m
}

// failure returns a response without records.
func failure(query *dns.Msg, rcode int) *dns.Msg {
	m := empty(query, rcode)
	m.RecursionAvailable = true
	return m
}

// empty returns the frame of a response.
func empty(query *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.Id, m.Opcode, m.Response = query.Id, query.Opcode, true
	m.RecursionDesired, m.CheckingDisabled = query.RecursionDesired, query.CheckingDisabled
	if len(query.Question) == 1 { // hundreds would not fit, and could not be cut
		m.Question = slices.Clone(query.Question)
	}
	opt := query.IsEdns0()
	if opt != nil {
		m.SetEdns0(udpSize, opt.Do())
	} else if rcode > 0xf { // an extended code needs EDNS
		rcode = dns.RcodeServerFailure
	}
	m.Rcode = rcode
	return m
}

// section copies records, without those that belong to one hop only.
func section(rrs []dns.RR, asked string) []dns.RR {
	var out []dns.RR
	for _, rr := range rrs {
		if rr == nil || rr.Header().Rrtype == dns.TypeOPT || rr.Header().Rrtype == dns.TypeTSIG || rr.Header().Rrtype == dns.TypeSIG {
			continue
		}
		out = append(out, spelled(rr, asked))
	}
	return out
}

// spelled copies a record; if it is for the name asked, in the client's spelling.
// Upstream was asked in another one, against forgers (0x20).
func spelled(rr dns.RR, asked string) dns.RR {
	rr = dns.Copy(rr)
	if h := rr.Header(); strings.EqualFold(h.Name, asked) {
		h.Name = asked
	}
	return rr
}

// without returns the answer for AAAA without the addresses that are excluded, and
// without signatures that would not fit any more. nil: there was none.
func without(query, aaaa *dns.Msg, policy Policy) *dns.Msg {
	if aaaa == nil {
		return failure(query, dns.RcodeServerFailure)
	}
	m := reply(query, aaaa)
	if query.CheckingDisabled { // nothing is changed
		return m
	}
	n := len(m.Answer)
	m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool {
		a, ok := address(rr)
		return ok && rr.Header().Rrtype == dns.TypeAAAA && policy.excluded(a)
	})
	if len(m.Answer) == n {
		return m
	}
	m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool {
		sig, ok := rr.(*dns.RRSIG)
		return ok && sig.TypeCovered == dns.TypeAAAA
	})
	return m
}
