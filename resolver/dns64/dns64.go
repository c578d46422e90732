// Package dns64 is a small local DNS64 (RFC 6147): a forwarder that answers AAAA
// questions about IPv4-only names with addresses inside the NAT64 prefix, so that
// programs of this machine reach them where the network has a NAT64 but no DNS64.
//
// Synthesize and its neighbours are the pure part; Engine asks upstream through a
// port; Server listens on UDP and TCP, on the loopback interface. It caches nothing,
// so that a new prefix holds from the next answer on. It does not choose upstream
// servers: names that belong elsewhere (NRPT, per-domain resolvers, a VPN) are the
// port's affair, and it must not lead back here. It does not validate by itself; a
// Checker may (RFC 6147 section 5.5).
package dns64

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// Prefix is a NAT64 prefix with the IPv4 destinations that it serves.
type Prefix struct {
	nat64.Prefix
	IPv4 pref64.Scope // zero: all
}

// Policy says what is synthesized.
type Policy struct {
	// NonGlobal is for IPv4 addresses under the well-known prefix. What no NAT64 can
	// serve, such as loopback, is never synthesized.
	NonGlobal nat64.NonGlobal
	// Exclude are IPv6 addresses that count as absent beside ::ffff:0:0/96, which
	// always does (RFC 6147 section 5.1.4), and IPv4 addresses that are never
	// synthesized under any prefix.
	Exclude []netip.Prefix
}

func (p Policy) excluded(a netip.Addr) bool {
	// netip takes IPv4-mapped addresses for IPv4, so Contains would not see them.
	return a.Is4In6() || slices.ContainsFunc(p.Exclude, func(e netip.Prefix) bool { return e.Contains(a) })
}

// allows tells whether an IPv4 address may be synthesized.
func (p Policy) allows(prefix nat64.Prefix, v4 netip.Addr) bool {
	return p.NonGlobal.Allows(prefix, v4) && !p.excluded(v4)
}

// noSOA is the TTL of synthesized records, in seconds, when the answer without AAAA
// had no SOA (RFC 6147 section 5.1.7).
const noSOA = 600

// Needs tells whether the answer to a question for AAAA leaves room for synthesis, so
// that A has to be asked for (RFC 6147 sections 5.1.1 to 5.1.5). aaaa nil: there was
// no answer in time, which counts as an error other than 'no such name'.
func Needs(query, aaaa *dns.Msg, policy Policy) bool {
	switch {
	case len(query.Question) != 1 || query.Question[0].Qtype != dns.TypeAAAA || query.Question[0].Qclass != dns.ClassINET:
		return false
	case query.CheckingDisabled: // the client wants the truth, section 5.5 and spec 6147-11
		return false
	case aaaa == nil:
		return true
	case aaaa.Rcode == dns.RcodeNameError: // section 5.1.2
		return false
	case aaaa.Rcode != dns.RcodeSuccess:
		return true
	}
	return !slices.ContainsFunc(aaaa.Answer, func(rr dns.RR) bool {
		a, ok := address(rr)
		return ok && rr.Header().Rrtype == dns.TypeAAAA && !policy.excluded(a)
	})
}

// Synthesize makes the response to a question for AAAA. aaaa is the answer to it, a
// that to the same question for A, each nil when there was none in time; a does not
// matter unless Needs. prefixes are offered all, in their order, for each address
// (spec 7050-4); without one nothing is synthesized. The arguments stay unchanged.
func Synthesize(query, aaaa, a *dns.Msg, prefixes []Prefix, policy Policy) *dns.Msg {
	switch {
	case !Needs(query, aaaa, policy) || len(prefixes) == 0:
		return without(query, aaaa, policy)
	case a == nil:
		return failure(query, dns.RcodeServerFailure)
	case a.Rcode != dns.RcodeSuccess: // the error is the basis, section 5.1.6
		return reply(query, a)
	}
	aliases, synthesized, err := synthetic(query, aaaa, a, prefixes, policy)
	switch {
	case err != nil:
		return failure(query, dns.RcodeServerFailure)
	case len(synthesized) == 0:
		return without(query, aaaa, policy)
	}
	m := reply(query, a) // authority and additional of the last question, section 5.3.2 and 5.4
	m.Authoritative = false
	m.Answer = append(aliases, synthesized...)
	return m
}

// synthetic returns the aliases of the answer for A, and the records at their end.
func synthetic(query, aaaa, a *dns.Msg, prefixes []Prefix, policy Policy) (aliases, synthesized []dns.RR, err error) {
	asked := query.Question[0].Name
	limit := negativeTTL(aaaa)
	way, err := follow(a.Answer, asked)
	if err != nil {
		return nil, nil, err
	}
	for _, rr := range way.records {
		aliases = append(aliases, spelled(rr, asked))
	}
	seen := map[netip.Addr]bool{}
	for i := range prefixes {
		for _, rr := range a.Answer {
			v4, ok := address(rr)
			if !ok || rr.Header().Rrtype != dns.TypeA || !at(rr, way.end) || !serves(prefixes, i, v4) || !policy.allows(prefixes[i].Prefix, v4) {
				continue
			}
			v6 := prefixes[i].Embed(v4)
			if seen[v6] {
				continue
			}
			seen[v6] = true
			h := dns.RR_Header{Name: rr.Header().Name, Rrtype: dns.TypeAAAA, Class: dns.ClassINET, Ttl: min(rr.Header().Ttl, limit)}
			synthesized = append(synthesized, spelled(&dns.AAAA{Hdr: h, AAAA: v6.AsSlice()}, asked))
		}
	}
	return aliases, synthesized, nil
}

// serves tells whether prefix i is to be used for v4: no other one is for a more
// specific set of destinations (RFC 6147 section 5.2, RFC 7225 section 5).
func serves(prefixes []Prefix, i int, v4 netip.Addr) bool {
	bits, ok := prefixes[i].IPv4.Match(v4)
	return ok && !slices.ContainsFunc(prefixes, func(p Prefix) bool {
		b, ok := p.IPv4.Match(v4)
		return ok && b > bits
	})
}

// negativeTTL is how long the absence of AAAA may be believed: the TTL of the SOA
// record that came with it, RFC 6147 section 5.1.7.
func negativeTTL(aaaa *dns.Msg) uint32 {
	if aaaa != nil {
		for _, rr := range aaaa.Ns {
			if rr.Header().Rrtype == dns.TypeSOA {
				return rr.Header().Ttl
			}
		}
	}
	return noSOA
}

// address returns the address of an A or AAAA record.
func address(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A.To4())
		return a, ok
	case *dns.AAAA:
		a, ok := netip.AddrFromSlice(rr.AAAA)
		return a, ok && a.Is6()
	}
	return netip.Addr{}, false
}
