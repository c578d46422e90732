// Package endpoint runs the real agent on a machine in memory: a vnet.Host with
// the edges of the operating system that agent wants. It is how the lab plays
// without privilege, and on any operating system.
//
// What is not real here is the kernel alone: the agent, the translator, the plan
// and the journal of changes are the product's own. A service can be killed at any of
// its changes. Its tests play the list of package scenario.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/osinfo"
	"github.com/reach64/reach64/test/vnet"
	"github.com/reach64/reach64/tunnel/relay"
)

// edges are those of h for one service, which may be killed. Its changes are journalled
// in j.
func edges(h *vnet.Host, j *journal.Journal, log logrus.FieldLogger, l *life) agent.Edges {
	return agent.Edges{
		Monitor:   monitor{h},
		Configure: netcfg.NewOn(system{h, l}, j, log),
		OpenDevice: func(string, int) (agent.Device, error) {
			d, err := h.OpenTUN("clat0", 1500)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
		Steer: func(s agent.Steer) (agent.Steering, error) {
			if s.Translate != nil {
				return nil, errNoKernel
			}
			c, err := h.Steer(s.Device, s.Uplink, s.CLAT6, s.Prefixes)
			if err != nil {
				return nil, err
			}
			return steering{c}, nil
		},
		RA:        h,
		DialLink:  func(link string) agent.Dialer { return linkDialer{h, link} },
		DialFlows: func(link string) relay.Dialer { return linkDialer{h, link} },
		Dial:      h,
		Echo:      h.Echo,
		Foreign: func(s netstate.Snapshot, own int) (evidence, link string) {
			f, ok := osinfo.ForeignCLAT(s, osinfo.Own{Device: own})
			if !ok {
				return "", ""
			}
			return f.Evidence, f.Link
		},
	}
}

// monitor is the host's own notification.
type monitor struct{ h *vnet.Host }

func (m monitor) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (m monitor) Changed() <-chan struct{}             { return m.h.Changed() }
func (m monitor) Snapshot() (netstate.Snapshot, error) { return m.h.Snapshot(), nil }

// errNoKernel is why nothing is translated on the way here.
var errNoKernel = platform.Unsupported("translation in the kernel of a machine in memory")

// steering has no counters of its own.
type steering struct{ io.Closer }

func (steering) Change(s agent.Steer) error {
	if s.Translate != nil {
		return errNoKernel
	}
	return nil
}

func (steering) Mode() string                         { return "memory" }
func (steering) Counters() (map[string]uint64, error) { return nil, nil }

// linkDialer dials over the link of a name, "" whichever the routes say.
type linkDialer struct {
	h    *vnet.Host
	link string
}

func (d linkDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.link == "" {
		return d.h.DialContext(ctx, network, addr)
	}
	l, ok := d.h.Snapshot().LinkByName(d.link)
	if !ok {
		return nil, fmt.Errorf("dial %s over %s: no such link", addr, d.link)
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	family := "6"
	if ap.Addr().Is4() {
		family = "4"
	}
	return d.h.DialLink(ctx, l.Index, network[:3]+family, addr)
}

// system changes the host as netcfg wants a kernel to, as long as the service lives.
type system struct {
	h    *vnet.Host
	life *life
}

func (s system) SetDevice(d netcfg.Device) error {
	return s.life.change(func() error {
		return errors.Join(s.h.SetMTU(d.Link, d.MTU), s.h.SetLink(d.Link, true))
	})
}

// LinkIndex implements netcfg.Links.
func (s system) LinkIndex(name string) (int, error) {
	l, ok := s.h.Snapshot().LinkByName(name)
	if !ok {
		return 0, fs.ErrNotExist
	}
	return l.Index, nil
}

func (s system) has(a netcfg.Addr) bool {
	l, _ := s.h.Snapshot().Link(a.Link)
	return slices.ContainsFunc(l.Addrs, func(x netstate.Addr) bool { return x.Prefix == a.Prefix })
}

func (s system) AddAddr(a netcfg.Addr) error {
	if s.has(a) {
		return fs.ErrExist
	}
	return s.life.change(func() error { return s.h.AddAddr(a.Link, a.Prefix, a.Deprecated) })
}

func (s system) DelAddr(a netcfg.Addr) error {
	if !s.has(a) {
		return fs.ErrNotExist
	}
	return s.life.change(func() error { return s.h.RemoveAddr(a.Link, a.Prefix) })
}

func toRoute(r netcfg.Route) netstate.Route {
	return netstate.Route{Dst: r.Dst, Link: r.Link, Metric: r.Metric}
}

func (s system) hasRoute(r netcfg.Route) bool {
	return slices.Contains(s.h.Snapshot().Routes, toRoute(r))
}

func (s system) AddRoute(r netcfg.Route) error {
	if s.hasRoute(r) {
		return fs.ErrExist
	}
	return s.life.change(func() error { return s.h.AddRoute(toRoute(r)) })
}

func (s system) DelRoute(r netcfg.Route) error {
	if !s.hasRoute(r) {
		return fs.ErrNotExist
	}
	return s.life.change(func() error { return s.h.RemoveRoute(toRoute(r)) })
}
