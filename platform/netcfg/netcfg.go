// Package netcfg brings addresses, routes and device settings of reach64 to a
// wanted state, and takes them away again.
//
// What is to be done is a pure plan: the difference between what was applied
// and what is wanted. Each step is journalled before it is made, so that the next
// process can undo what a killed one left. Nothing is touched that reach64 did
// not make, and no sysctl is written.
package netcfg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netstate"
)

// Want is the whole wanted state. The zero value removes everything of ours.
type Want struct {
	Devices []Device
	Addrs   []Addr
	Routes  []Route
}

// Device is a device of ours that has to be up. It goes away with the process
// that opened it, so it is never taken down here.
type Device struct {
	Link int
	MTU  int // bytes
}

// Addr is an address that a link has to have.
type Addr struct {
	Link       int
	Prefix     netip.Prefix // address and length
	Deprecated bool         // IPv6: preferred lifetime 0 and no prefix route, so that nobody else uses it
}

// Route is a route over a device, without a gateway.
type Route struct {
	Link   int
	Dst    netip.Prefix
	Src    netip.Addr
	Metric int
	MTU    int // bytes, 0: the link's
}

// OS makes the changes. ErrExist and ErrNotExist of io/fs say that there was
// nothing to do.
type OS interface {
	SetDevice(d Device) error
	AddAddr(a Addr) error
	DelAddr(a Addr) error
	AddRoute(r Route) error
	DelRoute(r Route) error
}

// Links is what an OS that is not this machine's has beside: the index of the link
// of that name, or fs.ErrNotExist.
type Links interface {
	LinkIndex(name string) (int, error)
}

// Configurator applies wanted states. mu serializes Apply and guards the rest.
type Configurator struct {
	j   *journal.Journal
	log logrus.FieldLogger
	os  OS

	link func(name string) (int, error)

	mu      sync.Mutex
	applied Want
	ids     map[string]uint64 // journal entries of what is applied, by Step.String
}

// New returns a configurator of this machine.
func New(j *journal.Journal, log logrus.FieldLogger) *Configurator { return NewOn(system{}, j, log) }

// NewOn returns a configurator that makes its changes through os.
func NewOn(os OS, j *journal.Journal, log logrus.FieldLogger) *Configurator {
	c := &Configurator{j: j, log: log, os: os, link: linkIndex, ids: make(map[string]uint64)}
	if l, ok := os.(Links); ok {
		c.link = l.LinkIndex
	}
	return c
}

// Apply brings the state from have to want. It goes on after a failed removal
// and stops at a failed addition; what was added till then stays applied, so
// that applying the zero Want removes it.
func (c *Configurator) Apply(ctx context.Context, have netstate.Snapshot, want Want) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	steps := Plan(have, c.applied, want)
	c.applied.Devices = slices.DeleteFunc(c.applied.Devices, func(d Device) bool { return !slices.Contains(want.Devices, d) })
	for _, s := range steps {
		if err := c.do(have, s); err != nil {
			errs = append(errs, err)
			if s.Op != Remove {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// crossOut takes a step's object out of the journal.
func (c *Configurator) crossOut(s Step) error {
	if err := c.j.Done(c.ids[s.key()]); err != nil {
		return err
	}
	delete(c.ids, s.key())
	return nil
}

// do makes one step, journalled before an addition and after a removal. The
// settings of a device are not journalled, since they go with it.
func (c *Configurator) do(have netstate.Snapshot, s Step) error {
	c.log.WithField("step", s.String()).Debug("change network")
	if s.Device != (Device{}) {
		if err := s.run(c.os); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		c.remember(s)
		return nil
	}
	if s.Op == Remove {
		if err := s.run(c.os); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", s, err)
		}
		c.forget(s)
		return c.crossOut(s)
	}
	_, ours := c.ids[s.key()]
	if !ours {
		id, err := c.j.Add(s.entry(have))
		if err != nil {
			return err
		}
		c.ids[s.key()] = id
	}
	err := s.run(c.os)
	switch {
	case ours && errors.Is(err, fs.ErrExist):
		// The snapshot is older than our own addition: nothing was lost.
	case err != nil:
		if !ours {
			// Somebody else's address or route is not adopted: undoing would take it away.
			_ = c.j.Done(c.ids[s.key()])
			delete(c.ids, s.key())
		}
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: somebody else has made it already: %w", s, err)
		}
		return fmt.Errorf("%s: %w", s, err)
	}
	c.remember(s)
	return nil
}

// remember takes an addition into what is applied.
func (c *Configurator) remember(s Step) {
	c.forget(s)
	switch {
	case s.Device != (Device{}):
		c.applied.Devices = append(c.applied.Devices, s.Device)
	case s.Addr != (Addr{}):
		c.applied.Addrs = append(c.applied.Addrs, s.Addr)
	default:
		c.applied.Routes = append(c.applied.Routes, s.Route)
	}
}

// forget takes a step's object out of what is applied.
func (c *Configurator) forget(s Step) {
	c.applied.Devices = without(c.applied.Devices, s.Device, func(d Device) Device { return Device{Link: d.Link} })
	c.applied.Addrs = without(c.applied.Addrs, s.Addr, func(a Addr) Addr { return a })
	c.applied.Routes = without(c.applied.Routes, s.Route, func(r Route) Route { return r })
}

// without returns list without what has the same identity as x.
func without[T comparable](list []T, x T, id func(T) T) []T {
	var out []T
	for _, v := range list {
		if id(v) != id(x) {
			out = append(out, v)
		}
	}
	return out
}
