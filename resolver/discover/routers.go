package discover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
)

// raBudget is how many advertisements are read in a second (spec SEC-5).
const raBudget = 100

// raMessage is what the reader got.
type raMessage struct {
	msg  []byte
	src  netip.Addr
	link int
	err  error
}

// readRAs hands in advertisements until ctx ends. After an error it waits, longer
// each time, since the same error is likely to come again.
func readRAs(ctx context.Context, r RAReader, out chan<- raMessage) {
	wait := time.Second
	for ctx.Err() == nil {
		var m raMessage
		m.msg, m.src, m.link, m.err = r.ReadRA(ctx)
		select {
		case out <- m:
		case <-ctx.Done():
			return
		}
		if m.err == nil {
			wait = time.Second
			continue
		}
		if errors.Is(m.err, errors.ErrUnsupported) {
			return
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, time.Minute)
		case <-ctx.Done():
		}
	}
}

// budget counts what came within the current second.
type budget struct {
	start time.Time
	n     int
}

// spend tells whether one more is within the limit.
func (b *budget) spend(now time.Time, limit int) bool {
	if now.Sub(b.start) >= time.Second {
		b.start, b.n = now, 0
	}
	b.n++
	return b.n <= limit
}

// router is what one router has said.
type router struct {
	RouterInfo
	servers []resolverUntil
	gateway time.Time // until when it is a default router
	until   time.Time // when nothing of it is valid any more
}

// resolverUntil is a server of an RDNSS option.
type resolverUntil struct {
	addr  netip.Addr
	until time.Time
}

// next returns when something of the router runs out after now.
func (r *router) next(now time.Time) time.Time {
	next := r.until
	if r.gateway.After(now) && r.gateway.Before(next) {
		next = r.gateway
	}
	for _, s := range r.servers {
		if s.until.Before(next) {
			next = s.until
		}
	}
	return next
}

// forget removes what has run out.
func (l *linkState) forget(now time.Time) {
	for _, r := range l.routers {
		r.servers = slices.DeleteFunc(r.servers, func(s resolverUntil) bool { return !now.Before(s.until) })
	}
	l.routers = slices.DeleteFunc(l.routers, func(r *router) bool { return !now.Before(r.until) })
}

// onRA takes an advertisement in. One that RFC 4861 tells to discard changes
// nothing. One on a link that is not looked at is kept for a moment: the first
// advertisement after link up may be faster than the news of the link, and the
// next comes 3 s later at the earliest (RFC 4861 section 10).
func (e *engine) onRA(now time.Time, m raMessage) {
	if !e.hasRA() { // switched off since
		return
	}
	if e.raErr = m.err; m.err != nil {
		e.raErrAt = now
		e.d.log.WithError(m.err).Debug("read router advertisement")
		return
	}
	if !e.raCount.spend(now, raBudget) {
		return
	}
	if l := e.link(m.link); l != nil {
		e.advertise(now, l, m)
		return
	}
	if len(e.early) == maxEarly {
		e.early = slices.Delete(e.early, 0, 1)
	}
	e.early = append(e.early, earlyRA{m, now})
}

// Bounds of what is kept of links that are not looked at.
const (
	maxEarly = 16
	earlyFor = 10 * time.Second
)

// earlyRA is an advertisement on a link that is not looked at yet.
type earlyRA struct {
	raMessage
	at time.Time
}

// replay takes in what has come on a link before it was looked at.
func (e *engine) replay(now time.Time, l *linkState) {
	e.early = slices.DeleteFunc(e.early, func(m earlyRA) bool {
		if m.link == l.Index && now.Sub(m.at) < earlyFor {
			e.advertise(m.at, l, m.raMessage)
		}
		return m.link == l.Index || now.Sub(m.at) >= earlyFor
	})
}

// advertise takes in an advertisement that came at a time on a link.
func (e *engine) advertise(now time.Time, l *linkState, m raMessage) {
	if err := ra.Valid(m.src, 255, m.msg); err != nil {
		e.d.log.WithError(err).WithField("link", l.Name).Debug("router advertisement discarded")
		return
	}
	a, _ := ra.Parse(m.msg) // Valid has parsed it
	for _, i := range a.Ignored {
		e.d.log.WithField("link", l.Name).WithField("router", m.src.String()).Debugf("option %d at byte %d ignored: %s", i.Type, i.Offset, i.Why)
	}
	src := m.src.WithZone(l.Name)
	e.router(now, l, src).update(now, a)
	e.prefixes(now, l, src, a)
	if a.RouterLifetime > 0 {
		l.solicit.stop()
	}
}

// router finds or adds a router. At the cap the one that was heard longest ago
// makes room, the source of the link's best prefix excepted (spec SEC-5).
func (e *engine) router(now time.Time, l *linkState, src netip.Addr) *router {
	if i := slices.IndexFunc(l.routers, func(r *router) bool { return r.Addr == src }); i >= 0 {
		return l.routers[i]
	}
	if len(l.routers) >= pref64.MaxServers {
		best, _ := e.set.Best(now, l.Index)
		oldest := -1
		for i, r := range l.routers {
			if r.Addr != best.Server && (oldest < 0 || r.LastSeen.Before(l.routers[oldest].LastSeen)) {
				oldest = i
			}
		}
		l.routers = slices.Delete(l.routers, oldest, oldest+1)
	}
	r := &router{RouterInfo: RouterInfo{Link: l.Index, Addr: src, FirstSeen: now}}
	l.routers = append(l.routers, r)
	return r
}

// update takes over what the advertisement says. What it leaves out stays, since
// routers may send their options in parts (RFC 4861 section 6.2.3).
func (r *router) update(now time.Time, a ra.Advertisement) {
	r.LastSeen, r.Lifetime, r.Managed, r.Other = now, a.RouterLifetime, a.Managed, a.Other
	r.gateway = now.Add(a.RouterLifetime)
	if a.Portal != "" {
		r.Portal = a.Portal
	}
	if a.MTU > 0 {
		r.MTU = a.MTU
	}
	if len(a.Prefixes) > 0 {
		r.Prefixes = a.Prefixes[:min(len(a.Prefixes), maxPIOs)]
	}
	// Even a router that offers nothing is shown for a while.
	until := now.Add(max(a.RouterLifetime, solicitEvery))
	for _, option := range a.RDNSS {
		for _, addr := range option.Servers {
			if addr.IsLinkLocalUnicast() {
				addr = addr.WithZone(r.Addr.Zone())
			}
			r.resolver(addr, now.Add(option.Lifetime))
		}
	}
	for _, s := range r.servers {
		until = latest(until, s.until)
	}
	for _, p := range a.Pref64 {
		until = latest(until, now.Add(p.Lifetime))
	}
	r.until = latest(until, r.until)
}

// maxPIOs bounds what is kept of a router's prefix information.
const maxPIOs = 16

// resolver adds or renews a DNS server; one with lifetime 0 is forgotten by the
// next work.
func (r *router) resolver(addr netip.Addr, until time.Time) {
	i := slices.IndexFunc(r.servers, func(s resolverUntil) bool { return s.addr == addr })
	switch {
	case i >= 0:
		r.servers[i].until = until
	case len(r.servers) < pref64.MaxServers:
		r.servers = append(r.servers, resolverUntil{addr, until})
	}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// prefixes takes over the PREF64 options. A router that is no default router is
// believed only after a probe (spec SEC-4, R8781-10).
func (e *engine) prefixes(now time.Time, l *linkState, src netip.Addr, a ra.Advertisement) {
	key := pref64.Key{Source: pref64.RA, Link: l.Index, Server: src}
	var cs []pref64.Candidate
	for i, p := range a.Pref64 {
		if p.Lifetime == 0 {
			if e.set.Withdraw(key, p.Prefix) {
				e.d.log.WithField("link", l.Name).WithField("router", src.String()).WithField("prefix", p.Prefix.String()).Info("router withdraws prefix")
			}
			continue
		}
		who := "a router"
		if src.IsValid() {
			who = "router " + src.String()
		}
		c := pref64.Candidate{Prefix: p.Prefix, Until: now.Add(p.Lifetime), Trust: pref64.LinkTrusted, Order: i,
			Reason: fmt.Sprintf("advertised by %s for %s", who, p.Lifetime)}
		if a.RouterLifetime == 0 {
			c.Trust = pref64.AfterProbe
			c.Reason += ", which is no default router"
		}
		cs = append(cs, c)
	}
	e.set.Merge(now, key, cs)
}
