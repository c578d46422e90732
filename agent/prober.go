package agent

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/resolver/probe"
)

// probeKey names one address of one server tried over one path.
type probeKey struct {
	server int // index in the configuration
	path   reach.Path
	addr   netip.AddrPort
	over   string // the link to leave by, "": by the routes
}

// probeRetry are the waits after the first, second, ... failure in a row, until
// the ordinary interval is reached.
var probeRetry = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}

// prober keeps probing a changing set of targets.
//
// Run owns one goroutine for each target in the set; each ends when its target
// leaves the set, and Run waits for all. mu guards all fields below it.
type prober struct {
	probe   func(ctx context.Context, over string, t probe.Target) probe.Result
	changed chan struct{}                    // capacity 1; a full channel means that news is waiting already
	observe func(k probeKey, r probe.Result) // nil: nobody counts

	mu      sync.Mutex
	conf    config.Probe
	ctx     context.Context           // of run; nil before and after
	early   map[probeKey]probe.Target // set before run
	wg      sync.WaitGroup
	running map[probeKey]*probing
}

// probing is one target. The goroutine that probes writes result; others read it.
type probing struct {
	cancel context.CancelFunc
	again  chan struct{} // capacity 1: probe now
	result probe.Result
	done   bool // result holds something
}

func newProber(p func(ctx context.Context, over string, t probe.Target) probe.Result, conf config.Probe) *prober {
	return &prober{probe: p, conf: conf, changed: make(chan struct{}, 1), running: make(map[probeKey]*probing)}
}

// configure replaces the times. A wait that has begun ends as it would have.
func (p *prober) configure(conf config.Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conf = conf
}

func (p *prober) times() config.Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conf
}

// run holds the targets' goroutines until ctx ends. It begins with what was set
// before.
func (p *prober) run(ctx context.Context) error {
	p.mu.Lock()
	p.ctx = ctx
	p.replace(p.early)
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.ctx = nil
	p.mu.Unlock()
	p.wg.Wait()
	return nil
}

// set replaces the set of targets. New ones are probed at once.
func (p *prober) set(targets map[probeKey]probe.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil {
		p.early = targets
		return
	}
	p.replace(targets)
}

// replace is set with mu held, while run runs.
func (p *prober) replace(targets map[probeKey]probe.Target) {
	for k, r := range p.running {
		if _, ok := targets[k]; !ok {
			r.cancel()
			delete(p.running, k)
		}
	}
	for k, t := range targets {
		if _, ok := p.running[k]; ok {
			continue
		}
		ctx, cancel := context.WithCancel(p.ctx)
		r := &probing{cancel: cancel, again: make(chan struct{}, 1)}
		p.running[k] = r
		p.wg.Go(func() { p.keep(ctx, r, k, t) })
	}
}

// refresh probes every target again now.
func (p *prober) refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.running {
		select {
		case r.again <- struct{}{}:
		default:
		}
	}
}

// results returns the last result of each target that was probed.
func (p *prober) results() map[probeKey]probe.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[probeKey]probe.Result, len(p.running))
	for k, r := range p.running {
		if r.done {
			out[k] = r.result
		}
	}
	return out
}

// targets returns the set, in a stable order.
func (p *prober) targets() []probeKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Keys(p.running), func(a, b probeKey) int {
		return cmp.Or(cmp.Compare(a.server, b.server), cmp.Compare(b.path, a.path), a.addr.Compare(b.addr))
	})
}

// keep probes one target until ctx ends.
func (p *prober) keep(ctx context.Context, r *probing, k probeKey, t probe.Target) {
	defer r.cancel()
	for failures := 0; ; {
		conf := p.times()
		once, stop := context.WithTimeout(ctx, conf.Timeout)
		res := p.probe(once, k.over, t)
		stop()
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		r.result, r.done = res, true
		p.mu.Unlock()
		if p.observe != nil {
			p.observe(k, res)
		}
		notify(p.changed)
		if failures++; res.Reachable {
			failures = 0
		}
		timer := time.NewTimer(jitter(wait(failures, conf.Interval)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-r.again:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func wait(failures int, interval time.Duration) time.Duration {
	if failures == 0 || failures > len(probeRetry) {
		return interval
	}
	return min(probeRetry[failures-1], interval)
}

// jitter spreads a wait by a tenth, so that many endpoints do not probe a
// server in step.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// notify says 'look again' on a channel of capacity 1.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// replace puts a value into a channel of capacity 1, in place of one that nobody has
// taken yet. Only one goroutine at a time may do so.
func replace[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}
