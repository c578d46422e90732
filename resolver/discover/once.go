package discover

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
)

// onceRAWait is how long Once waits for a router: two solicitations and 1 s more.
const onceRAWait = solicitEvery + time.Second

// Once asks every source on links, all at once, and returns when each has a
// verdict, or when ctx ends; what has none by then has the verdict Error. Without r
// the RA source is skipped. The first link is the uplink.
func Once(ctx context.Context, cfg Config, links []Link, r RAReader, dial DialerFor) Report {
	return runOnce(ctx, cfg, links, r, dial, settled, onceRAWait)
}

// First is Once that waits for nobody as soon as the network has given a candidate,
// and for no longer than patience for sources other than DNS. What the system knows
// beforehand may be for some names alone.
func First(ctx context.Context, cfg Config, links []Link, r RAReader, dial DialerFor, patience time.Duration) Report {
	begin := time.Now()
	return runOnce(ctx, cfg, links, r, dial, func(r Report) bool {
		waits := slices.ContainsFunc(r.Sources, func(s SourceReport) bool {
			return s.Verdict == Pending && (s.Source == pref64.DNS || time.Since(begin) < patience)
		})
		given := slices.ContainsFunc(r.Candidates, func(c pref64.Candidate) bool { return c.Source != pref64.OS })
		return r.Epoch == 1 && (given || !waits)
	}, patience)
}

// runOnce runs a Discoverer until its report is enough; raWait is how long a router is
// waited for. It waits for the goroutines it starts: Run's, and that of the lookups.
func runOnce(ctx context.Context, cfg Config, links []Link, r RAReader, dial DialerFor, enough func(Report) bool, raWait time.Duration) Report {
	d := New(cfg, r, dial, nil)
	d.raWait = raWait
	d.SetLinks(1, links)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = d.Run(ctx) // returns nil only
	}()
	var servers []seenOn
	looked := make(chan []seenOn, 1) // one value
	go func() { looked <- lookUpServers(ctx, cfg, links, dial) }()
	late := time.NewTicker(raWait)
	defer late.Stop()
	looking := true
	for looking && len(cfg.Servers) > 0 || !enough(d.Report()) || !taken(d.Report(), servers) {
		select {
		case <-d.Changed():
			continue
		case <-late.C:
			continue
		case servers = <-looked:
			looking = false
			d.SetLinks(1, withSeen(links, servers))
			continue
		case <-ctx.Done():
		}
		break
	}
	cancel()
	<-done
	if looking {
		servers = <-looked
	}
	return closed(withServers(d.Report(), servers))
}

// settled tells whether every source has a verdict.
func settled(r Report) bool {
	return r.Epoch == 1 && !slices.ContainsFunc(r.Sources, func(s SourceReport) bool { return s.Verdict == Pending })
}

// closed turns what is pending into an error.
func closed(r Report) Report {
	r.Sources = slices.Clone(r.Sources)
	for i, s := range r.Sources {
		if s.Verdict == Pending {
			r.Sources[i].Verdict, r.Sources[i].Reason = Error, "no verdict within the time limit: "+s.Reason
		}
	}
	return r
}

// Given is what OnceGiven looks at instead of the system's links.
type Given struct {
	DNS    []netip.AddrPort // resolvers to ask
	RA     [][]byte         // whole ICMPv6 router advertisements, checksum not checked
	Router netip.Addr       // who sent them; invalid: not known
	Server string           // name of a backup server, to be asked for at DNS; "": none
	IPv4   []netip.Addr     // the server's IPv4 addresses; empty: what DNS says
}

// OnceGiven asks just what is given, and needs no privilege for it. Candidates and
// sources have Link 0; dial is called with the link "". Config.Sources counts for
// configured prefixes only.
func OnceGiven(ctx context.Context, cfg Config, g Given, dial DialerFor) Report {
	e := newEngine(New(cfg, nil, dial, nil))
	report := Report{Epoch: 1, Sources: e.source(time.Now(), pref64.Policy)}
	for _, s := range []pref64.Source{pref64.OS, pref64.PCP} {
		report.Sources = append(report.Sources, notGiven(s))
	}
	report.Sources = append(report.Sources, e.givenRA(time.Now(), g)...)
	report.Sources = append(report.Sources, e.givenDNS(ctx, g)...)
	report.Sources = append(report.Sources, e.givenServer(ctx, g))
	now := time.Now()
	report.Candidates, report.Refused = e.set.List(now, 0), e.set.Refused(now, 0)
	return report
}

func notGiven(s pref64.Source) SourceReport {
	return SourceReport{Source: s, Verdict: Skipped, Reason: "only what was given is looked at"}
}

// givenRA takes in the given advertisements.
func (e *engine) givenRA(now time.Time, g Given) []SourceReport {
	if len(g.RA) == 0 {
		return []SourceReport{notGiven(pref64.RA)}
	}
	var out []SourceReport
	for _, msg := range g.RA {
		r := SourceReport{Source: pref64.RA, Server: g.Router, At: now, Verdict: None, Reason: "the advertisement holds no prefix"}
		a, err := ra.Parse(msg)
		switch {
		case err != nil:
			r.Verdict, r.Reason = Error, err.Error()
		case len(a.Pref64) > 0:
			e.prefixes(now, &linkState{}, g.Router, a)
			r.Reason = "every prefix in it has lifetime 0: withdrawn"
			if i := slices.IndexFunc(a.Pref64, func(p ra.Pref64) bool { return p.Lifetime > 0 }); i >= 0 {
				r.Verdict, r.Reason = Found, fmt.Sprintf("%s for %s", a.Pref64[i].Prefix, a.Pref64[i].Lifetime)
			}
		}
		for _, i := range a.Ignored {
			r.Reason += fmt.Sprintf("; option %d at byte %d ignored: %s", i.Type, i.Offset, i.Why)
		}
		out = append(out, r)
	}
	return out
}

// givenServer looks for the prefix in the given server's address.
func (e *engine) givenServer(ctx context.Context, g Given) SourceReport {
	if g.Server == "" || len(g.DNS) == 0 {
		return notGiven(pref64.Server)
	}
	known, r := LookUpServer(ctx, &dnsq.Client{Dialer: e.d.dial("")}, g.DNS, g.Server, g.IPv4)
	e.set.Replace(time.Now(), pref64.Key{Source: pref64.Server}, fromSeen(known))
	return r
}

// givenDNS asks the given resolvers side by side. It waits for the goroutines it
// starts, one for each.
func (e *engine) givenDNS(ctx context.Context, g Given) []SourceReport {
	if len(g.DNS) == 0 {
		return []SourceReport{notGiven(pref64.DNS)}
	}
	out := make([]SourceReport, len(g.DNS))
	answers := make([]answer, len(g.DNS))
	client := dnsq.Client{Dialer: e.d.dial("")}
	var wg sync.WaitGroup
	for i, server := range g.DNS {
		wg.Go(func() {
			start := time.Now()
			answers[i] = ask(ctx, &client, server)
			out[i] = SourceReport{Source: pref64.DNS, Server: server.Addr(), Verdict: answers[i].verdict, Reason: answers[i].reason,
				Took: time.Since(start), At: time.Now()}
		})
	}
	wg.Wait()
	for _, a := range answers {
		// Merge: two resolvers may share an address and differ in the port.
		e.set.Merge(time.Now(), pref64.Key{Source: pref64.DNS, Server: a.server.Addr()}, a.candidates(time.Now()))
	}
	return out
}
