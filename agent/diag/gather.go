package diag

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/ping"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/portal"
	"github.com/reach64/reach64/resolver/system"
)

// Dialer opens connections to literal addresses; net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Pinger sends echo requests; *ping.Conn is one.
type Pinger interface {
	Ask(ctx context.Context, to netip.Addr, requests []ping.Request, enough func(ping.Answer) bool) ([]ping.Answer, error)
	SeesErrors() bool
	Whole() bool
	Close() error
}

// Ports are what Gather asks. All are wanted but those that may be nil.
type Ports struct {
	Snapshot     func() (netstate.Snapshot, error)
	Service      func(context.Context) Service
	Foreign      func(s netstate.Snapshot, ownDevice int) *Foreign
	Native       func() string // how the system's own CLAT is set up; nil: nobody knows
	Rights       func() Rights
	DirectAccess func(names []string) DirectAccess
	Links        func(netstate.Snapshot) []discover.Link // where routers are listened to
	Resolvers    func(netstate.Snapshot) []system.Server
	Routers      func() (discover.RAReader, func()) // nil: they cannot be heard; the function closes
	Applications func(ctx context.Context, name string) system.View
	Dial         func(link string) Dialer
	Small        func(link string) Dialer // with segments of SmallSegment bytes
	PathMTU      func(net.Conn) int
	Ping         func() (Pinger, error)
	Portal       portal.Client
}

// Question is what the doctor is to look at.
type Question struct {
	Servers []Server // name, port, identity and addresses that are known
	DNS     map[string][]netip.Addr
	Config  Config
	Version string
	Built   time.Time
	Topics  []Topic // nil: all
}

// Tell is told when the gathering of a topic begins and ends. It may be called by
// several goroutines, one at a time.
type Tell func(topic Topic, done bool)

// SmallSegment is how many bytes of TCP data go into an IPv6 packet of 1280 bytes,
// which every link carries (RFC 8200 section 5).
const SmallSegment = 1220

// How long the parts may take at most. All in all it is less than 10 s.
const (
	dnsLimit    = 2500 * time.Millisecond
	raLimit     = 1500 * time.Millisecond
	pcpLimit    = time.Second
	portalLimit = 2500 * time.Millisecond
	tcpLimit    = 2500 * time.Millisecond
	tlsLimit    = 2500 * time.Millisecond
	echoLimit   = time.Second
	sizeLimit   = 700 * time.Millisecond
)

// gatherer is Gather at work. mu guards e where several goroutines write.
type gatherer struct {
	p    Ports
	q    Question
	tell Tell
	mu   sync.Mutex
	e    *Evidence
	dns  []system.Server
}

// Gather collects the evidence. It waits for the goroutines that it starts.
func Gather(ctx context.Context, p Ports, q Question, tell Tell) *Evidence {
	start := time.Now()
	g := &gatherer{p: p, q: q, tell: tell, e: &Evidence{Now: start, Version: q.Version, Built: q.Built, Config: q.Config, Servers: slices.Clone(q.Servers),
		Asked: map[Topic]bool{}, Took: map[Topic]time.Duration{}}}
	g.topic(Local, func() { g.local(ctx) })
	var first sync.WaitGroup
	heard := make(chan struct{}) // closed when the routers were listened to
	first.Go(func() {
		defer close(heard)
		g.topic(Sources, func() { g.sources(ctx) })
	})
	first.Go(func() { g.topic(Names, func() { g.names(ctx) }) })
	first.Go(func() {
		if g.dns = g.resolvers(); len(g.dns) == 0 {
			<-heard // they may name DNS servers
			g.dns = g.resolvers()
		}
		g.topic(Resolvers, func() { g.askResolvers(ctx) })
	})
	first.Go(func() {
		<-heard
		g.topic(Portal, func() { g.portal(ctx) })
	})
	first.Wait()
	g.learn()
	var second sync.WaitGroup
	second.Go(func() { g.topic(Echoes, func() { g.echoes(ctx) }) })
	second.Go(func() { g.topic(Paths, func() { g.paths(ctx) }) })
	second.Wait()
	g.e.Duration = time.Since(start)
	return g.e
}

// topic gathers one part, unless it is not wanted.
func (g *gatherer) topic(t Topic, gather func()) {
	if g.q.Topics != nil && !slices.Contains(g.q.Topics, t) && t != Local {
		return
	}
	begin := time.Now()
	g.say(t, false)
	gather()
	g.mu.Lock()
	g.e.Asked[t], g.e.Took[t] = true, time.Since(begin)
	g.mu.Unlock()
	g.say(t, true)
}

func (g *gatherer) say(t Topic, done bool) {
	if g.tell != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.tell(t, done)
	}
}

// local is what this machine tells at once.
func (g *gatherer) local(ctx context.Context) {
	e := g.e
	var err error
	if e.Net, err = g.p.Snapshot(); err != nil {
		e.NetErr = err.Error()
	}
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	e.Service = g.p.Service(limited)
	e.Rights = g.p.Rights()
	e.Foreign = g.p.Foreign(e.Net, e.ownIndex())
	if g.p.Native != nil {
		e.Native = g.p.Native()
	}
	var names []string
	for _, s := range e.Servers {
		names = append(names, s.Name)
	}
	e.Policy = g.p.DirectAccess(names)
}

// names asks as applications do.
func (g *gatherer) names(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dnsLimit)
	defer cancel()
	var wg sync.WaitGroup
	for i := range g.e.Servers {
		s := &g.e.Servers[i]
		if !s.Literal {
			wg.Go(func() { s.View = g.p.Applications(ctx, s.Name) })
		}
	}
	wg.Wait()
}

func (g *gatherer) portal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, portalLimit)
	defer cancel()
	var a portal.Answer
	uri := ""
	g.mu.Lock()
	uri = g.e.portal
	g.mu.Unlock()
	if uri != "" {
		a = g.p.Portal.API(ctx, uri)
	}
	probe := g.q.Config.Conf.Probe.PortalURL
	if probe != "" && !a.Known {
		a = g.p.Portal.Probe(ctx, probe)
	}
	if uri != "" || probe != "" {
		g.e.Portal = &a
	}
}

// TopicsOf are the topics that checks need, with those of the checks that explain
// them; nil for none: all.
func TopicsOf(only []string) (out []Topic) {
	var add func(code string)
	seen := map[string]bool{}
	add = func(code string) {
		if seen[code] {
			return
		}
		seen[code] = true
		r := ruleOf(code)
		if !slices.Contains(out, r.topic) {
			out = append(out, r.topic)
		}
		for _, c := range r.after {
			add(c)
		}
	}
	for _, code := range only {
		add(code)
	}
	return out
}
