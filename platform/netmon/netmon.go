// Package netmon watches the network state of the operating system: it says
// when something changed, and reads everything as one netstate.Snapshot.
//
// Notifications carry no content: they mean 'look again'. It changes nothing and
// decides nothing.
package netmon

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/platform/netstate"
)

// settle is how long further notifications are gathered after one was passed on. A
// kernel tells of a router's route and of the address that goes with it one after
// the other, so that this delays a new network's path.
const settle = 20 * time.Millisecond

// Monitor watches. Run owns one goroutine beside its own, inside the operating
// system's part, and waits for it.
type Monitor struct {
	log     logrus.FieldLogger
	changed chan struct{} // capacity 1; a full channel means that news is waiting already
}

// New returns a monitor. It starts nothing.
func New(log logrus.FieldLogger) (*Monitor, error) {
	return &Monitor{log: log, changed: make(chan struct{}, 1)}, nil
}

// Changed says that the state should be read again. The first change is passed
// on at once, those that follow within 20 ms as one. Run signals once when it has
// begun to watch, since nothing announces what changed before.
func (m *Monitor) Changed() <-chan struct{} { return m.changed }

// Snapshot reads the whole state now.
func (m *Monitor) Snapshot() (netstate.Snapshot, error) { return snapshot() }

// Run watches until ctx ends. A lost connection to the system's notifications
// is made anew.
func (m *Monitor) Run(ctx context.Context) error {
	raw := make(chan struct{}, 1) // filled by watch; full means that news is waiting
	done := make(chan error, 1)   // one value, from the goroutine below
	go func() { done <- watch(ctx, m.log, raw) }()
	return m.pass(raw, done)
}

// pass hands news on until watch is done.
func (m *Monitor) pass(raw <-chan struct{}, done <-chan error) error {
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	for {
		// Wait first and take the news after, so that what gathers is one.
		select {
		case err := <-done:
			return err
		case <-quiet.C:
		}
		select {
		case err := <-done:
			return err
		case <-raw:
		}
		select {
		case m.changed <- struct{}{}:
		default:
		}
		quiet.Reset(settle)
	}
}
