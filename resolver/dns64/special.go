package dns64

import (
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// known are the addresses of ipv4only.arpa, RFC 7050 section 2.2.
var known = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 0, 170}), netip.AddrFrom4([4]byte{192, 0, 0, 171})}

// specialTTL is that of answers made here, in seconds. It is far below that of the
// real ipv4only.arpa, since the prefix changes with the network.
const specialTTL = noSOA

// Special answers questions that never go upstream, nil for all others: those for
// ipv4only.arpa while there is a prefix (RFC 8880 section 7.2), localhost (RFC 6761
// section 6.3) and names of multicast DNS (RFC 6762 section 22.1).
func Special(query *dns.Msg, prefixes []Prefix) *dns.Msg {
	if len(query.Question) != 1 || query.Question[0].Qclass != dns.ClassINET {
		return nil
	}
	q := query.Question[0]
	switch name := dns.CanonicalName(q.Name); {
	case dns.IsSubDomain("ipv4only.arpa.", name) && len(prefixes) > 0:
		return ipv4only(query, q, name, prefixes)
	case dns.IsSubDomain("localhost.", name):
		return addresses(query, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, []netip.Addr{netip.IPv6Loopback()})
	case dns.IsSubDomain("local.", name):
		return failure(query, dns.RcodeNameError)
	}
	return nil
}

func ipv4only(query *dns.Msg, q dns.Question, name string, prefixes []Prefix) *dns.Msg {
	switch {
	case !strings.EqualFold(name, "ipv4only.arpa."):
		return failure(query, dns.RcodeNameError)
	case q.Qtype == dns.TypeDS:
		return nil // as any other name
	}
	var six []netip.Addr
	for _, p := range prefixes {
		for _, v4 := range known {
			six = append(six, p.Embed(v4))
		}
	}
	return addresses(query, known, six)
}

// addresses answers A and AAAA; every other type is not there.
func addresses(query *dns.Msg, four, six []netip.Addr) *dns.Msg {
	m, q := failure(query, dns.RcodeSuccess), query.Question[0]
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: specialTTL}
	switch q.Qtype {
	case dns.TypeA:
		for _, a := range four {
			m.Answer = append(m.Answer, &dns.A{Hdr: h, A: net.IP(a.AsSlice())})
		}
	case dns.TypeAAAA:
		for _, a := range six {
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: net.IP(a.AsSlice())})
		}
	}
	return m
}
