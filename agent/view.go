package agent

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/probe"
)

// statusEvery is how often everything is looked at without news.
const statusEvery = 5 * time.Minute

// shown is what was last logged: a line is written only when one of these
// changes.
type shown struct {
	class  reach.Class
	path   reach.Path
	reason reach.Reason
	detail string
	since  time.Time
}

// timing measures the way from the first sign of a network to the first
// handshake through the CLAT.
type timing struct {
	seen     time.Time     // when the network's router was first seen
	ready    time.Duration // to the first handshake through the CLAT
	answered bool
}

// sameStart is how long before the CLAT was wanted a router may have been seen
// for both to belong to one start: a prefix that comes later starts anew.
const sameStart = 5 * time.Second

// follow updates the measurement.
func (t *timing) follow(now time.Time, out reach.Out, r discover.Report, results map[probeKey]probe.Result) {
	if out.Intent.CLAT == (reach.CLAT{}) {
		*t = timing{}
		return
	}
	if t.seen.IsZero() {
		t.seen = now
		for _, router := range r.Routers {
			if router.Link == out.Uplink && router.FirstSeen.Before(t.seen) && now.Sub(router.FirstSeen) < sameStart {
				t.seen = router.FirstSeen
			}
		}
	}
	if t.answered {
		return
	}
	for k, res := range results {
		if k.path == out.Intent.CLAT.Path() && res.Reachable {
			t.ready, t.answered = max(0, res.At.Sub(t.seen)), true
		}
	}
}

// publish makes the status document of this decision and logs what changed.
func (a *Agent) publish(now time.Time, snap netstate.Snapshot, r discover.Report, w reach.World, out reach.Out) {
	if a.shown.since.IsZero() || a.shown.class != out.Class || a.shown.path != out.Path || a.shown.reason != out.Reason || a.shown.detail != out.Detail {
		a.shown = shown{out.Class, out.Path, out.Reason, out.Detail, now}
		if a.edges.Observer != nil {
			a.edges.Observer.Transition(out.Class.String(), out.Path.String(), string(out.Reason))
		}
		a.log.WithFields(logrus.Fields{"class": out.Class.String(), "path": out.Path.String(), "reason": string(out.Reason),
			"detail": out.Detail, "epoch": out.Intent.Epoch}).Info(out.Reason.Sentence())
	}
	s := status.Status{
		Class: out.Class.String(), Path: out.Path.String(), Reason: string(out.Reason), Sentence: out.Reason.Sentence(),
		Detail: status.Ptr(out.Detail), Advice: status.Ptr(out.Reason.Advice()),
		Uplinks: []status.Uplink{}, Servers: []status.Server{}, Sources: []status.Source{},
		Since: a.shown.since, Started: a.started, Epoch: out.Intent.Epoch, PID: a.pid,
		Times: status.Times{RAToHandshake: status.Seconds(a.timing.ready)},
	}
	if l, ok := snap.Link(out.Uplink); ok {
		s.Uplink = &l.Name
	}
	for _, u := range reach.Uplinks(w, out.Intent.CLAT) {
		v := status.Uplink{Name: u.Name, Class: u.Class.String(), IPv6: u.IPv6, IPv4: u.IPv4, CLAT: u.Used}
		if u.Prefix.IsValid() {
			v.Prefix = status.Ptr(u.Prefix.String())
		}
		s.Uplinks = append(s.Uplinks, v)
	}
	a.showPrefix(&s, r, out)
	a.showCLAT(&s, out)
	a.showServers(&s, out)
	a.showSources(now, &s, snap, r)
	a.published.Store(&published{doc: s, at: now, running: a.running})
	a.watchers.notify()
}

func (a *Agent) showPrefix(s *status.Status, r discover.Report, out reach.Out) {
	clat := out.Intent.CLAT
	var best *pref64.Candidate
	for i, c := range r.Candidates {
		used := clat.Prefix.IsValid()
		switch {
		case c.Link != 0 && c.Link != out.Uplink && c.Link != clat.Uplink, used && c.Prefix != clat.Prefix:
		case best == nil, used && c.Source < best.Source: // whoever names it and ranks highest
			best = &r.Candidates[i]
		}
	}
	if best != nil {
		s.Prefix, s.Source = status.Ptr(best.Prefix.String()), status.Ptr(best.Source.String())
	}
}

func (a *Agent) showCLAT(s *status.Status, out reach.Out) {
	in := a.running
	if in == nil {
		return
	}
	s.Datapath, s.DatapathNote = status.Ptr(in.datapath), status.Ptr(joined(in.note, out.Note))
	s.CLAT = &status.CLAT{IPv4: in.want.IPv4.String(), Device: in.devName, Uplink: in.want.Name, Restart: status.FlowsResume, MTU: in.mtu(),
		Ready: in.ready, Neutral: in.neutral, Steered: in.steered(), Routes: []string{}}
	if in.relay != nil {
		s.CLAT.Restart = status.FlowsEnd
	}
	if in.addr6.IsValid() {
		s.CLAT.IPv6 = status.Ptr(in.addr6.String())
	}
	for _, r := range in.routes {
		if r == dummy || r == a.conf.Path.HopAddrs {
			continue
		}
		text := r.String()
		if r.Bits() == 32 {
			text = r.Addr().String()
		}
		s.CLAT.Routes = append(s.CLAT.Routes, text)
	}
}

// counters are those of the translators and, with "steer-" before, those of the
// steering: among them how much of what was translated was so in the kernel, and why
// what was left to the translator in user space was. A nil instance has none. Safe
// for concurrent use.
func (in *instance) counters() map[string]uint64 {
	out := map[string]uint64{}
	if in == nil {
		return out
	}
	if in.relay != nil {
		return in.relay.Stats()
	}
	maps.Copy(out, in.engine.Stats())
	if steered, err := in.steer.Counters(); err == nil {
		for k, v := range steered {
			if v == 0 {
				continue
			}
			if _, what, ok := strings.Cut(k, "-"); ok && (what == "translated" || what == "bytes") {
				out[k] += v
			}
			if !strings.HasSuffix(k, "-bytes") {
				out["steer-"+k] = v
			}
		}
	}
	return out
}

// showServers puts the address over the path in use first, a reachable one
// before one that is not.
func (a *Agent) showServers(s *status.Status, out reach.Out) {
	results, running := a.probes.results(), a.probes.targets()
	for i, conf := range a.conf.Servers {
		v := status.Server{Name: conf.Name, Port: conf.Port, Path: reach.PathNone.String(), Reason: "no-path", Others: []status.Probe{}}
		if name := a.names.answer(conf.Name); name.err != nil && len(a.ipv4(conf))+len(name.ipv6) == 0 {
			v.Reason, v.Error, v.Reachable = "name-not-resolved", status.Ptr(name.err.Error()), new(bool)
		}
		var best probeKey
		for _, k := range running {
			if k.server != i {
				continue
			}
			if best == (probeKey{}) || better(k, best, results, out.Path) {
				best, k = k, best
			}
			if k != (probeKey{}) {
				v.Others = append(v.Others, other(k, results))
			}
		}
		if best != (probeKey{}) {
			showServer(&v, best, results)
		}
		s.Servers = append(s.Servers, v)
	}
}

// better tells whether k shows the server better than b: reachable, then over
// the path in use.
func better(k, b probeKey, results map[probeKey]probe.Result, path reach.Path) bool {
	if x, y := results[k].Reachable, results[b].Reachable; x != y {
		return x
	}
	return k.path == path && b.path != path
}

func showServer(v *status.Server, k probeKey, results map[probeKey]probe.Result) {
	v.Address, v.Path, v.Reason = status.Ptr(k.addr.Addr().String()), k.path.String(), "not-yet-probed"
	r, ok := results[k]
	if !ok {
		return
	}
	v.Reachable, v.Reason, v.Error = &r.Reachable, r.Reason, status.Ptr(r.Err)
	v.RTT, v.Handshake = status.Seconds(r.Connect), status.Seconds(r.Handshake)
	v.Checked = status.Ptr(r.At.UTC().Format(time.RFC3339Nano))
}

func other(k probeKey, results map[probeKey]probe.Result) status.Probe {
	p := status.Probe{Address: k.addr.Addr().String(), Path: k.path.String(), Reason: "not-yet-probed"}
	if r, ok := results[k]; ok {
		p.Reachable, p.Reason = &r.Reachable, r.Reason
	}
	return p
}

func (a *Agent) showSources(now time.Time, s *status.Status, snap netstate.Snapshot, r discover.Report) {
	for _, src := range r.Sources {
		v := status.Source{Source: src.Source.String(), Verdict: string(src.Verdict), Reason: src.Reason,
			Took: status.Seconds(src.Took), Server: serverText(src.Server), Prefixes: []string{}}
		if l, ok := snap.Link(src.Link); ok {
			v.Link = &l.Name
		}
		if src.Next.After(now) {
			v.NextIn = status.Seconds(src.Next.Sub(now).Round(time.Millisecond))
		}
		for _, c := range r.Candidates {
			if c.Source == src.Source && c.Link == src.Link && (c.Server == src.Server || !src.Server.IsValid()) {
				v.Prefixes = append(v.Prefixes, c.Prefix.String())
			}
		}
		s.Sources = append(s.Sources, v)
	}
}

// aged are the sources as they are some time after they were written down.
func aged(list []status.Source, by time.Duration) []status.Source {
	list = slices.Clone(list)
	for i, v := range list {
		if v.NextIn != nil {
			list[i].NextIn = status.Seconds(max(0, time.Duration(*v.NextIn*float64(time.Second))-by).Round(time.Millisecond))
		}
	}
	return list
}

func serverText(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return status.Ptr(a.String())
}
