// Package discover runs the prefix sources on every link and keeps their answers:
// configuration, what the system knows, PCP (RFC 7225, asked of the link's default routers), router
// advertisements (RFC 8781) and ipv4only.arpa (RFC 7050, asked of the link's own
// resolvers as RFC 8880 wants).
//
// It does I/O only through its ports. It does not rank (resolver/pref64), parse
// messages (resolver/ra, resolver/pcp, resolver/dnsq), probe, or decide what a
// prefix is used for (agent/reach). It does not listen for PCP servers that
// announce themselves: that they lost their state is seen when they are asked.
package discover

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// RAReader receives router advertisements and asks for them.
type RAReader interface {
	// ReadRA waits for the next advertisement on any link and returns the whole
	// ICMPv6 message, the router's link-local address and the link's index. The
	// implementation has checked the hop limit and the checksum.
	ReadRA(ctx context.Context) (msg []byte, src netip.Addr, link int, err error)
	// Solicit sends one router solicitation.
	Solicit(ctx context.Context, link int) error
}

// DialerFor returns a dialer whose connections leave over the link of this name.
// Names of links in the zones of addresses are understood. If the dialer also has
//
//	DialFrom(ctx context.Context, network string, from netip.Addr, addr string) (net.Conn, error)
//
// PCP servers are asked from a global address where there is one.
type DialerFor func(link string) dnsq.Dialer

// Config is what to look for, and where.
type Config struct {
	Static  []nat64.Prefix  // configured prefixes, in order
	Sources []pref64.Source // enabled ones; nil: all
	Allow   []netip.Prefix  // if not empty, only prefixes inside these are accepted
	Servers []ServerName    // backup servers whose addresses Once looks at; Run is told by Link.Seen
}

// ServerName is a backup server whose addresses may hold the prefix.
type ServerName struct {
	Name string
	IPv4 []netip.Addr // known beforehand; empty: what DNS says
	DNS  []netip.Addr // to be asked for it by whatever link; empty: the link's
}

// enabled tells whether a source may be asked.
func (c Config) enabled(s pref64.Source) bool {
	return c.Sources == nil || slices.Contains(c.Sources, s)
}

// Link is a network interface on which to look.
type Link struct {
	Index int
	Name  string
	DNS   []netip.Addr // resolvers that the system knows, for this link or for all
	// Routers are the default routers that the system knows on this link, of both
	// families. Those in router advertisements need not be among them.
	Routers []netip.Addr
	Known   []Known // prefixes that the system knows for this link, best first
	Seen    []Known // prefixes in the servers' AAAA records from this link's resolvers; see FromServer
}

// Known is a prefix that the operating system knows by itself, such as from policy.
// It is believed as long as it is in SetLinks.
type Known struct {
	Prefix nat64.Prefix
	Reason string       // for people: how the system knows
	Trust  pref64.Trust // zero: it knows for certain
}

func (l Link) equal(o Link) bool {
	return l.Index == o.Index && l.Name == o.Name && slices.Equal(l.DNS, o.DNS) && slices.Equal(l.Routers, o.Routers) &&
		slices.Equal(l.Known, o.Known) && slices.Equal(l.Seen, o.Seen)
}

// raWait is how long a link without an answer counts as searching: three
// solicitations 4 s apart, and 1 s more (spec 8781-12).
const raWait = 2*solicitEvery + time.Second

// Discoverer keeps looking for prefixes. All methods may be called at any time
// from any goroutine.
//
// Run's goroutine alone owns the state (type engine). It starts one goroutine that
// reads router advertisements and one for each question or solicitation under
// way; they hand in what they got on unbuffered channels and end with Run. mu
// guards want and next. cfg belongs to Run's goroutine while it runs.
type Discoverer struct {
	cfg    Config
	ra     RAReader
	dial   DialerFor
	log    logrus.FieldLogger
	raWait time.Duration

	mu   sync.Mutex
	want wanted
	next *Config // to be taken over, nil for none

	relink  chan struct{} // capacity 1: want or next has changed
	refresh chan struct{} // capacity 1: ask everything now
	changed chan struct{} // capacity 1: the report has changed; full means that news is waiting already
	report  atomic.Pointer[Report]
}

// wanted is the last SetLinks.
type wanted struct {
	epoch uint64
	links []Link
}

// New returns a Discoverer without links. It starts nothing. Without ra the RA
// source is skipped; log may be nil.
func New(cfg Config, ra RAReader, dial DialerFor, log logrus.FieldLogger) *Discoverer {
	if log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		log = quiet
	}
	d := &Discoverer{cfg: cfg, ra: ra, dial: dial, log: log, raWait: raWait,
		relink: make(chan struct{}, 1), refresh: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	first := newEngine(d).report(time.Now())
	d.report.Store(&first)
	return d
}

// SetLinks says on which links to look. The same call again changes nothing. A
// new epoch means that the network may be another: what was learned by DNS and PCP
// is dropped and asked for again at once, routers are solicited again; what routers
// said stays until it runs out, on links that are still there.
func (d *Discoverer) SetLinks(epoch uint64, links []Link) {
	d.mu.Lock()
	same := d.want.epoch == epoch && slices.EqualFunc(d.want.links, links, Link.equal)
	if !same {
		d.want = wanted{epoch, slices.Clone(links)}
	}
	d.mu.Unlock()
	if !same {
		notify(d.relink)
	}
}

// Refresh asks everything again now. What is known stays meanwhile.
func (d *Discoverer) Refresh() { notify(d.refresh) }

// Changed says 'look at Report again'. News that nobody has taken yet is one.
func (d *Discoverer) Changed() <-chan struct{} { return d.changed }

// Report returns what is known. It must not be modified.
func (d *Discoverer) Report() Report { return *d.report.Load() }

// Run looks for prefixes until ctx ends, then returns nil.
func (d *Discoverer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	e := newEngine(d)
	defer e.workers.Wait()
	defer cancel()
	e.start(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		e.work(ctx, now)
		d.publish(e.report(now))
		timer.Reset(time.Until(e.next(now)))
		select {
		case <-ctx.Done():
			return nil
		case <-d.relink:
			d.mu.Lock()
			want := d.want
			d.mu.Unlock()
			e.setLinks(time.Now(), want)
			if cfg, ok := d.configured(); ok {
				e.configure(ctx, time.Now(), cfg)
			}
		case <-d.refresh:
			e.refresh(time.Now())
		case m := <-e.advertised:
			e.onRA(time.Now(), m)
		case r := <-e.answered:
			e.onAnswer(time.Now(), r)
		case s := <-e.solicited:
			e.onSolicited(time.Now(), s)
		case r := <-e.told:
			e.onPCP(time.Now(), r)
		case <-timer.C:
		}
	}
}

// publish stores the report if it differs from the last, and logs transitions.
func (d *Discoverer) publish(r Report) {
	last := d.report.Load()
	if r.equal(*last) {
		return
	}
	d.report.Store(&r)
	logChanges(d.log, *last, r)
	notify(d.changed)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
