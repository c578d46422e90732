package metrics

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
)

// retry is the wait before an address that is taken is tried again.
const retry = 30 * time.Second

// Serve serves the metrics by HTTP at /metrics until ctx ends. An address that cannot
// be had is no reason to end: it is logged once and tried again. It owns its
// goroutines and waits for them.
func (m *Metrics) Serve(ctx context.Context, log logrus.FieldLogger, listen netip.AddrPort) error {
	var config net.ListenConfig
	for told := false; ; {
		l, err := config.Listen(ctx, "tcp", listen.String())
		if err == nil {
			log.WithField("address", listen.String()).Info("metrics are served")
			err = m.serve(ctx, l)
		}
		if ctx.Err() != nil {
			return nil
		}
		if !told {
			log.WithError(err).WithField("address", listen.String()).Warn("metrics cannot be served; will go on trying")
			told = true
		}
		timer := time.NewTimer(retry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (m *Metrics) serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1) // one value, from the goroutine below
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		_ = srv.Close()
		return <-done
	}
}
