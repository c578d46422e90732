package dnsq

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxChain is how many CNAMEs are followed in one answer.
const maxChain = 16

// ErrChain is that the aliases of an answer lead in a circle or too far.
var ErrChain = errors.New("aliases do not end")

// Chain is what an answer says about a name, once its aliases are followed.
type Chain struct {
	Aliases []string // names behind the asked one, in order, with a dot at the end
	Addrs   []netip.Addr
	TTL     time.Duration // the least on the way; 0 without any record
	Beside  int           // records that do not belong to the chain, and were left out
}

// Follow follows the aliases in the answer section of m from name to its
// addresses of qtype, which is A or AAAA. Records of other names are not believed,
// whoever sent them (RFC 5452 section 6, RFC 2181 section 5.4.1).
func Follow(m *dns.Msg, name string, qtype uint16) (Chain, error) {
	var c Chain
	at, used := dns.CanonicalName(name), 0
	note := func(h *dns.RR_Header) {
		if ttl := time.Duration(h.Ttl) * time.Second; used == 0 || ttl < c.TTL {
			c.TTL = ttl
		}
		used++
	}
	for range maxChain {
		next := ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, at) && h.Rrtype != dns.TypeDNAME {
				continue
			}
			switch rr := rr.(type) {
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A.To4()); ok && qtype == dns.TypeA {
					c.Addrs = append(c.Addrs, a)
					note(h)
				}
			case *dns.AAAA:
				if a, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok && qtype == dns.TypeAAAA {
					c.Addrs = append(c.Addrs, a)
					note(h)
				}
			case *dns.CNAME:
				next = dns.CanonicalName(rr.Target)
				note(h)
			case *dns.DNAME: // its CNAME is in the answer too (RFC 6672 section 3.1)
				if dns.IsSubDomain(dns.CanonicalName(h.Name), at) {
					note(h)
				}
			}
		}
		if next == "" {
			c.Beside = len(m.Answer) - used
			return c, nil
		}
		at = next
		c.Aliases = append(c.Aliases, at)
	}
	return c, fmt.Errorf("follow %s: %w after %d names", name, ErrChain, maxChain)
}
