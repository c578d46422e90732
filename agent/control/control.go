// Package control is the local API of the service: HTTP and JSON over the
// control socket. Every local user may read; only an administrator may ask for
// a change.
//
// It serves documents that others make (agent/status) and never blocks on them.
// The socket and the peer's identity are platform/ipc's.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/ipc"
)

// Service is what the API serves.
type Service interface {
	Status() status.Status
	Refresh() // look for prefixes and probe the servers again now
}

// Measured is a Service with metrics, in the text format of Prometheus.
type Measured interface{ Metrics() http.Handler }

// Server serves the API on one listener.
type Server struct {
	svc     Service
	version string
	log     logrus.FieldLogger
	// watchers holds a value for each connection that watches; ending is closed when
	// they have to end.
	watchers chan struct{}
	ending   chan struct{}
}

// NewServer returns a server of svc. It starts nothing.
func NewServer(log logrus.FieldLogger, version string, svc Service) *Server {
	return &Server{svc: svc, version: version, log: log, watchers: make(chan struct{}, maxWatchers), ending: make(chan struct{})}
}

// peerKey is the context key of the connection's ipc.Peer.
type peerKey struct{}

// Run serves on l until ctx ends, and closes l. It is called once. It owns the HTTP server's
// goroutines and waits for them.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("GET /v1/watch", s.watch)
	mux.HandleFunc("GET /v1/logs", s.logs)
	mux.HandleFunc("GET /v1/goroutines", s.goroutines)
	if m, ok := s.svc.(Measured); ok {
		mux.Handle("GET /v1/metrics", m.Metrics())
	}
	mux.HandleFunc("POST /v1/refresh", s.refresh)
	mux.HandleFunc("POST /v1/reload", s.reload())
	mux.HandleFunc("POST /v1/pause", s.pause())
	mux.HandleFunc("POST /v1/resume", s.resume())
	mux.HandleFunc("POST /v1/log-level", s.logLevel())
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			peer, err := ipc.PeerOf(c)
			if err != nil {
				s.log.WithError(err).Debug("read peer credentials")
			}
			return context.WithValue(ctx, peerKey{}, peer)
		},
	}
	done := make(chan error, 1) // one value, from the goroutine below
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve control socket: %w", err)
	case <-ctx.Done():
	}
	close(s.ending)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control socket: %w", err)
	}
	return nil
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	s.reply(w, http.StatusOK, s.svc.Status())
}

func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	peer, _ := r.Context().Value(peerKey{}).(ipc.Peer)
	if !peer.Admin {
		s.reply(w, http.StatusForbidden, Problem{Error: fmt.Sprintf("%s may read, but only an administrator may ask for a change", peer)})
		return
	}
	s.svc.Refresh()
	s.reply(w, http.StatusOK, struct{}{})
}

// Problem is the result of a request that was refused.
type Problem struct {
	Error string `json:"error"`
}

func (s *Server) reply(w http.ResponseWriter, code int, result any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(status.Wrap(time.Now(), s.version, result)); err != nil {
		s.log.WithError(err).Debug("write control answer")
	}
}

// ErrForbidden is returned when the service refuses a change to this user.
var ErrForbidden = errors.New("only an administrator may ask for a change")

// maxAnswer bounds what a client reads of an answer, in bytes.
const maxAnswer = 16 << 20

// Get fetches a document, such as "/v1/status", from the service behind socket
// and returns it unchanged. It gives ipc.ErrNotRunning when nobody listens.
func Get(ctx context.Context, socket, path string) ([]byte, error) {
	return call(ctx, socket, http.MethodGet, path)
}

// Post asks the service behind socket for a change, such as "/v1/refresh".
func Post(ctx context.Context, socket, path string) ([]byte, error) {
	return call(ctx, socket, http.MethodPost, path)
}

func call(ctx context.Context, socket, method, path string) ([]byte, error) {
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return ipc.Dial(ctx, socket) },
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://reach64"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("ask service at %s: %w", socket, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read answer of service: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusForbidden:
		return nil, ErrForbidden
	case http.StatusUnprocessableEntity:
		return nil, refused(body)
	}
	return nil, fmt.Errorf("ask service for %s: it answered %s", path, resp.Status)
}
