package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/agent"
	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/test/vnet"
)

// World is a whole network in memory: an IPv4 Internet, a router that makes an
// IPv6-only access network, and a host on it.
type World struct {
	Host     *vnet.Host
	Router   *vnet.Router
	Internet *vnet.Internet
	// NoSteering, if set, is what becomes of every attempt to steer packets.
	NoSteering error

	cancel context.CancelFunc
	group  *errgroup.Group
}

// NewWorld starts a world, which runs until Close. It owns one goroutine for the
// router and one for the host.
func NewWorld(opts vnet.Options) (*World, error) {
	near, far := vnet.Pipe()
	inet, err := vnet.NewInternet()
	if err != nil {
		return nil, fmt.Errorf("make internet: %w", err)
	}
	opts.Dial6 = inet // servers may have IPv6 addresses of their own
	w := &World{Internet: inet, group: new(errgroup.Group)}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	if w.Router, err = vnet.New(opts, far, inet); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("make router: %w", err), inet.Close())
	}
	w.group.Go(func() error { return w.Router.Run(ctx) })
	if w.Host, err = vnet.NewHost(vnet.HostOptions{}, near); err != nil {
		return nil, errors.Join(fmt.Errorf("make host: %w", err), w.Close())
	}
	w.group.Go(func() error { return w.Host.Run(ctx) })
	return w, nil
}

// Close ends everything.
func (w *World) Close() error {
	w.cancel()
	err := w.group.Wait()
	return errors.Join(err, w.Internet.Close())
}

// Service is a running agent.
type Service struct {
	Agent  *agent.Agent
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
	j, err := journal.Open(filepath.Join(state, "journal"))
	if err != nil {
		return nil, err
	}
	e := Edges(w.Host, j, log)
	if w.NoSteering != nil {
		e.Steer = func(agent.Steer) (agent.Steering, error) { return nil, w.NoSteering }
	}
	a, err := agent.New(log, conf, e, 1)
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Service{Agent: a, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- errors.Join(a.Run(ctx), j.Close()) }()
	return s, nil
}

// Stop ends the agent, which undoes its changes, and waits.
func (s *Service) Stop() error {
	s.cancel()
	return <-s.done
}

// ServerAddr is where the worlds of tests and demo put the backup server.
var ServerAddr = netip.MustParseAddrPort("198.51.100.10:8443")
