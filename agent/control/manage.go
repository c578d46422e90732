package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/ipc"
)

// Managed is a Service that an administrator can tell more. Errors are of the
// request, such as a configuration that is not valid: nothing was changed then.
type Managed interface {
	Reload(ctx context.Context) (Reloaded, error)
	Pause(ctx context.Context, d time.Duration) error // 0: until Resume
	Resume(ctx context.Context) error
	SetLogLevel(level string) error
}

// Reloaded is what a reload did.
type Reloaded struct {
	// Changed are the keys that differ from before.
	Changed []string `json:"changed"`
	// Restart are the keys that differ from those at the start and take effect when the service starts anew.
	Restart []string `json:"restart"`
}

// MaxPause bounds a pause with a time.
const MaxPause = 30 * 24 * time.Hour

// orderLimit is how long the service may take to carry out an order.
const orderLimit = 8 * time.Second

// change wraps what only an administrator may ask for.
func (s *Server) change(do func(ctx context.Context, svc Managed, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		svc, ok := s.svc.(Managed)
		if !ok {
			http.NotFound(w, r)
			return
		}
		if peer, _ := r.Context().Value(peerKey{}).(ipc.Peer); !peer.Admin {
			s.reply(w, http.StatusForbidden, Problem{Error: fmt.Sprintf("%s may read, but only an administrator may ask for a change", peer)})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), orderLimit)
		defer cancel()
		result, err := do(ctx, svc, r)
		if err != nil {
			s.reply(w, http.StatusUnprocessableEntity, Problem{Error: err.Error()})
			return
		}
		s.reply(w, http.StatusOK, result)
	}
}

func (s *Server) reload() http.HandlerFunc {
	return s.change(func(ctx context.Context, svc Managed, _ *http.Request) (any, error) { return svc.Reload(ctx) })
}

func (s *Server) pause() http.HandlerFunc {
	return s.change(func(ctx context.Context, svc Managed, r *http.Request) (any, error) {
		var d time.Duration
		if text := r.FormValue("for"); text != "" {
			var err error
			if d, err = time.ParseDuration(text); err != nil || d <= 0 || d > MaxPause {
				return nil, fmt.Errorf("%q is not a time up to %v, such as 2h", text, MaxPause)
			}
		}
		return struct{}{}, svc.Pause(ctx, d)
	})
}

func (s *Server) resume() http.HandlerFunc {
	return s.change(func(ctx context.Context, svc Managed, _ *http.Request) (any, error) {
		return struct{}{}, svc.Resume(ctx)
	})
}

func (s *Server) logLevel() http.HandlerFunc {
	return s.change(func(_ context.Context, svc Managed, r *http.Request) (any, error) {
		return struct{}{}, svc.SetLogLevel(r.FormValue("level"))
	})
}

// RefusedError is the service's reason for not doing what it was asked for.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// refused reads the reason out of an answer.
func refused(body []byte) error {
	var doc struct{ Result Problem }
	if err := json.Unmarshal(body, &doc); err != nil || doc.Result.Error == "" {
		return errors.New("the service refused, and gave no reason")
	}
	return &RefusedError{doc.Result.Error}
}

// Reload asks the service behind socket to read its configuration again.
func Reload(ctx context.Context, socket string) (Reloaded, error) {
	body, err := Post(ctx, socket, "/v1/reload")
	if err != nil {
		return Reloaded{}, err
	}
	var doc struct {
		Schema int
		Result Reloaded
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return Reloaded{}, fmt.Errorf("read answer of service: %w", err)
	}
	if doc.Schema != status.Schema {
		return Reloaded{}, fmt.Errorf("read answer of service: its schema is %d, this program's %d", doc.Schema, status.Schema)
	}
	return doc.Result, nil
}
