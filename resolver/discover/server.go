package discover

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/pref64"
)

// FromServer finds the prefixes in a server's IPv6 addresses that hold one of its
// IPv4 addresses: a DNS64 of the network, or of DirectAccess, has made them. It
// finds a prefix with no policy and where ipv4only.arpa is not synthesized (design
// section 6, rank 6). An address that holds none is native, and no evidence.
func FromServer(name string, ipv6, ipv4 []netip.Addr) (out []Known) {
	for _, six := range ipv6 {
		for _, four := range ipv4 {
			p, ok := pref64.FromKnown(six, four)
			if ok && !slices.ContainsFunc(out, func(k Known) bool { return k.Prefix == p }) && len(out) < pref64.MaxPrefixes {
				out = append(out, Known{Prefix: p, Reason: fmt.Sprintf("%s resolves to %s, which holds its IPv4 address %s", name, six, four)})
			}
		}
	}
	return out
}

// seen takes over what servers' addresses say of a link's prefixes.
func (e *engine) seen(now time.Time, l *linkState) {
	if !e.d.cfg.enabled(pref64.Server) {
		return
	}
	e.set.Replace(now, pref64.Key{Source: pref64.Server, Link: l.Index}, fromSeen(l.Seen))
}

func fromSeen(seen []Known) (cs []pref64.Candidate) {
	for i, k := range seen {
		cs = append(cs, pref64.Candidate{Prefix: k.Prefix, Trust: pref64.AfterProbe, Reason: k.Reason, Order: i})
	}
	return cs
}

// sourceServer says what servers' addresses tell of a link's prefixes.
func sourceServer(l *linkState) []SourceReport {
	if len(l.Seen) == 0 {
		return nil
	}
	return []SourceReport{{Source: pref64.Server, Link: l.Index, Verdict: Found, Reason: l.Seen[0].Reason}}
}

// LookUp asks resolvers for a name's addresses, all at once. The error is that of
// one that gave no answer. It waits for the goroutines it starts.
func LookUp(ctx context.Context, client *dnsq.Client, resolvers []netip.AddrPort, name string, qtypes ...uint16) (six, four []netip.Addr, err error) {
	var mu sync.Mutex // over six, four, err
	var wg sync.WaitGroup
	for _, r := range resolvers {
		for _, qtype := range qtypes {
			wg.Go(func() {
				m, e := client.Query(ctx, r, name, qtype)
				var c dnsq.Chain
				if e == nil {
					c, e = dnsq.Follow(m, name, qtype)
				}
				mu.Lock()
				defer mu.Unlock()
				if e != nil {
					err = e
				}
				if qtype == dns.TypeA {
					four = append(four, c.Addrs...)
				} else {
					six = append(six, c.Addrs...)
				}
			})
		}
	}
	wg.Wait()
	return six, four, err
}

// LookUpServer asks resolvers for a server's addresses and returns the prefixes
// in them. ipv4 are addresses known beforehand; without any, the A record is
// asked for too. It waits for the goroutines it starts.
func LookUpServer(ctx context.Context, client *dnsq.Client, resolvers []netip.AddrPort, name string, ipv4 []netip.Addr) ([]Known, SourceReport) {
	start := time.Now()
	qtypes := []uint16{dns.TypeAAAA, dns.TypeA}
	if len(ipv4) > 0 {
		qtypes = qtypes[:1]
	}
	six, four, err := LookUp(ctx, client, resolvers, name, qtypes...)
	four = append(slices.Clone(ipv4), four...)
	known := FromServer(name, six, four)
	r := SourceReport{Source: pref64.Server, Took: time.Since(start), At: time.Now(), Verdict: None}
	switch {
	case len(resolvers) == 0:
		r.Verdict, r.Reason = Skipped, "no DNS server is known to ask for "+name
	case len(known) > 0:
		r.Verdict, r.Reason = Found, known[0].Reason
	case err != nil && len(six) == 0:
		r.Verdict, r.Reason = Error, err.Error()
	case len(six) == 0:
		r.Reason = name + " has no AAAA record"
	case len(four) == 0:
		r.Reason = fmt.Sprintf("%s has an AAAA record, but no IPv4 address is known to look for in it", name)
	default:
		r.Reason = fmt.Sprintf("%s has AAAA records of its own: none holds its IPv4 address", name)
	}
	return known, r
}
