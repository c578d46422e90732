// Package netmon watches the network state of the operating system: it says
// when something changed - links, addresses, routes and rules, the name servers that
// files and the message bus tell of, DHCP leases, the clock - and reads everything as
// one netstate.Snapshot.
//
// Notifications carry no content: they mean 'look again'. It changes nothing and
// decides nothing.
package netmon

import (
	"context"
	"sync/atomic"
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
	root    string                // of the file system, "/" but in tests
	changed chan struct{}         // capacity 1; a full channel means that news is waiting already
	bus     atomic.Pointer[known] // what the message bus tells of name servers; nil: nothing
}

// New returns a monitor. It starts nothing.
func New(log logrus.FieldLogger) (*Monitor, error) {
	return &Monitor{log: log, root: "/", changed: make(chan struct{}, 1)}, nil
}

// Changed says that the state should be read again. The first change is passed
// on at once, those that follow within 20 ms as one. Run signals once when it has
// begun to watch, since nothing announces what changed before.
func (m *Monitor) Changed() <-chan struct{} { return m.changed }

// Snapshot reads the whole state now.
func (m *Monitor) Snapshot() (netstate.Snapshot, error) { return m.snapshot() }

// Run watches until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	defer m.bus.Store(nil)        // nobody hears of its changes any more
	raw := make(chan struct{}, 1) // filled by watch; full means that news is waiting
	done := make(chan error, 1)   // one value, from the goroutine below
	go func() { done <- m.watch(ctx, raw) }()
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
