package main

import (
	"context"
	"fmt"
	"time"

	"github.com/reach64/reach64/test/bench/load"
	"github.com/reach64/reach64/test/bench/report"
)

// scaleRate is the load under which the cost of one packet is measured: low enough
// for every contender to carry all of it.
const scaleRate = 20000 // datagrams a second

// perPacket is what one datagram of 64 bytes costs all that take part, in microseconds,
// and the share that arrived.
func (b *bench) perPacket(ctx context.Context, c *contender, flows int) (cost, share float64, err error) {
	r, came, u, err := b.datagrams(ctx, c, load.Datagrams{Addr: c.addr(), Flows: flows, Size: 64, Long: b.opt.long, Rate: scaleRate, Batch: 1})
	if err != nil {
		return 0, 0, err
	}
	b.note(c, fmt.Sprintf("%d flows", flows), r.Errors)
	return float64(u.all.Microseconds()) / came, came / float64(r.Sent), nil
}

// some are the counts to measure: the ends alone in a quick run.
func (b *bench) some(counts ...int) []int {
	if b.opt.quick {
		return []int{counts[0], counts[len(counts)-1]}
	}
	return counts
}

// scale measures how cost grows with flows, servers and links.
func (b *bench) scale(ctx context.Context) {
	if b.wanted("scale-flows") {
		rounds := min(3, b.opt.rounds)
		if b.opt.quick {
			rounds = 1
		}
		for range rounds {
			for _, n := range b.some(1, 10, 100, 1000, 10000) {
				for _, c := range b.contenders {
					if ctx.Err() != nil {
						return
					}
					cost, share, err := b.perPacket(ctx, c, n)
					if err != nil {
						b.note(c, "scale-flows", []string{err.Error()})
						continue
					}
					curve := "CPU per packet by flows"
					b.add(c, report.Measure{ID: fmt.Sprintf("flows-%d.cpu", n), Group: "Cost by flows, 20 kpps", Title: fmt.Sprintf("%d flows: CPU", n), Unit: "us/packet", Curve: curve, X: float64(n), Plot: true}, cost)
					b.add(c, report.Measure{ID: fmt.Sprintf("flows-%d.share", n), Group: "Cost by flows, 20 kpps", Title: fmt.Sprintf("%d flows: arrived", n), Unit: "share"}, share)
				}
				progress("%d flows", n)
			}
		}
	}
	for _, s := range []struct {
		name   string
		counts []int
		run    func(context.Context, *contender, int) error
	}{{"servers", b.some(1, 10, 100, 1000), b.withServers}, {"links", b.some(1, 10, 50), b.withLinks}} {
		if !b.wanted("scale-" + s.name) {
			continue
		}
		for _, c := range b.contenders {
			if !c.isReach64() {
				continue
			}
			for _, n := range s.counts {
				if ctx.Err() != nil {
					return
				}
				if err := s.run(ctx, c, n); err != nil {
					b.note(c, fmt.Sprintf("%d %s", n, s.name), []string{err.Error()})
				}
				progress("%s: %d %s", c.name, n, s.name)
			}
		}
	}
}

// again starts the contender's service anew and notes what that took.
func (b *bench) again(ctx context.Context, c *contender, what string, n, servers int) error {
	c.proc.stop()
	if err := b.startReach64(ctx, c, servers); err != nil {
		return err
	}
	cost, share, err := b.perPacket(ctx, c, 10)
	if err != nil {
		return err
	}
	begin := cpuTime(c.proc.pid())
	select {
	case <-time.After(b.opt.long):
	case <-ctx.Done():
		return ctx.Err()
	}
	idle := cpuTime(c.proc.pid()) - begin
	put := func(id, title, unit string, value float64, plot bool) {
		m := report.Measure{ID: fmt.Sprintf("%s-%d.%s", what, n, id), Group: "Cost by " + what, Title: fmt.Sprintf("%d %s: %s", n, what, title), Unit: unit, Plot: plot}
		if plot {
			m.Curve, m.X = title+" by "+what, float64(n)
		}
		b.add(c, m, value)
	}
	put("ready", "start to path", "s", c.ready.Seconds(), true)
	put("start", "CPU of the start", "s", c.cpu.Seconds(), false)
	put("idle", "CPU when idle", "% of a core", 100*idle.Seconds()/b.opt.long.Seconds(), false)
	put("rss", "resident", "MiB", resident(c.proc.pid()), false)
	put("cpu", "CPU per packet", "us", cost, true)
	put("share", "arrived", "share", share, false)
	return nil
}

// withServers configures n servers, each with a route of its own.
func (b *bench) withServers(ctx context.Context, c *contender, n int) error {
	return b.again(ctx, c, "servers", n, n)
}

// withLinks gives the host n more links that are up and have addresses.
func (b *bench) withLinks(ctx context.Context, c *contender, n int) error {
	for i := range n {
		name := fmt.Sprintf("more%d", i)
		defer func() { _ = c.space.ip("link del " + name) }() // the namespace goes anyway
		if err := c.space.ip(fmt.Sprintf("link add %[1]s type veth peer name %[1]s netns %[3]s\n addr add 2001:db8:f%03[2]x::2/64 dev %[1]s nodad\n link set %[1]s up",
			name, i, b.peer.name)); err != nil {
			return err
		}
		if err := b.peer.ip("link set " + name + " up"); err != nil {
			return err
		}
	}
	return b.again(ctx, c, "links", n, 1)
}
