package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Report is what a race did.
type Report struct {
	Host     string    `json:"host"`
	Port     uint16    `json:"port"`
	Lookups  []Lookup  `json:"lookups"`
	Attempts []Attempt `json:"attempts"` // in the order of their start
	Winner   *Attempt  `json:"winner"`   // null: none
}

// Lookup is one question about the name.
type Lookup struct {
	Type      string        `json:"type"` // AAAA, A
	Addresses []netip.Addr  `json:"addresses"`
	Took      time.Duration `json:"-"`
	Seconds   float64       `json:"took"`
	Err       string        `json:"error,omitempty"`
}

// Attempt is one connection that was tried.
type Attempt struct {
	Kind    Kind           `json:"kind"`
	Addr    netip.AddrPort `json:"address"`
	Prefix  string         `json:"prefix,omitempty"` // NAT64 prefix of the address
	At      time.Duration  `json:"-"`                // since the race began
	Took    time.Duration  `json:"-"`
	Start   float64        `json:"start"` // seconds
	Seconds float64        `json:"took"`
	State   string         `json:"state"` // connected, failed, given-up
	Err     string         `json:"error,omitempty"`
}

// race is one Dial. Its goroutine owns all of it; lookups and attempts run in
// goroutines of their own, which report through channels and are waited for.
type race struct {
	d        *Dialer
	net      Network
	known    bool // net is
	host     string
	port     uint16
	began    time.Time
	six      []netip.Addr
	four     []netip.Addr
	tried    map[netip.Addr]bool
	lookups  []Lookup
	attempts []Attempt
	winner   int // index in attempts, -1: none

	asking  int // lookups that have no answer yet
	running int // attempts that have not ended
}

// answer is a finished lookup.
type answer struct {
	kind  string
	addrs []netip.Addr
	took  time.Duration
	err   error
}

// ended is a finished attempt.
type ended struct {
	i    int
	conn net.Conn
	err  error
}

func newRace(d *Dialer, host string, port uint16) *race {
	r := &race{d: d, host: host, port: port, began: time.Now(), tried: map[netip.Addr]bool{}, winner: -1,
		lookups: []Lookup{}, attempts: []Attempt{}, known: d.Network == nil}
	return r
}

// run races until one attempt stands, all have failed, or ctx ends.
func (r *race) run(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answer, 2) // never blocks: two lookups
	results := make(chan ended)     // read until every attempt has ended
	networks := make(chan Network, 1)
	defer func() { // nobody is left behind
		cancel()
		r.drain(answers, results)
		if !r.known {
			<-networks
		}
	}()
	if !r.known {
		go func() { networks <- r.d.Network(ctx) }()
	}
	r.ask(ctx, answers)
	grace := time.NewTimer(ResolutionDelay) // for what is known of the network
	defer grace.Stop()
	late := false
	next := time.NewTimer(0) // when the next attempt may start
	defer next.Stop()
	open := r.asking == 0 // whether attempts may start
	var wait <-chan time.Time
	if open {
		wait = next.C
	}
	for {
		if wait == nil && open && (r.known || late) && r.next() != nil {
			wait = next.C
		}
		if r.known && r.asking == 0 && r.running == 0 && r.next() == nil {
			return nil, r.fail(nil)
		}
		select {
		case r.net = <-networks:
			r.known = true
			r.relabel()
		case <-grace.C:
			late = true
		case a := <-answers:
			first := !open
			open = r.take(a) || open
			r.relabel()
			if first {
				next.Reset(r.firstDelay(open))
				wait = next.C
			}
		case <-wait:
			open, wait = true, nil
			if c := r.next(); c != nil && (r.known || late) {
				r.start(ctx, *c, results)
				next.Reset(r.delay())
			} else {
				next.Reset(0) // whatever comes may start at once
			}
		case e := <-results:
			r.running--
			if conn, done := r.finish(e); done {
				return conn, nil
			}
			next.Reset(0) // a failure lets the next one start at once
		case <-ctx.Done():
			return nil, r.fail(context.Cause(ctx))
		}
	}
}

// firstDelay is how long the first attempt waits: not at all when IPv6 answered,
// for AAAA when only A did (RFC 8305 section 3).
func (r *race) firstDelay(open bool) time.Duration {
	if open {
		return 0
	}
	return ResolutionDelay
}

func (r *race) delay() time.Duration {
	if r.d.Delay > 0 {
		return max(r.d.Delay, leastDelay)
	}
	return AttemptDelay
}

// ask begins the lookups; an IP address needs none.
func (r *race) ask(ctx context.Context, answers chan<- answer) {
	if a, err := netip.ParseAddr(r.host); err == nil {
		if a = a.Unmap(); a.Is4() {
			r.four = []netip.Addr{a}
		} else {
			r.six = []netip.Addr{a}
		}
		return
	}
	r.asking = 2
	for _, q := range [...][2]string{{"AAAA", "ip6"}, {"A", "ip4"}} {
		go func() {
			start := time.Now()
			addrs, err := r.d.Resolve.LookupNetIP(ctx, q[1], r.host)
			answers <- answer{q[0], addrs, time.Since(start), err}
		}()
	}
}

// take takes in an answer. open is true when attempts may start without waiting
// for the other answer: AAAA came, or both did.
func (r *race) take(a answer) (open bool) {
	r.asking--
	l := Lookup{Type: a.kind, Took: a.took, Seconds: a.took.Seconds(), Addresses: []netip.Addr{}}
	for _, addr := range a.addrs {
		addr = addr.Unmap()
		if a.kind == "A" && addr.Is4() && len(r.four) < maxAddresses && !slices.Contains(r.four, addr) {
			r.four = append(r.four, addr)
		} else if a.kind == "AAAA" && addr.Is6() && len(r.six) < maxAddresses && !slices.Contains(r.six, addr) {
			r.six = append(r.six, addr)
		} else {
			continue
		}
		l.Addresses = append(l.Addresses, addr)
	}
	if a.err != nil {
		l.Err = a.err.Error()
	}
	r.lookups = append(r.lookups, l)
	return a.kind == "AAAA" || r.asking == 0
}

// next is the best candidate that was not tried yet. Answers that come late join
// where they belong (RFC 8305 section 5).
func (r *race) next() *candidate {
	for _, c := range candidates(r.net, r.six, r.four) {
		// By which way IPv4 addresses are reached may not be known yet.
		if !r.tried[c.addr] && (r.known || c.kind == NativeIPv6 || c.kind == DNS64) {
			return &c
		}
	}
	return nil
}

// relabel gives the attempts their kind that began before the network was known, or the
// name's IPv4 addresses.
func (r *race) relabel() {
	for i, a := range r.attempts {
		if c := ofIPv6(r.net, a.Addr.Addr(), r.four); a.Kind == NativeIPv6 && c.kind == DNS64 {
			r.attempts[i].Kind, r.attempts[i].Prefix = DNS64, c.prefix.String()
		}
	}
}

func (r *race) start(ctx context.Context, c candidate, results chan<- ended) {
	r.tried[c.addr] = true
	a := Attempt{Kind: c.kind, Addr: netip.AddrPortFrom(c.addr, r.port), At: time.Since(r.began), State: "given-up"}
	a.Start = a.At.Seconds()
	if c.prefix.IsValid() {
		a.Prefix = c.prefix.String()
	}
	i := len(r.attempts)
	r.attempts = append(r.attempts, a)
	r.running++
	network := "tcp6"
	if c.addr.Is4() {
		network = "tcp4"
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, attemptLimit)
		defer cancel()
		conn, err := r.d.Conn.DialContext(ctx, network, a.Addr.String())
		if err == nil && r.d.Check != nil {
			var checked net.Conn
			if checked, err = r.d.Check(ctx, conn); err != nil {
				_ = conn.Close()
				err = fmt.Errorf("connected, but: %w", err)
			}
			conn = checked
		}
		results <- ended{i, conn, err}
	}()
}

// finish notes how an attempt ended; done when it stands.
func (r *race) finish(e ended) (conn net.Conn, done bool) {
	a := &r.attempts[e.i]
	a.Took = time.Since(r.began) - a.At
	a.Seconds = a.Took.Seconds()
	if e.err != nil {
		a.State, a.Err = "failed", e.err.Error()
		return nil, false
	}
	a.State, r.winner = "connected", e.i
	return e.conn, true
}

// drain waits for what still runs, and closes connections that nobody wants.
func (r *race) drain(answers <-chan answer, results <-chan ended) {
	for r.running > 0 {
		e := <-results
		r.running--
		if e.conn != nil {
			_ = e.conn.Close()
		}
	}
	for ; r.asking > 0; r.asking-- {
		<-answers
	}
}

func (r *race) fail(cause error) error {
	e := &Error{Host: r.host, Port: r.port, Lookups: r.lookups, Attempts: slices.Clone(r.attempts), Cause: cause}
	for i := range e.Attempts {
		if e.Attempts[i].Err == "" {
			e.Attempts[i].Err = "no answer"
		}
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		e.Cause = fmt.Errorf("no attempt succeeded within %v: %w", wholeLimit, cause)
	}
	return e
}

func (r *race) report() Report {
	out := Report{Host: r.host, Port: r.port, Lookups: r.lookups, Attempts: r.attempts}
	if r.winner >= 0 {
		out.Winner = &r.attempts[r.winner]
	}
	return out
}
