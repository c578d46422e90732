package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/reach64/reach64/test/bench/load"
	"github.com/reach64/reach64/test/bench/report"
)

// step is one measurement of one contender.
type step struct {
	name string
	run  func(context.Context, *contender) error
}

// usage is the CPU time that something cost: of the contender's own process, and of
// all that took part.
type usage struct{ own, all time.Duration }

// cost measures do, which returns what it used in processes that have ended.
func (b *bench) cost(c *contender, do func() (time.Duration, error)) (usage, error) {
	others := append([]int{b.server.pid()}, b.softirq...)
	own, all := cpuTime(c.pids()...), cpuTime(others...)
	ended, err := do()
	u := usage{own: cpuTime(c.pids()...) - own}
	u.all = u.own + ended + cpuTime(others...) - all
	return u, err
}

func (b *bench) add(c *contender, m report.Measure, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		value = 0 // nothing arrived
	}
	b.doc.Add(m, c.name, value)
}

func (b *bench) note(c *contender, step string, errs []string) {
	if len(errs) > 0 {
		b.doc.Notes = append(b.doc.Notes, fmt.Sprintf("%s, %s: %d errors, the first: %s", c.name, step, len(errs), errs[0]))
	}
}

// measure runs all steps: each round all of them, each step all contenders, of which
// another one begins each time.
func (b *bench) measure(ctx context.Context) {
	steps := b.steps()
	for round := range b.opt.rounds {
		for i, s := range steps {
			for k := range b.contenders {
				c := b.contenders[(k+i+round)%len(b.contenders)]
				if ctx.Err() != nil {
					return
				}
				if err := s.run(ctx, c); err != nil && ctx.Err() == nil {
					b.note(c, s.name, []string{err.Error()})
				}
			}
			progress("round %d of %d: %s", round+1, b.opt.rounds, s.name)
		}
	}
	for _, c := range b.contenders {
		if c.proc != nil {
			b.add(c, report.Measure{ID: "rss", Group: "Process", Title: "resident after all this", Unit: "MiB"}, resident(c.proc.pid()))
		}
	}
}

func (b *bench) steps() []step {
	var list []step
	add := func(s step) {
		if b.wanted(s.name) {
			list = append(list, s)
		}
	}
	add(step{"start", b.start})
	for _, down := range []bool{false, true} {
		for _, n := range []int{1, 4, 100, 500} {
			add(b.streams(n, down, 0))
		}
	}
	for _, down := range []bool{false, true} {
		add(b.streams(4, down, 500e6/8))
	}
	add(step{"udp", b.smallDatagrams})
	add(step{"ping", b.ping})
	add(step{"connections", b.connections})
	return list
}

func (b *bench) wanted(name string) bool {
	for _, w := range b.opt.only {
		if strings.Contains(name, w) {
			return true
		}
	}
	return len(b.opt.only) == 0
}

// streams measures n TCP streams; rate is in bytes a second, 0 for saturated.
func (b *bench) streams(n int, down bool, rate float64) step {
	direction := "up"
	if down {
		direction = "down"
	}
	name, group, title := fmt.Sprintf("tcp-%d-%s", n, direction), "TCP, saturated", fmt.Sprintf("%d %s", n, direction)
	if rate > 0 {
		name, group = name+"-paced", "TCP, 500 Mbit/s"
	}
	long := b.opt.long
	if n > 4 {
		long *= 3 // which stream began first matters less
	}
	return step{name, func(ctx context.Context, c *contender) error {
		s := load.Streams{Addr: c.addr(), N: n, Down: down, Long: long, Rate: rate, Patient: 20 * time.Second}
		var r load.StreamsResult
		u, err := b.cost(c, func() (time.Duration, error) { return c.space.play(ctx, "streams", s, &r) })
		if err != nil {
			return err
		}
		b.note(c, name, r.Errors)
		sum := uint64(0)
		for _, k := range r.Bytes {
			sum += k
		}
		put := func(what, unit string, value float64, plot bool) {
			b.add(c, report.Measure{ID: name + "." + what, Group: group, Title: title + " " + what, Unit: unit, Plot: plot}, value)
		}
		gb := float64(sum) / 1e9
		put("throughput", "Gbit/s", gb*8/long.Seconds(), rate == 0)
		put("CPU", "s/GB", u.all.Seconds()/gb, n == 4)
		if n > 4 {
			put("fairness (Jain)", "", report.Jain(r.Bytes), false)
			put("starved", "streams", float64(report.Starved(r.Bytes)), false)
		}
		return nil
	}}
}

// arrived is how many datagrams have come to the peer's sockets, and how many of these
// were lost there because nobody read them in time.
func (b *bench) arrived(ctx context.Context) (read, lost uint64, err error) {
	text, _, err := b.peer.output(ctx, "cat", "/proc/net/snmp6")
	return parseSNMP6(text, "Udp6InDatagrams"), parseSNMP6(text, "Udp6RcvbufErrors"), err
}

// datagrams sends and counts in the receiver's namespace.
func (b *bench) datagrams(ctx context.Context, c *contender, d load.Datagrams) (r load.DatagramsResult, came float64, u usage, err error) {
	before, lostBefore, err := b.arrived(ctx)
	if err != nil {
		return r, 0, u, err
	}
	u, err = b.cost(c, func() (time.Duration, error) { return c.space.play(ctx, "datagrams", d, &r) })
	if err != nil {
		return r, 0, u, err
	}
	read, lost, err := b.arrived(ctx)
	return r, float64(read + lost - before - lostBefore), u, err
}

func (b *bench) smallDatagrams(ctx context.Context, c *contender) error {
	d := load.Datagrams{Addr: c.addr(), Flows: 1, Size: 64, Long: b.opt.long, Batch: 1}
	_, came, u, err := b.datagrams(ctx, c, d)
	if err != nil {
		return err
	}
	b.add(c, report.Measure{ID: "udp.rate", Group: "UDP, 64 bytes", Title: "arrived", Unit: "kpps", Plot: true}, came/1000/b.opt.long.Seconds())
	b.add(c, report.Measure{ID: "udp.cpu", Group: "UDP, 64 bytes", Title: "CPU", Unit: "us/packet"}, float64(u.all.Microseconds())/came)
	return nil
}

func (b *bench) ping(ctx context.Context, c *contender) error {
	count := int(b.opt.long / (2 * time.Millisecond))
	text, _, err := c.space.output(ctx, "ping", c.family, "-n", "-i", "0.002", "-c", fmt.Sprint(count), "-W", "1", c.host)
	times := parsePing(text)
	if len(times) == 0 {
		return fmt.Errorf("no answer: %w", err)
	}
	b.add(c, report.Measure{ID: "ping.median", Group: "Round trip (ping)", Title: "median", Unit: "us", Plot: true}, report.Median(times))
	b.add(c, report.Measure{ID: "ping.p99", Group: "Round trip (ping)", Title: "p99", Unit: "us"}, report.Percentile(times, 99))
	b.add(c, report.Measure{ID: "ping.lost", Group: "Round trip (ping)", Title: "lost", Unit: "packets"}, float64(count-len(times)))
	return nil
}

func (b *bench) connections(ctx context.Context, c *contender) error {
	var r load.ConnectionsResult
	t := load.Connections{Addr: c.addr(), Workers: 8, Long: b.opt.long}
	u, err := b.cost(c, func() (time.Duration, error) { return c.space.play(ctx, "connections", t, &r) })
	if err != nil {
		return err
	}
	b.note(c, "connections", r.Errors)
	b.add(c, report.Measure{ID: "connections.rate", Group: "TCP connections, 8 at a time", Title: "done", Unit: "1/s", Plot: true}, float64(r.Done)/r.Took.Seconds())
	b.add(c, report.Measure{ID: "connections.median", Group: "TCP connections, 8 at a time", Title: "median", Unit: "us"}, float64(r.Median.Microseconds()))
	b.add(c, report.Measure{ID: "connections.cpu", Group: "TCP connections, 8 at a time", Title: "CPU", Unit: "us each"}, float64(u.all.Microseconds())/float64(r.Done))
	return nil
}
