package control

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/ipc"
)

// watched is a service whose status changes when it is told to.
type watched struct {
	fake
	mu      sync.Mutex
	st      status.Status
	clients map[chan struct{}]bool
}

func (w *watched) Status() status.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.st
}

func (w *watched) Watch() (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{}, 1)
	if w.clients == nil {
		w.clients = map[chan struct{}]bool{}
	}
	w.clients[c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.clients, c)
	}
}

func (w *watched) set(change func(*status.Status)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.st)
	for c := range w.clients {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func TestWatchSendsWhatChanges(t *testing.T) {
	svc := &watched{st: status.Status{Class: "offline"}}
	socket := serve(t, svc)
	enough := errors.New("enough")
	var seen []string
	err := Watch(t.Context(), socket, func(doc []byte) error {
		var d struct {
			Schema int
			Result status.Status
		}
		if err := json.Unmarshal(doc, &d); err != nil || d.Schema != 1 {
			t.Errorf("document %s: %v", doc, err)
		}
		seen = append(seen, d.Result.Class)
		switch len(seen) {
		case 1:
			svc.set(func(s *status.Status) { s.Counters = map[string]uint64{"x": 1} }) // nothing to be told
			svc.set(func(s *status.Status) { s.Class = "dual-stack" })
		case 2:
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || len(seen) != 2 || seen[0] != "offline" || seen[1] != "dual-stack" {
		t.Errorf("%v, saw %v", err, seen)
	}
}

func TestWatchEndsWithTheClient(t *testing.T) {
	svc := &watched{}
	ctx, cancel := context.WithCancel(t.Context())
	err := Watch(ctx, serve(t, svc), func([]byte) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestWatchNeedsAService(t *testing.T) {
	if err := Watch(t.Context(), filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, ipc.ErrNotRunning) {
		t.Errorf("err = %v", err)
	}
	if err := Watch(t.Context(), serve(t, &fake{}), nil); err == nil {
		t.Error("a service that cannot be watched gives no error")
	}
}

// More than may watch are refused, and when one goes another may.
func TestWatchersAreBounded(t *testing.T) {
	svc := &watched{}
	socket := serve(t, svc)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	started := make(chan struct{}, maxWatchers)
	for range maxWatchers {
		wg.Go(func() {
			_ = Watch(ctx, socket, func([]byte) error { started <- struct{}{}; return nil })
		})
	}
	for range maxWatchers {
		<-started
	}
	if err := Watch(t.Context(), socket, nil); err == nil {
		t.Error("one too many may watch")
	}
	cancel()
	wg.Wait()
}
