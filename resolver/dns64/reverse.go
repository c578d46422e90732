package dns64

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Reverse returns the in-addr.arpa name of the IPv4 address that a PTR question is
// about in truth: one for an address that Synthesize would make (RFC 6147 section
// 5.3.1). It is false for other questions, and for the addresses of ipv4only.arpa,
// whose PTR names the network's NAT64 (RFC 7050 section 3.1).
func Reverse(query *dns.Msg, prefixes []Prefix, policy Policy) (name string, ok bool) {
	if len(query.Question) != 1 || query.Question[0].Qtype != dns.TypePTR || query.Question[0].Qclass != dns.ClassINET || query.CheckingDisabled {
		return "", false
	}
	v6, ok := fromReverse(dns.CanonicalName(query.Question[0].Name))
	if !ok {
		return "", false
	}
	for _, p := range prefixes {
		v4, ok := p.Extract(v6)
		if ok && p.Embed(v4) == v6 && policy.allows(p.Prefix, v4) && !slices.Contains(known, v4) {
			name, err := dns.ReverseAddr(v4.String())
			return name, err == nil
		}
	}
	return "", false
}

// fromReverse reads the 32 digits of a name below ip6.arpa.
func fromReverse(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(name, ".ip6.arpa.")
	if !ok || len(digits) != 63 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i, word := range strings.Split(digits, ".") {
		n, err := strconv.ParseUint(word, 16, 4)
		if err != nil || i > 31 || len(word) != 1 {
			return netip.Addr{}, false
		}
		b[15-i/2] |= byte(n) << (4 * (i % 2))
	}
	return netip.AddrFrom16(b), true
}

// Pointer makes the response to a PTR question about an address inside the prefix: a
// CNAME to name and the records there. It is nil when there are none, or an alias:
// the CNAME would lead nowhere, or make a chain longer (RFC 6147 section 5.3.1).
func Pointer(query *dns.Msg, name string, ptr *dns.Msg) *dns.Msg {
	if ptr == nil || ptr.Rcode != dns.RcodeSuccess {
		return nil
	}
	ttl, found := uint32(noSOA), false
	for _, rr := range ptr.Answer {
		h := rr.Header()
		if h.Rrtype == dns.TypeCNAME || h.Rrtype == dns.TypeDNAME {
			return nil
		}
		if h.Rrtype == dns.TypePTR && strings.EqualFold(h.Name, name) {
			ttl, found = min(ttl, h.Ttl), true
		}
	}
	if !found {
		return nil
	}
	m := reply(query, ptr)
	m.Authoritative = false
	h := dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: ttl}
	m.Answer = slices.Insert(m.Answer, 0, dns.RR(&dns.CNAME{Hdr: h, Target: name}))
	return m
}
