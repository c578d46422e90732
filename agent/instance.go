package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/tunnel/clat"
	"github.com/reach64/reach64/tunnel/relay"
	"github.com/reach64/reach64/tunnel/siit"
)

const (
	deviceName  = "clat%d" // the kernel puts a number
	routeMetric = 2048     // worse than any native route, spec CLAT-16
	maxTries    = 3        // of a CLAT address after a duplicate, RFC 7217 section 6
)

// dummy is the source of ICMP errors from routers that have no IPv4 address
// (RFC 7600, spec SIIT-70); its route keeps reverse-path filters from dropping
// them (spec SIIT-72).
var dummy = netip.MustParsePrefix("192.0.0.8/32")

// errDuplicate is the failure when every drawn address was in use.
var errDuplicate = errors.New("every address that was drawn is in use on the link")

// instance is one running CLAT: device, translator, steering. The agent's loop
// owns it; the engine runs in a goroutine of its own, which close waits for.
type instance struct {
	want    reach.CLAT
	try     uint32
	addr6   netip.Addr
	neutral bool
	dev     Device
	devName string
	engine  *clat.CLAT
	steer   Steering

	relay    *relay.Relay // in the place of addr6, engine and steer
	datapath string       // of the Datapath words of config
	note     string       // why it is not a faster one, "" there is none
	nextHop  netip.Addr   // see nextHop

	routes  []netip.Prefix
	ready   bool
	stale   bool        // the configuration has changed since the translator was made
	applied time.Time   // when state was last applied
	repairs []time.Time // when others' changes were undone, within repairWindow
	stop    context.CancelFunc
	done    chan struct{} // closed when the engine has ended
	err     error         // why the engine ended; read after done
}

// mtu4 is the MTU of the IPv4 side in bytes, spec CLAT-24.
func mtu4(c reach.CLAT) int { return max(1260, min(c.MTU6-20, 65515)) }

// open brings up the device, the addresses, the steering and the engine, but no
// route. On error nothing is left.
func (a *Agent) open(ctx context.Context, have netstate.Snapshot, want reach.CLAT, try uint32) (_ *instance, err error) {
	if want.Relay {
		return a.openRelay(ctx, have, want)
	}
	in := &instance{want: want, try: try, done: make(chan struct{}), stop: func() {}}
	for in.addr6, in.neutral = a.draw(want, in.try); siit.IsReservedIID(in.addr6); in.addr6, in.neutral = a.draw(want, in.try) {
		in.try++
	}
	if in.dev, err = a.edges.OpenDevice(deviceName, max(1, a.edges.Queues)); err != nil {
		return nil, fmt.Errorf("open device: %w", err)
	}
	in.devName = in.dev.Name()
	defer func() {
		if err != nil {
			close(in.done)
			a.close(ctx, have, in)
		}
	}()
	tr, err := a.translator(in, nil)
	if err != nil {
		return nil, err
	}
	if err = a.edges.Configure.Apply(ctx, have, in.state()); err != nil {
		return nil, fmt.Errorf("configure addresses: %w", err)
	}
	in.applied = a.now()
	if err = a.carry(have, in); err != nil {
		return nil, err
	}
	in.engine = clat.New(a.log, in.dev, tr)
	in.engine.Unreachable = func() { notify(a.unreach) }
	a.spawn(ctx, in, in.engine.Run)
	return in, nil
}

// spawn runs the instance's engine until close.
func (a *Agent) spawn(ctx context.Context, in *instance, engine func(context.Context) error) {
	ctx, in.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(in.done)
		if in.err = engine(ctx); in.err != nil {
			notify(a.broken)
		}
	}()
}

// draw derives the CLAT's IPv6 address of this network; try counts duplicates.
func (a *Agent) draw(c reach.CLAT, try uint32) (addr netip.Addr, neutral bool) {
	return siit.NeutralAddr(c.Net64, reach.InterfaceID(a.edges.Secret, c, try), c.IPv4, c.Prefix)
}

// close takes everything of the instance away again: routes first, so that no
// packet enters a device that nobody reads.
func (a *Agent) close(ctx context.Context, have netstate.Snapshot, in *instance) {
	ctx = context.WithoutCancel(ctx)
	if err := a.edges.Configure.Apply(ctx, have, netcfg.Want{}); err != nil {
		a.log.WithError(err).Error("undo addresses and routes")
	}
	if in.steer != nil {
		if err := in.steer.Close(); err != nil {
			a.log.WithError(err).Error("undo steering")
		}
	}
	in.stop()
	if in.engine == nil && in.relay == nil {
		_ = in.dev.Close()
	}
	<-in.done
}

// state is what the network configuration has to hold for this instance.
func (in *instance) state() netcfg.Want {
	w := netcfg.Want{
		Devices: []netcfg.Device{{Link: in.dev.Index(), MTU: in.mtu()}},
		Addrs:   []netcfg.Addr{{Link: in.dev.Index(), Prefix: netip.PrefixFrom(in.want.IPv4, 32)}},
	}
	if !in.want.Relay {
		w.Addrs = append(w.Addrs, netcfg.Addr{Link: in.want.Uplink, Prefix: netip.PrefixFrom(in.addr6, 128), Deprecated: true})
	}
	for _, r := range in.routes {
		w.Routes = append(w.Routes, netcfg.Route{Dst: r, Link: in.dev.Index(), Src: in.want.IPv4, Metric: routeMetric})
	}
	return w
}

// translator returns a translator for the instance with these routes.
func (a *Agent) translator(in *instance, routes []netip.Prefix) (*siit.Translator, error) {
	c := a.translation(in)
	c.RouteTo, c.HopAddrs, c.NodeID = routes, a.conf.Path.HopAddrs, true
	tr, err := siit.New(c)
	if err != nil {
		return nil, fmt.Errorf("make translator: %w", err)
	}
	return tr, nil
}

// always are the addresses that are served whatever is said of their block.
func (a *Agent) always() (list []netip.Addr) {
	for _, s := range a.conf.Servers {
		list = append(list, a.ipv4(s)...)
	}
	return list
}

// advance follows the uniqueness check of the address and the wanted routes.
// again is true when another address must be drawn.
func (a *Agent) advance(ctx context.Context, have netstate.Snapshot, in *instance, routes []netip.Prefix) (again bool, err error) {
	select {
	case <-in.done:
		return false, fmt.Errorf("run translator: %w", in.err)
	default:
	}
	if in.relay != nil {
		return false, a.advanceRelay(ctx, have, in, routes)
	}
	addr, found := addressOn(have, in.want.Uplink, in.addr6)
	lost := a.lost(have, in)
	switch {
	case found && addr.DADFailed, in.ready && in.try+1 < maxTries && a.router.dropped(in.addr6):
		return true, nil
	case !found && !in.ready && lost == "", found && addr.Tentative:
		return false, nil // not visible yet, or its check for duplicates goes on
	case lost != "":
		if err := a.repair(in, lost); err != nil {
			return false, err
		}
	case !found && in.ready:
		return false, nil // the snapshot is from before it was added again
	case in.ready && !in.stale && slices.Equal(routes, in.routes) && in.nextHop == nextHop(have, in.want):
		return false, nil
	}
	tr, err := a.translator(in, routes)
	if err != nil {
		return false, err
	}
	in.engine.SetTranslator(tr)
	if err := a.carry(have, in); err != nil {
		return false, err
	}
	in.routes, in.stale = routes, false
	if err := a.edges.Configure.Apply(ctx, have, in.state()); err != nil {
		return false, fmt.Errorf("configure routes: %w", err)
	}
	// When somebody removed the address it was just added again, and is checked anew.
	in.applied, in.ready = a.now(), found
	return false, nil
}

func addressOn(s netstate.Snapshot, link int, ip netip.Addr) (netstate.Addr, bool) {
	l, ok := s.Link(link)
	if !ok {
		return netstate.Addr{}, false
	}
	i := slices.IndexFunc(l.Addrs, func(a netstate.Addr) bool { return a.Prefix.Addr() == ip })
	if i < 0 {
		return netstate.Addr{}, false
	}
	return l.Addrs[i], true
}

// failure says in the words of package reach why a CLAT could not be set up.
func failure(err error, want reach.CLAT) reach.Failure {
	f := reach.Failure{Reason: reach.ReasonDatapath, Detail: err.Error(), For: want}
	var perm *platform.PermissionError
	switch {
	case errors.As(err, &perm):
		f.Reason = reach.ReasonNotPermitted
	case errors.Is(err, errDuplicate):
		f.Reason = reach.ReasonDuplicate
	case errors.Is(err, errContested):
		f.Reason = reach.ReasonContested
	}
	return f
}

// ensure brings the running instance to what is wanted. Failures are kept, and
// tried again after retryAfter.
func (a *Agent) ensure(ctx context.Context, have netstate.Snapshot, want reach.CLAT, routes []netip.Prefix) {
	switch in := a.running; {
	case in == nil || in.want == want:
	case in.want.Resized(want.MTU6) == want:
		a.resize(ctx, have, in, want)
	default:
		a.shut(ctx, have)
	}
	if want == (reach.CLAT{}) {
		a.failed = reach.Failure{}
		return
	}
	if a.running == nil {
		if a.failed.For == want && a.now().Before(a.retryAt) {
			return
		}
		a.start(ctx, have, want, 0)
	}
	if a.running == nil {
		return
	}
	again, err := a.advance(ctx, have, a.running, routes)
	if again {
		try := a.running.try + 1
		a.log.WithField("address", a.running.addr6).Warn("CLAT address is in use by another machine, or not taken by the network")
		a.shut(ctx, have)
		if try >= maxTries {
			err = errDuplicate
		} else {
			a.start(ctx, have, want, try)
		}
	}
	if err != nil {
		a.shut(ctx, have)
		a.fail(err, want)
	}
}

// resize goes over to another MTU of the uplink; flows live on.
func (a *Agent) resize(ctx context.Context, have netstate.Snapshot, in *instance, want reach.CLAT) {
	a.log.WithFields(logrus.Fields{"device": in.devName, "mtu": mtu4(want)}).Info("the uplink's MTU has changed")
	in.want, in.stale = want, true
	if err := a.edges.Configure.Apply(ctx, have, in.state()); err != nil {
		a.shut(ctx, have)
		a.fail(fmt.Errorf("change MTU: %w", err), want)
		return
	}
	in.applied = a.now()
}

func (a *Agent) start(ctx context.Context, have netstate.Snapshot, want reach.CLAT, try uint32) {
	in, err := a.open(ctx, have, want, try)
	if err != nil {
		a.fail(err, want)
		return
	}
	a.running, a.failed = in, reach.Failure{}
	fields := logrus.Fields{"device": in.devName, "ipv4": want.IPv4, "prefix": want.Prefix, "uplink": want.Name, "datapath": in.datapath}
	if in.addr6.IsValid() { // the relay has none
		fields["ipv6"], fields["steering"] = in.addr6, in.steered()
	}
	if in.note != "" {
		fields["note"] = in.note
	}
	a.log.WithFields(fields).Info("CLAT set up")
}

func (a *Agent) shut(ctx context.Context, have netstate.Snapshot) {
	if a.running == nil {
		return
	}
	a.log.WithField("device", a.running.devName).Info("CLAT taken down")
	a.close(ctx, have, a.running)
	a.gone = reach.Own{Device: a.running.dev.Index(), Addr6: a.running.addr6}
	a.running = nil
}

func (a *Agent) fail(err error, want reach.CLAT) {
	if a.failed.For != want || a.failed.Detail != err.Error() {
		a.log.WithError(err).Error("set up CLAT")
	}
	a.failed = failure(err, want)
	a.retryAt = a.now().Add(retryAfter)
}
