package discover

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/reach64/reach64/resolver/pref64"
)

// report makes the report of this moment.
func (e *engine) report(now time.Time) Report {
	r := Report{Epoch: e.epoch, Candidates: e.set.List(now, 0), Refused: e.set.Refused(now, 0)}
	for _, l := range e.links {
		r.Candidates = append(r.Candidates, ofLink(e.set.List(now, l.Index))...)
		r.Refused = append(r.Refused, ofLink(e.set.Refused(now, l.Index))...)
		for _, router := range l.routers {
			info := router.RouterInfo
			for _, s := range router.servers {
				if now.Before(s.until) {
					info.RDNSS = append(info.RDNSS, s.addr)
				}
			}
			r.Routers = append(r.Routers, info)
		}
	}
	for _, s := range pref64.Sources() {
		r.Sources = append(r.Sources, e.source(now, s)...)
	}
	return r
}

// ofLink leaves out what applies to every link.
func ofLink(cs []pref64.Candidate) []pref64.Candidate {
	return slices.DeleteFunc(cs, func(c pref64.Candidate) bool { return c.Link == 0 })
}

// source reports on one source, on every link.
func (e *engine) source(now time.Time, s pref64.Source) []SourceReport {
	skip := func(reason string) []SourceReport {
		return []SourceReport{{Source: s, Verdict: Skipped, Reason: reason}}
	}
	switch {
	case !e.d.cfg.enabled(s):
		return skip("disabled by configuration")
	case s == pref64.Policy:
		if len(e.d.cfg.Static) == 0 {
			return []SourceReport{{Source: s, Verdict: None, Reason: "no prefix configured"}}
		}
		return []SourceReport{{Source: s, Verdict: Found, Reason: fmt.Sprintf("%d configured", len(e.d.cfg.Static))}}
	case s == pref64.RA && e.d.ra == nil:
		return skip("router advertisements cannot be read here")
	}
	var out []SourceReport
	for _, l := range e.links {
		switch s {
		case pref64.OS:
			out = append(out, sourceOS(l)...)
		case pref64.Server:
			out = append(out, sourceServer(l)...)
		case pref64.PCP:
			out = append(out, e.sourcePCP(now, l)...)
		case pref64.RA:
			out = append(out, e.sourceRA(now, l))
		default:
			out = append(out, e.sourceDNS(now, l)...)
		}
	}
	if len(out) == 0 && s == pref64.OS {
		return skip("the system says nothing of prefixes")
	}
	if len(out) == 0 && s == pref64.Server && len(e.links) > 0 {
		return []SourceReport{{Source: s, Verdict: None, Reason: "no server's AAAA record holds its IPv4 address"}}
	}
	if len(out) == 0 {
		return skip("no link")
	}
	return out
}

// sourceOS says what the system knows of a link.
func sourceOS(l *linkState) []SourceReport {
	if len(l.Known) == 0 {
		return nil
	}
	return []SourceReport{{Source: pref64.OS, Link: l.Index, Verdict: Found, Reason: l.Known[0].Reason}}
}

// sourceRA says what the routers of a link have brought.
func (e *engine) sourceRA(now time.Time, l *linkState) SourceReport {
	r := SourceReport{Source: pref64.RA, Link: l.Index, Next: l.solicit.next}
	deadline := l.since.Add(e.d.raWait)
	cs := slices.DeleteFunc(append(e.set.List(now, l.Index), e.set.Refused(now, l.Index)...),
		func(c pref64.Candidate) bool { return c.Source != pref64.RA })
	switch {
	case len(cs) > 0:
		r.Verdict, r.Reason = Found, cs[0].Reason
		r.At = l.seen(func(o *router) bool { return o.Addr == cs[0].Server })
	case len(l.routers) > 0:
		r.Verdict, r.Reason = None, fmt.Sprintf("router %s advertises no prefix", l.routers[0].Addr)
		r.At = l.seen(func(*router) bool { return true })
	case e.raErr != nil:
		r.Verdict, r.Reason, r.At = Error, e.raErr.Error(), e.raErrAt
	case now.Before(deadline):
		r.Verdict, r.Reason = Pending, "waiting for a router"
	case l.solicit.err != nil:
		r.Verdict, r.Reason, r.At = Error, fmt.Sprintf("solicit routers: %v", l.solicit.err), deadline
	default:
		r.Verdict, r.Reason, r.At = None, "no router has answered", deadline
	}
	if !r.At.IsZero() {
		r.Took = max(0, r.At.Sub(l.since))
	}
	return r
}

// seen returns when the first of these routers was seen, zero for never.
func (l *linkState) seen(these func(*router) bool) time.Time {
	for _, r := range l.routers { // in the order of first sight
		if these(r) {
			return r.FirstSeen
		}
	}
	return time.Time{}
}

// sourceDNS says what each resolver of a link answers.
func (e *engine) sourceDNS(now time.Time, l *linkState) []SourceReport {
	if len(l.askers) == 0 {
		r := SourceReport{Source: pref64.DNS, Link: l.Index, Verdict: Skipped, Reason: "no DNS server is known for this link"}
		if e.hasRA() && e.sourceRA(now, l).Verdict == Pending {
			r.Verdict, r.Reason = Pending, "waiting for a DNS server"
		}
		return []SourceReport{r}
	}
	var out []SourceReport
	for _, a := range l.askers {
		r := SourceReport{Source: pref64.DNS, Link: l.Index, Server: a.addr.Addr(), Verdict: cmp.Or(a.answer.verdict, Pending),
			Reason: cmp.Or(a.answer.reason, "asked, no answer yet"), Took: a.took, At: a.at, Silent: a.silent}
		if !a.busy {
			r.Next = a.next
		}
		switch {
		case a.trouble == "":
		case now.Before(a.until):
			r.Reason += "; asked again: " + a.trouble
		default:
			r.Verdict, r.Reason = Error, a.trouble
		}
		if l.stub {
			r.Reason += " (a local stub, asked because no other DNS server is known)"
		}
		out = append(out, r)
	}
	for _, s := range l.passed {
		out = append(out, SourceReport{Source: pref64.DNS, Link: l.Index, Server: s, Verdict: Skipped,
			Reason: "a local stub; the link's own DNS servers are asked"})
	}
	return out
}
