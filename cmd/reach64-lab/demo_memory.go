package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/backup"
	"github.com/reach64/reach64/test/vnet"
	"github.com/reach64/reach64/test/vnet/endpoint"
)

// memoryStage is the same network inside this process: gVisor's stack in the
// place of the kernel's, everything above it the product's own.
type memoryStage struct {
	dir     string
	world   *endpoint.World
	ca      *backup.CA
	service *endpoint.Service
	stop    context.CancelFunc
	served  chan error // one value: what the server returned
}

func newMemoryStage(_ context.Context, dir string) (stage, error) {
	addr := netip.MustParseAddrPort(demoServer + ":" + demoPort)
	world, err := endpoint.NewWorld(vnet.Options{Prefix: nat64.MustParse(demoPrefix), PIO: netip.MustParsePrefix(demoLAN)})
	if err != nil {
		return nil, err
	}
	s := &memoryStage{dir: dir, world: world, stop: func() {}, served: make(chan error, 1)}
	if s.ca, err = backup.NewCA(); err != nil {
		return nil, errors.Join(err, world.Close())
	}
	cfg, err := s.ca.Server(demoServer)
	if err != nil {
		return nil, errors.Join(err, world.Close())
	}
	l, err := world.Internet.Listen(addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start backup server: %w", err), world.Close())
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	go func() { s.served <- backup.Serve(ctx, l, cfg, filepath.Join(dir, "store")) }()
	return s, nil
}

func (s *memoryStage) Describe() string {
	return fmt.Sprintf(`  endpoint                      router                          server
  eth0, only IPv6  -----------  RA with PREF64, DNS64
                                NAT64 %s  ---------  %s:%s, only IPv4, TLS
  (all inside this process)`, demoPrefix, demoServer, demoPort)
}

func (s *memoryStage) Start(context.Context) error {
	log := logrus.New()
	f, err := os.Create(filepath.Join(s.dir, "reach64.log"))
	if err != nil {
		return fmt.Errorf("make log file: %w", err)
	}
	log.SetOutput(f) // closed with the process
	text := fmt.Sprintf("[[server]]\nname = %q\nport = %s\nca_file = \"ca.pem\"\n", demoServer, demoPort)
	pem := func(string) ([]byte, error) { return s.ca.PEM(), nil }
	s.service, err = s.world.StartWith(text, pem, filepath.Join(s.dir, "state"), log)
	return err
}

func (s *memoryStage) Stop(context.Context) error {
	if s.service == nil {
		return nil
	}
	svc := s.service
	s.service = nil
	return svc.Stop()
}

func (s *memoryStage) Status(context.Context) (status.Status, error) {
	if s.service == nil {
		return status.Status{}, errNoService
	}
	return s.service.Agent.Status(), nil
}

func (s *memoryStage) tls() *tls.Config { return s.ca.Client() }

func (s *memoryStage) Backup(ctx context.Context, src string, progress io.Writer) (string, error) {
	id, _, err := backup.Backup(ctx, s.world.Host.DialContext, demoServer+":"+demoPort, s.tls(), src, tenths(progress, "saved"))
	return id, err
}

func (s *memoryStage) Restore(ctx context.Context, id, dst string, progress io.Writer) error {
	_, err := backup.Restore(ctx, s.world.Host.DialContext, demoServer+":"+demoPort, s.tls(), id, dst, tenths(progress, "restored"))
	return err
}

// tenths writes a line for each tenth that is done.
func tenths(w io.Writer, what string) backup.Progress {
	last := int64(-1)
	return func(done, total int64) {
		if total <= 0 || done*10/total == last {
			return
		}
		last = done * 10 / total
		fmt.Fprintf(w, "%s %d %%\n", what, last*10)
	}
}

func (s *memoryStage) Settled() (bool, error) {
	l, ok := s.world.Host.Snapshot().Link(vnet.Uplink)
	return ok && len(l.Usable6()) > 0, nil
}

func (s *memoryStage) State() (string, error) {
	snap, out := s.world.Host.Snapshot(), ""
	for _, l := range snap.Links {
		out += fmt.Sprintln(l.Name, l.Up, l.MTU)
		for _, a := range l.Addrs {
			out += fmt.Sprintln("  ", a.Prefix)
		}
	}
	for _, r := range snap.Routes {
		out += fmt.Sprintln(r.Dst, r.Gateway, r.Link, r.Metric)
	}
	return out, nil
}

// Close ends the service, the server and the network.
func (s *memoryStage) Close() error {
	err := s.Stop(context.Background())
	s.stop()
	return errors.Join(err, <-s.served, s.world.Close())
}
