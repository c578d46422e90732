package discover

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/reach64/reach64/resolver/pcp"
	"github.com/reach64/reach64/resolver/pref64"
)

// The times of asking PCP servers, all ours: PREFIX64 has no lifetime (spec
// PCP-13, 7225-7).
const (
	// pcpWait is how long a server without an answer counts as pending, time for
	// two questions. It is asked for longer, but nobody waits for it.
	pcpWait     = 4 * time.Second
	pcpEvery    = time.Hour       // between questions
	pcpValid    = 2 * time.Hour   // after an answer
	pcpRetry    = 5 * time.Minute // after silence, while something is known
	pcpFailures = 3               // so much silence in a row ends what is known (spec PCP-12)
	pcpLost     = 5 * time.Second // at most, when a server has lost its state
	pcpBudget   = 16              // questions begun in a second, whatever routers come and go (spec SEC-5)
)

// pcpServer is one PCP server on one link, in one epoch. It is replaced when the
// epoch rises, so that answers to older questions find nobody. Its set of prefixes
// is its own (spec PCP-12).
type pcpServer struct {
	link     *linkState
	addr     netip.Addr
	run      int  // number of the question under way; answers to others are dropped
	busy     bool // a question is under way
	cancel   context.CancelFunc
	asked    time.Time // when the last question began
	next     time.Time // zero: not asked again on this network
	failures int       // silence in a row
	clock    pcp.Clock
	again    bool      // it is asked again because it had lost its state
	answer   pcpAnswer // the last that was conclusive
	until    time.Time // when its prefixes run out
	trouble  string    // of the last question, if inconclusive
	at       time.Time
	took     time.Duration
}

func (s *pcpServer) key() pref64.Key {
	return pref64.Key{Source: pref64.PCP, Link: s.link.Index, Server: s.addr}
}

// reconcilePCP brings a link's PCP servers in line with its routers.
func (e *engine) reconcilePCP(now time.Time, l *linkState) {
	var servers []*pcpServer
	for _, addr := range l.pcpAddrs(now) {
		i := slices.IndexFunc(l.pcp, func(s *pcpServer) bool { return s.addr == addr })
		if i >= 0 {
			servers = append(servers, l.pcp[i])
			continue
		}
		servers = append(servers, &pcpServer{link: l, addr: addr, next: now, asked: now, cancel: func() {}})
	}
	for _, s := range l.pcp {
		if !slices.Contains(servers, s) {
			e.forgetPCP(s)
		}
	}
	l.pcp = servers
}

// pcpAddrs lists whom to ask: the default routers, and for each family that has
// one, the anycast address (spec PCP-2, 6887-4).
func (l *linkState) pcpAddrs(now time.Time) []netip.Addr {
	var out []netip.Addr
	var has4, has6 bool
	add := func(addr netip.Addr) {
		addr = addr.Unmap()
		if addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "" {
			addr = addr.WithZone(l.Name)
		}
		if !addr.IsValid() || addr.IsLoopback() || addr.IsUnspecified() || slices.Contains(out, addr) || len(out) == pref64.MaxServers-2 {
			return
		}
		has4, has6 = has4 || addr.Is4(), has6 || addr.Is6()
		out = append(out, addr)
	}
	for _, r := range l.routers {
		if now.Before(r.gateway) {
			add(r.Addr)
		}
	}
	for _, addr := range l.Routers {
		add(addr)
	}
	if has6 {
		out = append(out, pcp.Anycast6)
	}
	if has4 {
		out = append(out, pcp.Anycast4)
	}
	return out
}

// forgetPCP forgets a server with its prefixes.
func (e *engine) forgetPCP(s *pcpServer) {
	s.cancel()
	e.set.Drop(func(k pref64.Key) bool { return k == s.key() })
}

func (e *engine) dropPCP(l *linkState) {
	for _, s := range l.pcp {
		e.forgetPCP(s)
	}
	l.pcp = nil
}

func (s *pcpServer) due(now time.Time) bool {
	return !s.busy && !s.next.IsZero() && !now.Before(s.next)
}

// wake returns when the server has to be looked at, zero for not at all.
func (s *pcpServer) wake(now time.Time) time.Time {
	if end := s.asked.Add(pcpWait); s.busy && now.Before(end) {
		return end
	}
	if s.busy {
		return time.Time{}
	}
	return s.next
}

// pcpResult is what a question brought.
type pcpResult struct {
	from *pcpServer
	run  int
	pcpAnswer
	took time.Duration
}

func (e *engine) startPCP(ctx context.Context, now time.Time, s *pcpServer) {
	ctx, cancel := context.WithCancel(ctx)
	s.run++
	s.busy, s.asked, s.cancel = true, now, cancel
	run, addr, dialer := s.run, s.addr, e.d.dial(s.link.Name)
	e.workers.Go(func() {
		defer cancel()
		r := pcpResult{from: s, run: run, pcpAnswer: askPCP(ctx, dialer, addr), took: time.Since(now)}
		select {
		case e.told <- r:
		case <-ctx.Done():
		}
	})
}

// onPCP takes an answer in, unless its question is no longer the one under way.
func (e *engine) onPCP(now time.Time, r pcpResult) {
	s := r.from
	if l := e.link(s.link.Index); l != s.link || !slices.Contains(l.pcp, s) || s.run != r.run {
		return
	}
	s.busy, s.at, s.took, s.trouble = false, now, r.took, ""
	if r.silent {
		e.pcpSilent(now, s, r.pcpAnswer)
		return
	}
	s.failures = 0
	lost := r.heard && !s.clock.Valid(r.epoch, now)
	if r.heard {
		s.clock = pcp.Clock{Epoch: r.epoch, At: now}
	}
	switch {
	case r.verdict != Error:
		e.pcpConclusive(now, s, r.pcpAnswer)
	case lost: // what it said before its loss counts no more
		e.pcpConclusive(now, s, pcpAnswer{verdict: Error, reason: r.reason})
	default:
		s.trouble = r.reason
	}
	s.next = now.Add(cmp.Or(r.wait, pcpEvery))
	if r.final {
		s.next = time.Time{}
	}
	// Once after a loss, since it may know more when it has come up (RFC 6887
	// section 8.5); a clock that is always wrong does not make us hurry.
	if s.again = lost && !s.again; s.again {
		e.d.log.WithField("link", s.link.Name).WithField("server", s.addr.String()).Info("PCP server has lost its state, it is asked again")
		if r.wait == 0 && !r.final {
			s.next = now.Add(rand.N(pcpLost))
		}
	}
}

// pcpSilent takes in that a server did not answer, or could not be asked, such as
// while the host's own address is still being checked. What it said stays for a
// few more attempts.
func (e *engine) pcpSilent(now time.Time, s *pcpServer, a pcpAnswer) {
	s.failures++
	known := now.Before(s.until)
	switch {
	case a.local:
		s.next = now.Add(retryIn(s.failures))
	case known && s.failures < pcpFailures:
		s.next = now.Add(pcpRetry)
	default:
		s.next, known = now.Add(pcpEvery), false
	}
	if known {
		s.trouble = a.reason
		return
	}
	e.pcpConclusive(now, s, a)
}

// pcpConclusive puts an answer in the place of all that the server said before.
func (e *engine) pcpConclusive(now time.Time, s *pcpServer, a pcpAnswer) {
	s.answer, s.until = a, time.Time{}
	if a.verdict == Found {
		s.until = now.Add(pcpValid)
	}
	e.set.Replace(now, s.key(), a.candidates(s.addr, s.until))
}

// sourcePCP says what each PCP server of a link answers.
func (e *engine) sourcePCP(now time.Time, l *linkState) []SourceReport {
	if len(l.pcp) == 0 {
		r := SourceReport{Source: pref64.PCP, Link: l.Index, Verdict: Skipped, Reason: "no default router is known for this link"}
		if e.hasRA() && e.sourceRA(now, l).Verdict == Pending {
			r.Verdict, r.Reason = Pending, "waiting for a default router"
		}
		return []SourceReport{r}
	}
	var out []SourceReport
	for _, s := range l.pcp {
		r := SourceReport{Source: pref64.PCP, Link: l.Index, Server: s.addr, Verdict: s.answer.verdict, Reason: s.answer.reason, Took: s.took, At: s.at}
		if !s.busy {
			r.Next = s.next
		}
		switch {
		case s.trouble == "":
		case now.Before(s.until):
			r.Reason += "; asked again: " + s.trouble
		case s.failures > 0:
			r.Verdict, r.Reason = None, s.trouble
		default:
			r.Verdict, r.Reason = Error, s.trouble
		}
		switch {
		case r.Verdict != "":
		case now.Before(s.asked.Add(pcpWait)):
			r.Verdict, r.Reason = Pending, "asked, no answer yet"
		default:
			r.Verdict, r.Reason, r.Took = None, "no PCP server has answered at "+s.addr.String()+" yet", pcpWait
		}
		out = append(out, r)
	}
	return out
}
