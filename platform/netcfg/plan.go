package netcfg

import (
	"fmt"
	"slices"

	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netstate"
)

// Op is what a step does.
type Op uint8

// The operations.
const (
	Add Op = iota
	Remove
)

// Step is one change to one object; exactly one of the three is not zero.
type Step struct {
	Op     Op
	Device Device
	Addr   Addr
	Route  Route
}

// String says what the step does.
func (s Step) String() string {
	verb := "add"
	if s.Op == Remove {
		verb = "remove"
	}
	return verb + " " + s.key()
}

// key names the object, whatever is done to it.
func (s Step) key() string {
	switch {
	case s.Device != (Device{}):
		return fmt.Sprintf("device settings of link %d", s.Device.Link)
	case s.Addr != (Addr{}):
		return fmt.Sprintf("address %s on link %d", s.Addr.Prefix, s.Addr.Link)
	default:
		return fmt.Sprintf("route to %s over link %d metric %d", s.Route.Dst, s.Route.Link, s.Route.Metric)
	}
}

func (s Step) run(os OS) error {
	switch {
	case s.Device != (Device{}):
		return os.SetDevice(s.Device)
	case s.Addr != (Addr{}) && s.Op == Add:
		return os.AddAddr(s.Addr)
	case s.Addr != (Addr{}):
		return os.DelAddr(s.Addr)
	case s.Op == Add:
		return os.AddRoute(s.Route)
	default:
		return os.DelRoute(s.Route)
	}
}

// entry is what the journal keeps of an addition of an address or a route.
func (s Step) entry(have netstate.Snapshot) journal.Entry {
	e := journal.Entry{Kind: journal.Route, Index: s.Route.Link, Prefix: s.Route.Dst, Metric: s.Route.Metric}
	if s.Addr != (Addr{}) {
		e = journal.Entry{Kind: journal.Address, Index: s.Addr.Link, Prefix: s.Addr.Prefix}
	}
	if l, ok := have.Link(e.Index); ok {
		e.Link = l.Name
	}
	return e
}

// Plan is the difference between what was applied and what is wanted, in the
// order in which it can be made: routes are removed before addresses, and
// devices set up before addresses and routes are added. What was applied but is
// missing from have was removed by somebody else and is added again.
func Plan(have netstate.Snapshot, applied, want Want) []Step {
	var steps []Step
	for _, r := range applied.Routes {
		if !slices.Contains(want.Routes, r) {
			steps = append(steps, Step{Op: Remove, Route: r})
		}
	}
	for _, a := range applied.Addrs {
		if !slices.Contains(want.Addrs, a) {
			steps = append(steps, Step{Op: Remove, Addr: a})
		}
	}
	for _, d := range want.Devices {
		if !slices.Contains(applied.Devices, d) || lostDevice(have, d) {
			steps = append(steps, Step{Device: d})
		}
	}
	for _, a := range want.Addrs {
		if !slices.Contains(applied.Addrs, a) || lostAddr(have, a) {
			steps = append(steps, Step{Addr: a})
		}
	}
	for _, r := range want.Routes {
		if !slices.Contains(applied.Routes, r) || lostRoute(have, r) {
			steps = append(steps, Step{Route: r})
		}
	}
	return steps
}

// Drift is what is missing from have of a state that was applied before have was
// read: what others took away or changed meanwhile.
func Drift(have netstate.Snapshot, applied Want) []Step { return Plan(have, applied, applied) }

// lostDevice tells whether a link that is there was taken down, or has another MTU.
func lostDevice(have netstate.Snapshot, d Device) bool {
	l, ok := have.Link(d.Link)
	return ok && (!l.Up || l.MTU != d.MTU)
}

// lostAddr tells whether a link that is there does not have the address.
func lostAddr(have netstate.Snapshot, a Addr) bool {
	l, ok := have.Link(a.Link)
	return ok && !slices.ContainsFunc(l.Addrs, func(x netstate.Addr) bool { return x.Prefix == a.Prefix })
}

func lostRoute(have netstate.Snapshot, r Route) bool {
	_, ok := have.Link(r.Link)
	return ok && !slices.ContainsFunc(have.Routes, func(x netstate.Route) bool {
		return x.Link == r.Link && x.Dst == r.Dst && (x.Metric == r.Metric || !routesHaveMetrics)
	})
}
