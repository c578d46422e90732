package endpoint

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/agent"
	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/test/vnet"
)

// Access is an access network: a router on a cable to one of the host's links.
type Access struct {
	Link    string // eth0 is the first one's, whatever this says
	Options vnet.Options
	Down    bool // the link, at first
	Tunnel  bool // the link looks like a tunnel
	Nowhere bool // the network leads to no server
}

// World is a whole network in memory: an IPv4 Internet, routers that make access
// networks, the first of which is IPv6-only, and a host on them.
type World struct {
	Host     *vnet.Host
	Router   *vnet.Router            // of eth0
	Routers  map[string]*vnet.Router // by link
	Internet *vnet.Internet
	System

	empty  *vnet.Internet // where networks that lead nowhere lead
	cancel context.CancelFunc
	group  *errgroup.Group
}

// System is the operating system in what is not the network. It is set before Start.
type System struct {
	NoSteering error            // what becomes of every attempt to steer packets, nil: it works
	NoDevice   error            // likewise of devices
	Policy     agent.ReadPolicy // DirectAccess; nil: there is none
	Roots      *x509.CertPool   // of the system; nil: the real one's
	Secret     []byte           // of the machine; nil: another one at each start
	Death      Death            // of the services that are started

	lease atomic.Pointer[string]
}

// SetLease sets the evidence that DHCP asked to do without IPv4 (RFC 8925), "" none.
// The host has no DHCP, so this is what a client of it has written.
func (s *System) SetLease(evidence string) { s.lease.Store(&evidence) }

func (s *System) mostly(netstate.Snapshot) string {
	if p := s.lease.Load(); p != nil {
		return *p
	}
	return ""
}

// NewWorld is NewWorldOf with one access network.
func NewWorld(opts vnet.Options) (*World, error) { return NewWorldOf(Access{Options: opts}) }

// NewWorldOf starts a world, which runs until Close. It owns one goroutine for each
// router and one for the host.
func NewWorldOf(first Access, more ...Access) (*World, error) {
	w := &World{Routers: make(map[string]*vnet.Router), group: new(errgroup.Group)}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	first.Link = "eth0"
	var err1, err2 error
	w.Internet, err1 = vnet.NewInternet()
	w.empty, err2 = vnet.NewInternet()
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(fmt.Errorf("make internet: %w", err), w.Close())
	}
	var cables []vnet.FramePort
	var links []vnet.HostLink
	for _, a := range append([]Access{first}, more...) {
		near, far := vnet.Pipe()
		wan := w.Internet
		if a.Nowhere {
			wan = w.empty
		}
		a.Options.Dial6 = wan // servers may have IPv6 addresses of their own
		r, err := vnet.New(a.Options, far, wan)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make router: %w", err), w.Close())
		}
		w.Routers[a.Link] = r
		w.group.Go(func() error { return r.Run(ctx) })
		cables = append(cables, near)
		links = append(links, vnet.HostLink{Name: a.Link, Port: near, Down: a.Down, Tunnel: a.Tunnel})
	}
	w.Router = w.Routers[first.Link]
	var err error
	if w.Host, err = vnet.NewHost(vnet.HostOptions{More: links[1:]}, cables[0]); err != nil {
		return nil, errors.Join(fmt.Errorf("make host: %w", err), w.Close())
	}
	w.group.Go(func() error { return w.Host.Run(ctx) })
	return w, nil
}

// Close ends everything.
func (w *World) Close() error {
	w.cancel()
	err := w.group.Wait()
	for _, i := range []*vnet.Internet{w.Internet, w.empty} {
		if i != nil {
			err = errors.Join(err, i.Close())
		}
	}
	return err
}

// Link is the index of the host's link of that name, 0 for none.
func (w *World) Link(name string) int {
	l, _ := w.Host.Snapshot().LinkByName(name)
	return l.Index
}

// Service is a running agent.
type Service struct {
	Agent  *agent.Agent
	life   *life
	cancel context.CancelFunc
	done   chan error // one value: what Run returned
}

// Start starts the real agent on the world's host. text is a configuration
// file; state is the folder of its journal.
func (w *World) Start(text, state string, log logrus.FieldLogger) (*Service, error) {
	none := func(name string) ([]byte, error) { return nil, fmt.Errorf("open %s: there are no files here", name) }
	return w.StartWith(text, none, state, log)
}

// StartWith is Start with files that the configuration names.
func (w *World) StartWith(text string, read config.ReadFile, state string, log logrus.FieldLogger) (*Service, error) {
	conf, err := config.Parse("memory", []byte(text), read)
	if err != nil {
		return nil, err
	}
	if _, err := w.Cleanup(state, log); err != nil {
		return nil, err
	}
	file := journalIn(state)
	j, err := journal.Open(file)
	if err != nil {
		return nil, err
	}
	l := newLife(file, w.Death)
	a, err := agent.New(log, conf, w.edges(j, log, l), 1)
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Service{Agent: a, life: l, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- errors.Join(a.Run(ctx), j.Close(), l.bury()) }()
	return s, nil
}

func journalIn(state string) string { return filepath.Join(state, "journal") }

// Cleanup undoes what a service that was killed has left, as each start does, and
// returns what that was.
func (w *World) Cleanup(state string, log logrus.FieldLogger) (undone []string, err error) {
	j, err := journal.Open(journalIn(state))
	if err != nil {
		return nil, err
	}
	undone, err = netcfg.NewOn(system{w.Host, immortal()}, j, log).Undo(context.Background())
	return undone, errors.Join(err, j.Close())
}

// edges are those of the world's host and system.
func (w *World) edges(j *journal.Journal, log logrus.FieldLogger, l *life) agent.Edges {
	e := edges(w.Host, j, log, l)
	e.Mostly, e.Roots, e.Secret = w.mostly, w.Roots, w.Secret
	if err := w.NoSteering; err != nil {
		e.Steer = func(agent.Steer) (agent.Steering, error) { return nil, err }
	}
	if err := w.NoDevice; err != nil {
		e.OpenDevice = func(string, int) (agent.Device, error) { return nil, err }
	}
	if w.Policy != nil {
		agent.UseDirectAccess(&e, log, w.Policy)
	}
	return e
}

// Stop ends the agent, which undoes its changes, and waits.
func (s *Service) Stop() error {
	s.cancel()
	return <-s.done
}

// Kill ends the agent without a chance to undo anything, as kill -9 does, and waits.
// What goes with a process goes: its devices, with their addresses and routes.
func (s *Service) Kill() error {
	s.life.kill()
	return s.Stop()
}

// Died is closed when the service has died at a change, as System.Death says.
func (s *Service) Died() <-chan struct{} { return s.life.died }

// ServerAddr is where the worlds of tests and demo put the backup server.
var ServerAddr = netip.MustParseAddrPort("198.51.100.10:8443")
