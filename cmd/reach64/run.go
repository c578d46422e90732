package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/agent"
	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/metrics"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/ipc"
	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/svc"
	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/tunnel/bpf"
)

func runCommand() *cobra.Command {
	var from configuration
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the service in the foreground",
		RunE: func(c *cobra.Command, _ []string) error {
			return svc.Run(c.Context(), func(ctx context.Context) error {
				return within(ctx, stopLimit, c.ErrOrStderr(), func(ctx context.Context) error { return serve(ctx, c.ErrOrStderr(), from) })
			})
		},
	}
	from.flags(c)
	return c
}

// serve runs the service until ctx ends.
func serve(ctx context.Context, stderr io.Writer, from configuration) (err error) {
	if err := paths.Secure(); err != nil {
		return permission(err)
	}
	stderr, err = svc.Output(stderr, openServiceLog)
	if err != nil {
		return permission(fmt.Errorf("open log: %w", err))
	}
	log := newLog(stderr)
	if hook := svc.Hook(); hook != nil {
		log.AddHook(hook)
		// Nobody reads what main prints.
		defer func() {
			if err != nil {
				log.WithError(err).Error("the service has to end")
			}
		}()
	}
	conf, values, layers, err := from.whole()
	if err != nil {
		return &exit{status.ExitConfig, err}
	}
	out := &logs{log: log, stderr: stderr, kept: newRing()}
	if err := out.apply(conf.Log); err != nil {
		return &exit{status.ExitConfig, err}
	}
	defer out.close()
	checks := []func() error{tun.Check}
	if d := conf.Path.Datapath; d != config.DatapathAuto && d != config.DatapathRelay { // which do without
		checks = append(checks, bpf.Check)
	}
	for _, check := range checks {
		if err := check(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return permission(fmt.Errorf("check what the CLAT needs: %w", err))
		}
	}
	held, err := acquire()
	if err != nil {
		return err
	}
	defer held.Close()
	undone, err := undo(ctx, log)
	for _, u := range undone {
		log.WithField("undone", u).Warn("undone what an earlier service left behind")
	}
	if err != nil {
		return permission(err)
	}
	s := &service{logs: out, load: from.whole, values: values, ring: out.kept}
	s.took(layers)
	return serveLocked(ctx, conf, s)
}

// serveLocked runs the agent and its control socket.
func serveLocked(ctx context.Context, conf config.Config, s *service) error {
	log := s.logs.log
	j, err := journal.Open(journalFile())
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	defer j.Close()
	edges, closeEdges, err := agent.SystemEdges(log, j)
	if err != nil {
		return permission(err)
	}
	defer closeEdges()
	if edges.Secret, err = secret(); err != nil {
		return err
	}
	s.metrics = metrics.New(version)
	edges.Observer = s.metrics
	a, err := agent.New(log, conf, edges, os.Getpid())
	if err != nil {
		return err
	}
	socket := conf.Control.Socket
	if socket == "" {
		socket = paths.Socket()
	}
	listener, err := ipc.Listen(socket)
	if err != nil {
		return permission(fmt.Errorf("listen on control socket: %w", err))
	}
	log.WithFields(logrus.Fields{"version": version, "socket": socket, "pid": os.Getpid()}).Info("reach64 started")
	if err := svc.Hazard(); err != nil {
		log.WithError(err).Warn("the service is installed in a dangerous way")
	}
	s.Agent, s.manager = a, svc.Connect(log)
	s.metrics.Show(a.Status)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(gctx) })
	g.Go(func() error { return control.NewServer(log, version, s).Run(gctx, listener) })
	g.Go(func() error { return s.run(gctx) })
	if listen := conf.Metrics.Listen; listen.IsValid() {
		g.Go(func() error { return s.metrics.Serve(gctx, log, listen) })
	}
	if err := g.Wait(); err != nil {
		return permission(err)
	}
	log.Info("reach64 stopped")
	return nil
}

func newLog(w io.Writer) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(w)
	return log
}

// permission gives an error that the operating system refused its exit code.
func permission(err error) error {
	var p *platform.PermissionError
	if errors.As(err, &p) || errors.Is(err, fs.ErrPermission) {
		return &exit{status.ExitNotPermitted, err}
	}
	return err
}

func journalFile() string { return filepath.Join(paths.StateDir(), "journal") }
func lockFile() string    { return filepath.Join(paths.RunDir(), "reach64.lock") }

// undo takes back what the journal of a dead service still holds.
func undo(ctx context.Context, log logrus.FieldLogger) ([]string, error) {
	j, err := journal.Open(journalFile())
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer j.Close()
	undone, err := netcfg.New(j, log).Undo(ctx)
	if err != nil {
		return undone, fmt.Errorf("undo what was left behind: %w", err)
	}
	// Filters of the clsact steering outlive a killed process and tell by
	// themselves whose they were.
	links, err := net.Interfaces()
	if err != nil {
		return undone, fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if err := bpf.CleanClsact(l.Name); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return undone, fmt.Errorf("remove filters left on %s: %w", l.Name, err)
		}
	}
	return undone, nil
}

// secret returns the bytes from which CLAT addresses are derived, made once for
// this machine (RFC 7217 section 5).
func secret() ([]byte, error) {
	file := filepath.Join(paths.StateDir(), "secret")
	b, err := os.ReadFile(file)
	if err == nil && len(b) == 32 {
		return b, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, permission(fmt.Errorf("read secret: %w", err))
	}
	b = make([]byte, 32)
	_, _ = rand.Read(b) // never fails, crypto/rand
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, permission(fmt.Errorf("write secret: %w", err))
	}
	return b, nil
}
