package discover

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/reach64/reach64/resolver/pref64"
)

// engine is the state of a Discoverer. One goroutine, Run's, owns it; the methods
// take the time as an argument and never block.
type engine struct {
	d     *Discoverer
	set   pref64.Set
	epoch uint64
	links []*linkState // in the order of SetLinks

	last time.Time // when work was done last

	reading bool  // advertisements are read
	raErr   error // of the last ReadRA, nil after a good one
	raErrAt time.Time
	raCount budget

	pcpCount budget
	early    []earlyRA

	workers    sync.WaitGroup  // the goroutines below
	advertised chan raMessage  // unbuffered, from the one reader of advertisements
	answered   chan dnsResult  // unbuffered, from one goroutine for each question
	solicited  chan solicitEnd // unbuffered, from one goroutine for each solicitation
	told       chan pcpResult  // unbuffered, from one goroutine for each question to a PCP server
}

// linkState is one link with its routers and resolvers.
type linkState struct {
	Link
	since   time.Time // start of the search
	solicit solicitor
	routers []*router
	askers  []*asker     // in the order in which the resolvers are known
	stub    bool         // only local stubs are known, and they are asked
	passed  []netip.Addr // local stubs that are not asked
	pcp     []*pcpServer
}

func newEngine(d *Discoverer) *engine {
	e := &engine{d: d, set: pref64.Set{Allow: d.cfg.Allow},
		advertised: make(chan raMessage), answered: make(chan dnsResult), solicited: make(chan solicitEnd), told: make(chan pcpResult)}
	e.configured()
	return e
}

// hasRA tells whether advertisements are read at all.
func (e *engine) hasRA() bool { return e.d.ra != nil && e.d.cfg.enabled(pref64.RA) }

// start starts the one goroutine that lives as long as the engine, once.
func (e *engine) start(ctx context.Context) {
	if e.hasRA() && !e.reading {
		e.reading = true
		e.workers.Go(func() { readRAs(ctx, e.d.ra, e.advertised) })
	}
}

// setLinks takes over the wanted links.
func (e *engine) setLinks(now time.Time, want wanted) {
	fresh := want.epoch != e.epoch
	e.epoch = want.epoch
	var links []*linkState
	for _, w := range want.links {
		if slices.ContainsFunc(links, func(l *linkState) bool { return l.Index == w.Index }) {
			continue
		}
		l := e.link(w.Index)
		switch {
		case l == nil || l.Name != w.Name:
			l = &linkState{Link: w, since: now, solicit: solicitor{next: now.Add(solicitDelay())}}
		case fresh:
			l.Link, l.since = w, now
			e.dropAskers(l)
			e.dropPCP(l)
			l.solicit.again(now)
		default:
			l.Link = w
		}
		links = append(links, l)
	}
	for _, l := range e.links {
		if !slices.Contains(links, l) {
			e.dropAskers(l)
			e.dropPCP(l)
			e.set.DropLink(l.Index)
		}
	}
	e.links = links
	for _, l := range links {
		e.known(now, l)
		e.seen(now, l)
		e.replay(now, l)
	}
}

// known takes over what the system knows of a link's prefixes.
func (e *engine) known(now time.Time, l *linkState) {
	if !e.d.cfg.enabled(pref64.OS) {
		return
	}
	var cs []pref64.Candidate
	for i, k := range l.Known {
		cs = append(cs, pref64.Candidate{Prefix: k.Prefix, Trust: k.Trust, Reason: k.Reason, Order: i})
	}
	e.set.Replace(now, pref64.Key{Source: pref64.OS, Link: l.Index}, cs)
}

// link returns the state of a link, nil for none.
func (e *engine) link(index int) *linkState {
	i := slices.IndexFunc(e.links, func(l *linkState) bool { return l.Index == index })
	if i < 0 {
		return nil
	}
	return e.links[i]
}

// refresh makes everything due now.
func (e *engine) refresh(now time.Time) {
	for _, l := range e.links {
		l.solicit.again(now)
		for _, a := range l.askers {
			a.cancel()
			a.next, a.busy, a.failures = now, false, 0
		}
		for _, s := range l.pcp {
			s.cancel()
			s.next, s.busy, s.failures = now, false, 0
		}
	}
}

// work forgets what has run out and starts what is due.
func (e *engine) work(ctx context.Context, now time.Time) {
	if !e.last.IsZero() {
		// Round strips the monotonic reading, so that Sub takes the wall clock's.
		if gap := Asleep(now.Round(0).Sub(e.last.Round(0)), now.Sub(e.last)); gap > 0 {
			e.resume(now, gap)
		}
	}
	e.last = now
	e.set.Expire(now)
	for _, l := range e.links {
		l.forget(now)
		if e.hasRA() && l.solicit.due(now) {
			e.startSolicit(ctx, l)
		}
		if e.d.cfg.enabled(pref64.DNS) {
			e.reconcile(now, l)
		}
		for _, a := range l.askers {
			if !a.busy && !now.Before(a.next) {
				e.startAsk(ctx, now, a)
			}
		}
		if e.d.cfg.enabled(pref64.PCP) {
			e.reconcilePCP(now, l)
		}
		for _, s := range l.pcp {
			if s.due(now) && e.pcpCount.spend(now, pcpBudget) {
				e.startPCP(ctx, now, s)
			} else if s.due(now) {
				s.next = now.Add(time.Second)
			}
		}
	}
}

const (
	// lookEvery bounds how late it is seen that the machine was suspended, if nobody
	// tells: SetLinks and Refresh look too.
	lookEvery = 5 * time.Minute
	// asleepLeast is the shortest suspension that counts.
	asleepLeast = 30 * time.Second
)

// next returns when work is to be done again.
func (e *engine) next(now time.Time) time.Time {
	next := now.Add(lookEvery)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	sooner(e.set.Next(now))
	for _, l := range e.links {
		if e.hasRA() {
			sooner(l.solicit.wake())
			if end := l.since.Add(e.d.raWait); now.Before(end) {
				sooner(end)
			}
		}
		for _, r := range l.routers {
			sooner(r.next(now))
		}
		for _, a := range l.askers {
			if !a.busy {
				sooner(a.next)
			}
		}
		for _, s := range l.pcp {
			sooner(s.wake(now))
		}
	}
	return next
}

// Asleep returns for how long the machine was suspended, 0 for not at all, given
// how far the wall clock and Go's monotonic clock went. The latter stands still
// meanwhile on Linux and macOS; lifetimes do not (spec R8781-9). A wall clock that
// was set ahead looks the same; small differences are its correction.
func Asleep(wall, monotonic time.Duration) time.Duration {
	if gap := wall - monotonic; gap >= asleepLeast {
		return gap
	}
	return 0
}

// resume ages what is known by the time asleep, and asks everything again: the
// network may be another.
func (e *engine) resume(now time.Time, gap time.Duration) {
	e.d.log.WithField("asleep", gap.Round(time.Second)).Info("the machine was suspended, prefixes are looked for again")
	e.set.Age(gap)
	e.early = nil
	for _, l := range e.links {
		for _, r := range l.routers {
			r.until, r.gateway = r.until.Add(-gap), r.gateway.Add(-gap)
			for i := range r.servers {
				r.servers[i].until = r.servers[i].until.Add(-gap)
			}
		}
		for _, a := range l.askers {
			a.until = a.until.Add(-gap)
		}
		for _, s := range l.pcp {
			s.until, s.clock = s.until.Add(-gap), s.clock.Before(gap)
		}
	}
	e.refresh(now)
}
