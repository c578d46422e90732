package netcfg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/reach64/reach64/platform/journal"
)

// Undo takes back what the journal says a dead process has left, and returns
// what it took back. What is gone already is crossed out. A link is recognised
// by its name and not by its index, which may be another's by now.
func (c *Configurator) Undo(ctx context.Context) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var undone []string
	var errs []error
	if n := c.j.Damaged(); n > 0 {
		c.log.WithField("lines", n).Warn("journal has damaged lines; what they stood for is not undone")
	}
	entries := c.j.Entries()
	// Newest first: routes before the addresses that they need.
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		err := c.undo(e)
		switch {
		case err == nil:
			undone = append(undone, e.String())
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("undo %s: %w", e, err))
			continue
		}
		if err := c.j.Done(e.ID); err != nil {
			errs = append(errs, err)
		}
	}
	return undone, errors.Join(errs...)
}

func (c *Configurator) undo(e journal.Entry) error {
	if e.Link == "" {
		return fs.ErrNotExist // a link that nobody knew the name of has gone since
	}
	if e.Kind != journal.Address && e.Kind != journal.Route || !e.Prefix.IsValid() {
		// Of another version; keeping it would keep the service from starting.
		c.log.WithField("entry", e.String()).Warn("journal has an entry that cannot be undone")
		return fs.ErrNotExist
	}
	index, err := c.link(e.Link)
	if err != nil {
		return err
	}
	if e.Kind == journal.Route {
		return c.os.DelRoute(Route{Link: index, Dst: e.Prefix, Metric: e.Metric})
	}
	return c.os.DelAddr(Addr{Link: index, Prefix: e.Prefix})
}
