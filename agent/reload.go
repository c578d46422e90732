package agent

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/resolver/discover"
)

// order is what somebody asks of the loop; done is closed when it is carried out.
type order struct {
	conf  *config.Config // nil: stay with the one in use
	pause *time.Time     // until when, zero: until Resume; nil: no word about it
	run   bool           // end a pause
	done  chan struct{}
}

// Reload goes over to another configuration. Flows through the CLAT live on, as long as
// the new configuration still wants the same CLAT. It returns the keys whose change
// takes effect only when the service starts anew, and an error when ctx ends first.
func (a *Agent) Reload(ctx context.Context, conf config.Config) (restart []string, err error) {
	restart = atStart(a.first, conf)
	return restart, a.give(ctx, order{conf: &conf})
}

// Pause stops acting until Resume, or if d is not 0, for so long: the CLAT is taken
// down, everything is still watched and shown.
func (a *Agent) Pause(ctx context.Context, d time.Duration) error {
	var until time.Time
	if d > 0 {
		until = a.now().Add(d)
	}
	return a.give(ctx, order{pause: &until})
}

// Alive returns when the loop listens, which it does after each decision, or when ctx
// has ended.
func (a *Agent) Alive(ctx context.Context) error { return a.give(ctx, order{}) }

// Resume ends a pause.
func (a *Agent) Resume(ctx context.Context) error { return a.give(ctx, order{run: true}) }

// give hands an order to the loop and waits until it is carried out.
func (a *Agent) give(ctx context.Context, o order) error {
	o.done = make(chan struct{})
	select {
	case a.orders <- o:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// obey carries an order out. The loop alone calls it.
func (a *Agent) obey(o order) {
	defer close(o.done)
	switch {
	case o.pause != nil:
		a.paused, a.pausedUntil = true, *o.pause
		a.log.Warn("paused by an administrator")
	case o.run && a.paused:
		a.paused = false
		a.log.Info("resumed by an administrator")
	}
	if o.conf != nil {
		a.reconfigure(*o.conf)
	}
	a.machine.Set(a.settings())
}

// unpause ends a pause whose time is over.
func (a *Agent) unpause(now time.Time) {
	if a.paused && !a.pausedUntil.IsZero() && !now.Before(a.pausedUntil) {
		a.paused = false
		a.machine.Set(a.settings())
		a.log.Info("the pause is over")
	}
}

func (a *Agent) settings() reach.Settings {
	return reach.Settings{Off: a.conf.Path.Mode == config.ModeOff, All: a.conf.Path.Scope == config.ScopeAll, Paused: a.paused,
		TakeOver: a.conf.Path.OtherCLAT == config.OtherTakeOver, Relay: a.relayUse()}
}

// reconfigure brings all parts to another configuration. The loop alone calls it.
func (a *Agent) reconfigure(conf config.Config) {
	old := a.conf
	conf.DNS, conf.Metrics, conf.Control = old.DNS, old.Metrics, old.Control // as at the start
	a.conf = conf
	a.servers.Store(&conf.Servers)
	if !slices.EqualFunc(old.Servers, conf.Servers, sameServer) {
		a.probes.set(nil) // its keys are places in the list
		a.names.rename(a.wantedNames())
	}
	if !reflect.DeepEqual(old.Discovery, conf.Discovery) {
		a.find.Configure(findWhat(conf))
		a.proofs.configure(conf.Discovery)
	}
	if old.Path.Datapath != conf.Path.Datapath {
		a.failed = reach.Failure{} // it may have been the datapath's
	}
	a.probes.configure(conf.Probe)
	if a.running != nil {
		a.running.stale = true // its translator has addresses and rules of the configuration
	}
}

// sameServer compares the certificates by what they are, not where they lie.
func sameServer(x, y config.Server) bool {
	if (x.CAs == nil) != (y.CAs == nil) || x.CAs != nil && !x.CAs.Equal(y.CAs) {
		return false
	}
	x.CAs, y.CAs = nil, nil
	return reflect.DeepEqual(x, y)
}

func findWhat(c config.Config) discover.Config {
	return discover.Config{Static: c.Discovery.Prefixes, Sources: c.Discovery.Sources, Allow: c.Discovery.Allow}
}

// atStart lists the keys in which conf differs and which are read only at the start.
func atStart(first, conf config.Config) (keys []string) {
	for key, differs := range map[string]bool{
		"control.socket": first.Control != conf.Control,
		"dns.exclude":    !slices.Equal(first.DNS.Exclude, conf.DNS.Exclude),
		"dns.listen":     first.DNS.Listen != conf.DNS.Listen,
		"metrics.listen": first.Metrics != conf.Metrics,
	} {
		if differs {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
