// Package agent wires reach64 together: it owns the one event loop that reads
// the network state, asks agent/reach what to do, and has it done by the edges
// of the operating system; and it owns the lifetime of everything that runs.
//
// It decides nothing about classes and paths (agent/reach), speaks no protocol
// (resolver, tunnel) and knows no operating system (platform): the edges are
// handed in, so that the same agent runs on a real machine and in a lab inside
// one process.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/probe"
)

// retryAfter is how long a CLAT that could not be set up is left alone.
const retryAfter = 30 * time.Second

// unreachEvery is how often the network's word that something is unreachable makes
// the servers be probed at once.
const unreachEvery = 30 * time.Second

// Agent is the service.
type Agent struct {
	conf    config.Config                   // the loop's
	first   config.Config                   // as at the start
	servers atomic.Pointer[[]config.Server] // of conf, for all
	edges   Edges
	log     logrus.FieldLogger
	started time.Time
	pid     int

	find   *discover.Discoverer
	names  *lookup
	proofs *prover
	dns64  *forwarder
	probes *prober
	gate   *gate
	router *neighbour

	broken  chan struct{} // capacity 1: the engine of the running CLAT ended
	refresh chan struct{} // capacity 1: a user asks to look again
	unreach chan struct{} // capacity 1: the network says through the CLAT that something is unreachable
	orders  chan order    // unbuffered

	// The loop alone uses these.
	machine     *reach.Machine
	epoch       uint64
	readAt      time.Time  // when reading the current snapshot began
	foreign     string     // link of another CLAT, "" none
	mostly      string     // what Edges.Mostly said last
	probedAt    time.Time  // when unreach last made the servers be probed
	silent      bool       // no server answered through the CLAT at the last decision
	usable      bool       // the uplink had a usable IPv6 address at the last decision
	wanted      reach.CLAT // of the last decision
	running     *instance
	gone        reach.Own // of the last instance: a snapshot may still show what was its
	failed      reach.Failure
	retryAt     time.Time
	decidedAt   time.Time // when decide last looked, to notice sleep
	paused      bool
	pausedUntil time.Time // zero: until somebody ends it
	timing      timing
	shown       shown

	published atomic.Pointer[published]
	watchers  watchers
}

// published is what Status shows: the document of the last decision, and the
// instance whose counters are read when it is asked for.
type published struct {
	doc     status.Status
	at      time.Time
	running *instance
}

// New returns an agent for this configuration on these edges. It starts
// nothing. pid is shown in status.
func New(log logrus.FieldLogger, conf config.Config, edges Edges, pid int) (*Agent, error) {
	if len(edges.Secret) == 0 {
		edges.Secret = make([]byte, 32)
		_, _ = rand.Read(edges.Secret) // never fails, crypto/rand
	}
	a := &Agent{
		conf: conf, first: conf, edges: edges, log: log, pid: pid, started: time.Now(),
		broken: make(chan struct{}, 1), refresh: make(chan struct{}, 1), unreach: make(chan struct{}, 1), orders: make(chan order),
	}
	a.machine = reach.New(a.settings())
	a.servers.Store(&conf.Servers)
	a.find = discover.New(findWhat(conf), edges.RA, func(link string) dnsq.Dialer { return edges.DialLink(link) }, log)
	a.names = newLookup(log, resolvable(conf.Servers), a.nameServers, edges.DialLink)
	a.dns64 = newForwarder(log, conf, edges.DialLink, a.nameServers, a.corporate)
	a.gate = newGate(log, edges.DialLink, edges.Roots)
	a.router = newNeighbour(log, edges.Echo)
	a.proofs = newProver(log, conf.Discovery, edges.DialLink)
	a.probes = newProber(func(ctx context.Context, over string, t probe.Target) probe.Result {
		if over != "" {
			return probe.Probe(ctx, edges.DialLink(over), t)
		}
		return probe.Probe(ctx, edges.Dial, t)
	}, conf.Probe)
	if edges.Observer != nil {
		a.probes.observe = func(k probeKey, r probe.Result) {
			edges.Observer.Probed(k.path.String(), r.Reason, r.Reachable, r.Connect+r.Handshake)
		}
	}
	return a, nil
}

// nameServers are those that must be asked for a name, whatever the network's
// are: by configuration, or by the system's policy. None: the network's.
func (a *Agent) nameServers(name string) []netip.Addr {
	for _, s := range *a.servers.Load() {
		if len(s.DNS) > 0 && strings.EqualFold(s.Name, strings.TrimSuffix(name, ".")) {
			return s.DNS
		}
	}
	if a.edges.NameServers != nil {
		return a.edges.NameServers(name)
	}
	return nil
}

// resolvable lists the names that have to be looked up.
func resolvable(servers []config.Server) []string {
	var out []string
	for _, s := range servers {
		if !s.IsLiteral() && !slices.Contains(out, s.Name) {
			out = append(out, s.Name)
		}
	}
	return out
}

// now is the clock of the loop; all below it take time as an argument.
func (a *Agent) now() time.Time { return time.Now() }

// Run serves until ctx ends, then undoes every change and returns nil. It owns
// the goroutines of the monitor, the discoverer, the lookups, the proofs,
// the local DNS64, the prober, the gate, the questions to the router and the loop, and waits for all.
func (a *Agent) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for name, run := range map[string]func(context.Context) error{
		"watch network":     a.edges.Monitor.Run,
		"discover prefixes": a.find.Run,
		"resolve servers":   a.names.run,
		"validate prefixes": a.proofs.run,
		"serve DNS64":       a.dns64.run,
		"probe servers":     a.probes.run,
		"look for a portal": a.gate.run,
		"ask the router":    a.router.run,
		"decide":            a.loop,
	} {
		g.Go(func() error {
			if err := run(gctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", name, err)
			}
			if gctx.Err() == nil {
				return fmt.Errorf("%s: ended by itself", name)
			}
			return nil
		})
	}
	return g.Wait()
}

// Refresh looks for prefixes and probes the servers again now.
func (a *Agent) Refresh() { notify(a.refresh) }

// Status returns the state as of the last decision, with live counters.
func (a *Agent) Status() status.Status {
	if p := a.published.Load(); p != nil {
		doc := p.doc
		doc.Counters = p.running.counters()
		doc.Sources = aged(doc.Sources, a.now().Sub(p.at))
		return doc
	}
	first := status.Status{Class: reach.ClassUnknown.String(), Path: reach.PathNone.String(), Reason: string(reach.ReasonSearching),
		Sentence: reach.ReasonSearching.Sentence(), Uplinks: []status.Uplink{}, Sources: []status.Source{}, Counters: map[string]uint64{},
		Started: a.started, Since: a.started, PID: a.pid}
	for _, s := range *a.servers.Load() {
		first.Servers = append(first.Servers, status.Server{Name: s.Name, Port: s.Port, Path: reach.PathNone.String(),
			Reason: probe.NotYetProbed, Others: []status.Probe{}})
	}
	return first
}

// loop is the one place where events become decisions.
func (a *Agent) loop(ctx context.Context) error {
	a.readAt = a.now()
	snap, err := a.edges.Monitor.Snapshot()
	if err != nil {
		return fmt.Errorf("read network state: %w", err)
	}
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		next := a.decide(ctx, snap)
		wake.Reset(next)
		select {
		case <-ctx.Done():
			a.shut(ctx, snap)
			return nil
		case <-a.edges.Monitor.Changed():
			at := a.now()
			if s, err := a.edges.Monitor.Snapshot(); err != nil {
				a.log.WithError(err).Error("read network state")
			} else {
				snap, a.readAt = s, at
			}
		case <-a.refresh:
			a.find.Refresh()
			a.probes.refresh()
		case <-a.unreach:
			// Once in a while: a probe of a server that is gone ends so too.
			if now := a.now(); now.Sub(a.probedAt) >= unreachEvery {
				a.probedAt = now
				a.probes.refresh()
			}
		case o := <-a.orders:
			a.obey(o)
		case <-a.find.Changed():
		case <-a.names.changed:
		case <-a.proofs.changed:
		case <-a.probes.changed:
		case <-a.gate.changed:
			a.probes.refresh() // somebody may have signed in
		case <-a.router.changed:
		case <-a.broken:
		case <-wake.C:
		}
	}
}

// decide looks at everything once and acts. It returns how long the decision
// stands without news.
func (a *Agent) decide(ctx context.Context, snap netstate.Snapshot) time.Duration {
	now := a.now()
	a.unpause(now)
	a.wakeUp(now)
	report := a.find.Report()
	if a.edges.Mostly != nil {
		a.mostly = a.edges.Mostly(snap)
	}
	w := a.world(now, snap, report)
	out := a.machine.Step(now, w)
	if out.Intent.Epoch != a.epoch {
		a.epoch = out.Intent.Epoch
		a.probes.refresh()
	} else if out.Usable && !a.usable {
		a.find.Refresh() // what was asked before had no address to ask from
	}
	if out.Intent.CLAT != a.wanted {
		a.wanted = out.Intent.CLAT
		a.probes.refresh() // what was reached before says nothing of now
	}
	a.usable = out.Usable
	if silent := out.Reason == reach.ReasonServerSilent; silent != a.silent {
		if a.silent = silent; silent {
			a.find.Refresh() // has the prefix changed, does DNS still answer?
		}
	}
	a.find.SetLinks(out.Intent.Epoch, a.links(snap, out.Uplink))
	q := a.question(snap, report, out)
	a.names.follow(a.wantedNames())
	a.names.ask(q)
	a.proofs.want(q, provable(report))
	a.dns64.follow(q, w, out)
	a.gate.find(a.doubts(q, report, snap, out, w))
	a.router.find(a.acquaintance(snap, out))
	a.ensure(ctx, snap, out.Intent.CLAT, a.routes(out.Intent.CLAT))
	a.probes.set(a.targets(out, snap))
	// What was just set up or failed is part of what is shown, and may change
	// the decision: look once more, without acting on it.
	w = a.world(now, snap, report)
	out = a.machine.Step(now, w)
	a.timing.follow(now, out, report, a.probes.results())
	a.publish(now, snap, report, w, out)
	if out.Intent.CLAT != a.wanted {
		return 0 // what failed has something in its place
	}
	next := statusEvery
	for _, t := range []time.Time{out.Wake, a.retryAt, a.pausedUntil} {
		if t.After(now) {
			next = min(next, t.Sub(now))
		}
	}
	return next
}

// routes are the IPv4 destinations that go through the CLAT.
func (a *Agent) routes(c reach.CLAT) []netip.Prefix {
	if c == (reach.CLAT{}) {
		return nil
	}
	if c.All {
		return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	}
	out := []netip.Prefix{dummy}
	if hops := a.conf.Path.HopAddrs; hops.IsValid() {
		out = append(out, hops)
	}
	for _, s := range a.conf.Servers {
		for _, ip := range a.ipv4(s) {
			if p := netip.PrefixFrom(ip, 32); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(x, y netip.Prefix) int { return x.Addr().Compare(y.Addr()) })
	return out
}

// ipv4 are the server's addresses: configured and resolved.
func (a *Agent) ipv4(s config.Server) []netip.Addr {
	out := slices.Clone(s.IPv4)
	for _, ip := range a.names.answer(s.Name).ipv4 {
		if !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	return out
}
