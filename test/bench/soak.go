package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reach64/reach64/test/bench/load"
	"github.com/reach64/reach64/test/bench/report"
)

// turn is how long one piece of the soak's traffic takes.
const turn = 5 * time.Second

// soaker is what the goroutines of one soak share.
type soaker struct {
	*bench
	c      *contender
	mu     sync.Mutex // guards what follows
	errors []string
	sums   map[string]float64 // by title
}

// soakAll soaks one contender after the other.
func (b *bench) soakAll(ctx context.Context) {
	for _, c := range b.contenders {
		if ctx.Err() == nil {
			(&soaker{bench: b, c: c, sums: map[string]float64{}}).run(ctx)
		}
	}
}

// run carries traffic of all kinds at the same time, watches memory, and reports. It
// owns a goroutine for each kind.
func (s *soaker) run(ctx context.Context) {
	timed, cancel := context.WithTimeout(ctx, s.opt.soak)
	defer cancel()
	before, _ := s.status(ctx, s.c) // native and tayga have none
	var all sync.WaitGroup
	for _, kind := range []func(context.Context) error{s.bulk, s.short, s.datagrams, s.bigDatagrams, s.pings, s.bigPings} {
		all.Go(func() {
			for timed.Err() == nil {
				// A turn is finished even when the time is up, so that nothing is cut off.
				if err := kind(ctx); err != nil && ctx.Err() == nil {
					s.fail(err.Error())
				}
			}
		})
	}
	memory := s.watch(timed)
	all.Wait()
	s.report(memory)
	if after, err := s.status(ctx, s.c); err == nil && s.c.proc != nil {
		s.verdicts(before.Counters, after.Counters)
	}
	progress("%s: soaked, %d errors", s.c.name, len(s.errors))
}

// watch reads the memory of the contender every two seconds.
func (s *soaker) watch(ctx context.Context) (memory []float64) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return memory
		case <-tick.C:
			if s.c.proc != nil {
				memory = append(memory, resident(s.c.proc.pid()))
			}
		}
	}
}

func (s *soaker) fail(errs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors = append(s.errors, errs...)
}

func (s *soaker) sum(title string, n float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums[title] += n
}

// bulk moves four streams up and four down, each of which has to get something.
func (s *soaker) bulk(ctx context.Context) error {
	for _, down := range []bool{false, true} {
		var r load.StreamsResult
		if _, err := s.c.space.play(ctx, "streams", load.Streams{Addr: s.c.addr(), N: 4, Down: down, Long: turn / 2, Patient: 10 * time.Second}, &r); err != nil {
			return err
		}
		s.fail(r.Errors...)
		for _, n := range r.Bytes {
			s.sum("TCP, GB", float64(n)/1e9)
		}
		if slices.Contains(r.Bytes, 0) {
			s.fail(fmt.Sprintf("bulk, down %v: a stream got nothing", down))
		}
	}
	return nil
}

// short opens connection after connection.
func (s *soaker) short(ctx context.Context) error {
	var r load.ConnectionsResult
	_, err := s.c.space.play(ctx, "connections", load.Connections{Addr: s.c.addr(), Workers: 2, Long: turn}, &r)
	s.fail(r.Errors...)
	s.sum("short connections", float64(r.Done))
	return err
}

func (s *soaker) datagrams(ctx context.Context) error {
	return s.datagramsBy(ctx, "datagrams", load.Datagrams{Flows: 8, Size: 200, Rate: 2000})
}

// bigDatagrams travel in fragments.
func (s *soaker) bigDatagrams(ctx context.Context) error {
	return s.datagramsBy(ctx, "big datagrams", load.Datagrams{Flows: 2, Size: 4000, Rate: 100})
}

// datagramsBy sends and wants all back, in order.
func (s *soaker) datagramsBy(ctx context.Context, title string, d load.Datagrams) error {
	d.Addr, d.Long, d.Batch, d.Return = s.c.addr(), turn, 1, true
	var r load.DatagramsResult
	_, err := s.c.space.play(ctx, "datagrams", d, &r)
	s.fail(r.Errors...)
	s.sum(title+" sent", float64(r.Sent))
	s.sum(title+" lost", float64(r.Sent)-float64(r.Back))
	s.sum(title+" late", float64(r.Late))
	return err
}

func (s *soaker) pings(ctx context.Context) error { return s.pingBy(ctx, "pings", 56) }

// bigPings fill the MTU. Larger ones come in fragments, which a stateless translator
// drops: the checksum of ICMPv6 covers the whole length (RFC 7915 section 1.2).
func (s *soaker) bigPings(ctx context.Context) error { return s.pingBy(ctx, "big pings", 1400) }

func (s *soaker) pingBy(ctx context.Context, title string, size int) error {
	const count = 25
	text, _, err := s.c.space.output(ctx, "ping", s.c.family, "-n", "-i", "0.2", "-c", fmt.Sprint(count), "-W", "2", "-s", fmt.Sprint(size), s.c.host)
	got := len(parsePing(text))
	s.sum(title+" sent", count)
	s.sum(title+" lost", float64(count-got))
	if got == 0 {
		return fmt.Errorf("%s: none came back: %w", title, err)
	}
	return nil
}

func (s *soaker) report(memory []float64) {
	put := func(title, unit string, v float64) {
		s.add(s.c, report.Measure{ID: "soak." + title, Group: fmt.Sprintf("Soak of %v", s.opt.soak), Title: title, Unit: unit}, v)
	}
	put("errors", "", float64(len(s.errors)))
	s.note(s.c, "soak", s.errors)
	var titles []string
	for t := range s.sums {
		titles = append(titles, t)
	}
	slices.Sort(titles)
	for _, t := range titles {
		put(t, "", s.sums[t])
	}
	if n := len(memory); n >= 4 {
		// The first quarter is for growing to its size.
		put("resident, after a quarter", "MiB", memory[n/4])
		put("resident, at the end", "MiB", memory[n-1])
		put("resident, most", "MiB", slices.Max(memory))
	}
}

// usual are parts of the names of counters that mixed traffic without faults may raise:
// of translated packets, of steered ones, of those that the kernel leaves to the
// reader, and of the relay's flows.
var usual = []string{"-translated", "-bytes", "redirected", "neighbour-discovery", "passed-other", "-left-fragment", "-left-extension-header", "-left-to-keep-order",
	"-opened", "-ended", "-idle"}

func expected(name string) bool {
	return slices.ContainsFunc(usual, func(part string) bool { return strings.Contains(name, part) })
}

// verdicts notes counters that rose and should not have.
func (s *soaker) verdicts(before, after map[string]uint64) {
	var names []string
	for name, n := range after {
		if n > before[name] && !expected(name) {
			names = append(names, fmt.Sprintf("%s %d", name, n-before[name]))
		}
	}
	slices.Sort(names)
	s.add(s.c, report.Measure{ID: "soak.verdicts", Group: fmt.Sprintf("Soak of %v", s.opt.soak), Title: "verdicts outside the expected ones", Unit: ""}, float64(len(names)))
	if len(names) > 0 {
		s.doc.Notes = append(s.doc.Notes, s.c.name+", soak: counters that were not expected: "+strings.Join(names, ", "))
	}
}
