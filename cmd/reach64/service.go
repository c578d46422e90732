package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent"
	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/metrics"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/footprint"
	"github.com/reach64/reach64/platform/svc"
)

// stopLimit is how long the service may take to undo its changes and end. The unit
// file's TimeoutStopSec is longer.
const stopLimit = 15 * time.Second

// trimAfter is when the start, or a change of network, is over.
const trimAfter = 15 * time.Second

// service is the agent with what belongs to the process around it: configuration
// files, the log, and the service manager. mu orders reloads and guards values.
type service struct {
	*agent.Agent
	logs    *logs
	metrics *metrics.Metrics
	load    func() (config.Config, []config.Value, []config.Layer, error)
	manager *svc.Manager
	inUse   atomic.Pointer[status.Configuration]
	*ring

	mu     sync.Mutex
	values []config.Value // in force
}

// Status is the agent's, with the configuration that is in use.
func (s *service) Status() status.Status {
	st := s.Agent.Status()
	st.Configuration = s.inUse.Load()
	return st
}

// took notes which files are in use now.
func (s *service) took(layers []config.Layer) {
	c := loaded(layers, time.Now())
	s.inUse.Store(&c)
}

// run tells the service manager how things are, and reloads on SIGHUP or when the
// manager says so, until ctx ends. The watchdog is fed by decisions alone, and asks
// for one twice in its time: a service whose loop hangs is started anew.
func (s *service) run(ctx context.Context) error {
	changed, stop := s.Watch()
	defer stop()
	hup := make(chan os.Signal, 1) // one that waits stands for all
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	defer s.manager.Stopping()
	var watchdog <-chan time.Time // nil: nobody watches
	if every := s.manager.Watchdog(); every > 0 {
		t := time.NewTicker(every / 2)
		defer t.Stop()
		watchdog = t.C
	}
	trim := time.NewTimer(trimAfter)
	defer trim.Stop()
	ready, last := false, ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-trim.C:
			footprint.Trim()
		case <-watchdog:
			ask, cancel := context.WithTimeout(ctx, s.manager.Watchdog()/2)
			if s.Alive(ask) == nil {
				s.manager.Alive()
			}
			cancel()
		case <-hup:
			s.manager.Reloading()
			_, _ = s.Reload(ctx) // logged
			s.manager.Ready()
		case e := <-s.manager.Events():
			if e == svc.Resumed {
				s.Refresh()
				continue
			}
			_, _ = s.Reload(ctx) // logged
		case <-changed:
			if !ready {
				s.manager.Ready()
				ready = true
			}
			s.manager.Alive()
			st := s.Status()
			if line := fmt.Sprintf("%s, path %s: %s", st.Class, st.Path, st.Sentence); line != last {
				s.manager.Status(line)
				last = line
				trim.Reset(trimAfter)
			}
		}
	}
}

// Metrics serves them on the control socket.
func (s *service) Metrics() http.Handler { return s.metrics.Handler() }

// Reload reads the configuration again and goes over to it. A bad one is refused
// whole; the old one stays.
func (s *service) Reload(ctx context.Context) (control.Reloaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.logs.log
	conf, values, layers, err := s.load()
	if err == nil {
		err = s.logs.apply(conf.Log)
	}
	if err != nil {
		log.WithError(err).Error("configuration refused, the old one stays")
		return control.Reloaded{}, err
	}
	restart, err := s.Agent.Reload(ctx, conf)
	if err != nil {
		return control.Reloaded{}, fmt.Errorf("apply configuration: %w", err)
	}
	s.took(layers)
	changed := config.Diff(s.values, values)
	s.values = values
	log.WithFields(logrus.Fields{"changed": strings.Join(changed, " "), "restart_needed_for": strings.Join(restart, " ")}).Info("configuration reloaded")
	return control.Reloaded{Changed: append([]string{}, changed...), Restart: append([]string{}, restart...)}, nil
}

// SetLogLevel changes the level until the next reload or start.
func (s *service) SetLogLevel(level string) error {
	for _, known := range config.LogLevels {
		if level == known {
			l, err := logrus.ParseLevel(level)
			if err != nil {
				return fmt.Errorf("set log level: %w", err)
			}
			s.logs.log.SetLevel(l)
			s.logs.log.WithField("level", level).Warn("log level set by an administrator")
			return nil
		}
	}
	return fmt.Errorf("log level %q is none of %s", level, strings.Join(config.LogLevels, ", "))
}

// within runs do, and when that has not ended limit after ctx, writes what all
// goroutines are at and ends the process: the next start undoes what is left.
func within(ctx context.Context, limit time.Duration, stderr io.Writer, do func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
	}
	fmt.Fprintf(stderr, "reach64: still not stopped after %v; the next start, or reach64 cleanup, undoes what is left. Goroutines:\n", limit)
	_ = pprof.Lookup("goroutine").WriteTo(stderr, 2)
	return fmt.Errorf("stop the service: not done after %v", limit)
}
