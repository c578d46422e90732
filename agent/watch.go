package agent

import "sync"

// watchers are told after each decision that the status may have changed. mu
// guards the set; each channel has capacity 1, and a full one means that news is
// waiting already.
type watchers struct {
	mu  sync.Mutex
	set map[chan struct{}]bool
}

// Watch returns a channel that gets a value after each decision, and what ends
// that. Safe for concurrent use.
func (a *Agent) Watch() (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w := &a.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.set == nil {
		w.set = map[chan struct{}]bool{}
	}
	w.set[c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.set, c)
	}
}

func (w *watchers) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.set {
		notify(c)
	}
}
