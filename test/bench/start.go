package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/reach64/reach64/test/bench/report"
)

// device is the service's TUN.
const device = "clat0"

// stamp is how `ip -ts monitor` tells the time of an event, which is local.
const stamp = "2006-01-02T15:04:05.000000"

// milestones are what the kernel told of a start: when the TUN was there, when the
// IPv6 address of the CLAT began and ended to be checked for duplicates (RFC 4862
// section 5.4; both zero for a datapath without one), and when the server's route was
// there, which is the last step.
type milestones struct{ device, checked, unique, route time.Time }

// dad is how long the check for duplicates took.
func (m milestones) dad() time.Duration { return m.unique.Sub(m.checked) }

// parseMonitor reads what `ip -ts monitor link addr route` printed while the service
// started that owns the device.
func parseMonitor(text string) (m milestones, err error) {
	first := func(t *time.Time, at time.Time) {
		if t.IsZero() {
			*t = at
		}
	}
	for line := range strings.Lines(text) {
		at, event, ok := strings.Cut(strings.TrimPrefix(line, "["), "]")
		if !ok || !strings.HasPrefix(line, "[") {
			continue // a further line of the event before
		}
		when, err := time.ParseInLocation(stamp, at, time.Local)
		if err != nil {
			return m, fmt.Errorf("read time of %q: %w", line, err)
		}
		switch {
		case strings.Contains(event, "Deleted"):
		case strings.Contains(event, device+":"):
			first(&m.device, when)
		// The address is the only one that has /128 and is deprecated.
		case strings.Contains(event, "inet6") && strings.Contains(event, "/128 ") && strings.Contains(event, "tentative"):
			first(&m.checked, when)
		case strings.Contains(event, "inet6") && strings.Contains(event, "/128 ") && strings.Contains(event, "deprecated"):
			first(&m.unique, when)
		case strings.Contains(event, server4+" dev "+device):
			first(&m.route, when)
		}
	}
	if m.device.IsZero() || m.route.IsZero() || m.checked.IsZero() != m.unique.IsZero() {
		return m, fmt.Errorf("not a whole start: %+v in %q", m, text)
	}
	return m, nil
}

// start starts a reach64 contender anew, and takes the times of its steps.
func (b *bench) start(ctx context.Context, c *contender) error {
	if !c.isReach64() {
		return nil
	}
	c.proc.stop()
	watch, err := c.space.start("monitor", "ip", "-ts", "monitor", "link", "addr", "route")
	if err != nil {
		return err
	}
	defer watch.stop()
	if err := awaitMonitor(ctx, c, watch); err != nil {
		return err
	}
	begin := time.Now()
	if err := b.startReach64(ctx, c, 1); err != nil {
		return err
	}
	text, err := os.ReadFile(watch.log)
	if err != nil {
		return err
	}
	m, err := parseMonitor(string(text))
	if err != nil {
		return err
	}
	put := func(id, title string, d time.Duration) {
		b.add(c, report.Measure{ID: "start." + id, Group: "Start", Title: title, Unit: "ms"}, float64(d.Microseconds())/1000)
	}
	put("whole", "exec to path, without DAD", m.route.Sub(begin)-m.dad())
	put("datapath", "of these, from device to path", m.route.Sub(m.device)-m.dad())
	put("dad", "DAD", m.dad())
	return b.await(ctx, c)
}

// awaitMonitor makes events until the monitor tells of one.
func awaitMonitor(ctx context.Context, c *contender, watch *process) error {
	for i := range 100 {
		if err := c.space.ip(fmt.Sprint("link set lo mtu ", 60000+i)); err != nil {
			return err
		}
		if text, err := os.ReadFile(watch.log); err == nil && strings.Contains(string(text), "lo:") {
			return c.space.ip("link set lo mtu 65536")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s tells nothing", filepath.Base(watch.log))
}
