package discover

import (
	"context"
	"time"

	"github.com/reach64/reach64/resolver/pref64"
)

// Configure replaces what to look for. What sources that stay enabled have said
// stays; what others have said is dropped at once.
func (d *Discoverer) Configure(cfg Config) {
	d.mu.Lock()
	d.next = &cfg
	d.mu.Unlock()
	notify(d.relink)
}

// configured takes over what Configure left, if anything. Run's goroutine calls it.
func (d *Discoverer) configured() (cfg Config, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next == nil {
		return Config{}, false
	}
	cfg, d.next = *d.next, nil
	return cfg, true
}

// configure brings everything to another configuration.
func (e *engine) configure(ctx context.Context, now time.Time, cfg Config) {
	old := e.d.cfg
	e.d.cfg, e.set.Allow = cfg, cfg.Allow
	e.set.Drop(func(k pref64.Key) bool { return !cfg.enabled(k.Source) || k.Source == pref64.Policy })
	e.configured()
	e.start(ctx)
	for _, l := range e.links {
		if !cfg.enabled(pref64.DNS) {
			e.dropAskers(l)
		}
		if !cfg.enabled(pref64.PCP) {
			e.dropPCP(l)
		}
		switch was, is := old.enabled(pref64.RA), cfg.enabled(pref64.RA); {
		case was && !is:
			l.routers = nil
		case is && !was:
			l.since = now
			l.solicit.again(now)
		}
		e.known(now, l)
		e.seen(now, l)
	}
}

// configured puts the configured prefixes into the set.
func (e *engine) configured() {
	if !e.d.cfg.enabled(pref64.Policy) {
		return
	}
	var cs []pref64.Candidate
	for i, p := range e.d.cfg.Static {
		cs = append(cs, pref64.Candidate{Prefix: p, Trust: pref64.Trusted, Reason: "configured", Order: i})
	}
	e.set.Replace(time.Time{}, pref64.Key{Source: pref64.Policy}, cs)
}
