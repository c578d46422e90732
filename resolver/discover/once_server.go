package discover

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/pref64"
)

// seenOn is what a server's addresses say, asked for on one link.
type seenOn struct {
	link   int
	known  []Known
	report SourceReport
}

// lookUpServers asks for the addresses of all servers at once: on each link, or at
// the servers' own DNS servers. It waits for the goroutines it starts.
func lookUpServers(ctx context.Context, cfg Config, links []Link, dial DialerFor) (out []seenOn) {
	if !cfg.enabled(pref64.Server) {
		return nil
	}
	var mu sync.Mutex // over out
	var wg sync.WaitGroup
	for _, s := range cfg.Servers {
		for i, l := range links {
			client, at := dnsq.Client{Dialer: dial(l.Name), Link: l.Name}, l.DNS
			if len(s.DNS) > 0 {
				client, at = dnsq.Client{Dialer: dial("")}, s.DNS
				if i > 0 { // once is enough
					break
				}
			}
			wg.Go(func() {
				var resolvers []netip.AddrPort
				for _, a := range at {
					resolvers = append(resolvers, netip.AddrPortFrom(a, dnsPort))
				}
				known, r := LookUpServer(ctx, &client, resolvers, s.Name, s.IPv4)
				r.Link = l.Index
				mu.Lock()
				defer mu.Unlock()
				out = append(out, seenOn{l.Index, known, r})
			})
		}
	}
	wg.Wait()
	slices.SortStableFunc(out, func(a, b seenOn) int { return a.link - b.link })
	return out
}

// withSeen adds what was seen to the links.
func withSeen(links []Link, servers []seenOn) []Link {
	links = slices.Clone(links)
	for i, l := range links {
		for _, s := range servers {
			if s.link == l.Index {
				links[i].Seen = append(slices.Clone(links[i].Seen), s.known...)
			}
		}
	}
	return links
}

// taken tells whether a report holds what was seen.
func taken(r Report, servers []seenOn) bool {
	return !slices.ContainsFunc(servers, func(s seenOn) bool {
		return len(s.known) > 0 && !slices.ContainsFunc(r.Sources, func(o SourceReport) bool {
			return o.Source == pref64.Server && o.Link == s.link && o.Verdict == Found
		})
	})
}

// withServers puts the lookups' own reports in the place of that of their source.
func withServers(r Report, servers []seenOn) Report {
	r.Sources = slices.Clone(r.Sources)
	for i, s := range r.Sources {
		if len(servers) == 0 && s.Source == pref64.Server && s.Verdict == None {
			r.Sources[i].Verdict, r.Sources[i].Reason = Skipped, "no server was named"
		}
	}
	if len(servers) == 0 {
		return r
	}
	r.Sources = slices.DeleteFunc(r.Sources, func(s SourceReport) bool { return s.Source == pref64.Server })
	for _, s := range servers {
		r.Sources = append(r.Sources, s.report)
	}
	return r
}
