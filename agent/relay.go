package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/tunnel/relay"
)

// relayMTU is the MTU of a device whose packets end on this machine, in bytes: the
// larger, the fewer packets. An IPv4 packet has no more.
const relayMTU = 65535

// relayUse is what the configuration and the system say about the relay.
func (a *Agent) relayUse() reach.RelayUse {
	switch {
	case a.conf.Path.Datapath == config.DatapathRelay:
		return reach.RelayAlways
	case a.conf.Path.Datapath != config.DatapathAuto || a.edges.DialFlows == nil:
		return reach.RelayNever
	}
	return reach.RelayFallback
}

// openRelay is open for a CLAT whose flows end here: a device with an address, and
// nothing on the uplink.
func (a *Agent) openRelay(ctx context.Context, have netstate.Snapshot, want reach.CLAT) (_ *instance, err error) {
	if a.edges.DialFlows == nil {
		return nil, fmt.Errorf("relay flows: this system's sockets are not known")
	}
	in := &instance{want: want, datapath: config.DatapathRelay, done: make(chan struct{}), stop: func() {}}
	if in.dev, err = a.edges.OpenDevice(deviceName, 1); err != nil {
		return nil, fmt.Errorf("open device: %w", err)
	}
	in.devName = in.dev.Name()
	defer func() {
		if err != nil {
			close(in.done)
			a.close(ctx, have, in)
		}
	}()
	if err = a.edges.Configure.Apply(ctx, have, in.state()); err != nil {
		return nil, fmt.Errorf("configure addresses: %w", err)
	}
	in.applied = a.now()
	o, ok := in.dev.(interface{ Offloads() bool })
	engine, err := relay.New(in.dev, a.edges.DialFlows(want.Name),
		relay.Config{CLAT4: want.IPv4, MTU: in.mtu(), Offload: ok && o.Offloads(), Policy: a.relayPolicy(in)})
	if err != nil {
		return nil, err
	}
	in.relay = engine
	in.relay.Unreachable = func() { notify(a.unreach) }
	a.spawn(ctx, in, in.relay.Run)
	return in, nil
}

// relayPolicy says which destinations the relay serves.
func (a *Agent) relayPolicy(in *instance) relay.Policy {
	return relay.Policy{Prefix: in.want.Prefix, NonGlobal: a.conf.Discovery.NonGlobal, AlwaysAllow: a.always()}
}

// advanceRelay is advance for a relay: there is no address to wait for.
func (a *Agent) advanceRelay(ctx context.Context, have netstate.Snapshot, in *instance, routes []netip.Prefix) error {
	lost := a.lost(have, in)
	switch {
	case lost != "":
		if err := a.repair(in, lost); err != nil {
			return err
		}
	case in.ready && !in.stale && slices.Equal(routes, in.routes):
		return nil
	}
	in.relay.SetPolicy(a.relayPolicy(in))
	in.routes, in.stale = routes, false
	if err := a.edges.Configure.Apply(ctx, have, in.state()); err != nil {
		return fmt.Errorf("configure routes: %w", err)
	}
	in.applied, in.ready = a.now(), true
	return nil
}

// mtu is the MTU of the instance's device, in bytes.
func (in *instance) mtu() int {
	if in.want.Relay {
		return relayMTU
	}
	return mtu4(in.want)
}

// steered says what steers packets to the device, "" nothing but its routes.
func (in *instance) steered() string {
	if in.steer == nil {
		return ""
	}
	return in.steer.Mode()
}

// joined puts notes that are there into one line.
func joined(notes ...string) string {
	return strings.Join(slices.DeleteFunc(notes, func(n string) bool { return n == "" }), "; ")
}
