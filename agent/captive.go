package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/portal"
)

// How long after an answer the network is asked again whether it is captive: soon
// while it is, so that reach64 goes on when somebody has signed in.
const (
	captiveAgain = 10 * time.Second
	openAgain    = time.Minute
	portalLimit  = 10 * time.Second // of one request
)

// gate finds out whether the network wants a sign-in. It asks only while no server
// answers: where one does, nothing stands between. run is its one long-lived
// goroutine. mu guards what is below it.
type gate struct {
	dial    func(link string) Dialer
	log     logrus.FieldLogger
	roots   *x509.CertPool // nil: the system's
	changed chan struct{}  // capacity 1; a full channel means that news is waiting already
	asked   chan doubt     // capacity 1; an older one is replaced

	mu     sync.Mutex
	last   doubt
	answer portal.Answer // to last
}

// doubt is what is to be found out, and where. The zero value is nothing.
type doubt struct {
	question
	api   string // of the router or of DHCP (RFC 8910), "" none
	probe string // of the configuration, "" none
}

func (d doubt) equal(o doubt) bool {
	return d.api == o.api && d.probe == o.probe && d.question.equal(o.question)
}

func newGate(log logrus.FieldLogger, dial func(link string) Dialer, roots *x509.CertPool) *gate {
	return &gate{dial: dial, log: log, roots: roots, changed: make(chan struct{}, 1), asked: make(chan doubt, 1)}
}

// doubts says what to find out about this network.
func (a *Agent) doubts(q question, r discover.Report, snap netstate.Snapshot, out reach.Out, w reach.World) doubt {
	up, ok := snap.Link(out.Uplink)
	if !ok || len(up.Usable6())+len(up.Native4()) == 0 || w.AnyAnswer() {
		return doubt{}
	}
	d := doubt{question: q, probe: a.conf.Probe.PortalURL}
	for _, router := range r.Routers {
		if router.Link == up.Index && router.Portal != "" {
			d.api = router.Portal
		}
	}
	if d.api == "" && a.edges.Portal != nil {
		d.api = a.edges.Portal(up)
	}
	if d.api == "" && d.probe == "" {
		return doubt{}
	}
	return d
}

// find says what to find out from now on; the same again changes nothing.
func (g *gate) find(d doubt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d.equal(g.last) {
		return
	}
	g.last, g.answer = d, portal.Answer{}
	replace(g.asked, d)
}

// captive is the evidence that a sign-in is wanted, "" for none.
func (g *gate) captive() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.answer.Captive:
		return ""
	case g.answer.SignIn != "":
		return fmt.Sprintf("sign in at %s (%s)", g.answer.SignIn, g.answer.Reason)
	}
	return g.answer.Reason
}

// run asks until ctx ends.
func (g *gate) run(ctx context.Context) error {
	var d doubt
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case d = <-g.asked:
		case <-again.C:
		}
		again.Reset(time.Hour)
		if d.api != "" || d.probe != "" {
			again.Reset(jitter(g.ask(ctx, d)))
		}
	}
}

// ask asks the API, and the configured address when there is none or it does not
// know. It returns when to ask again.
func (g *gate) ask(ctx context.Context, d doubt) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, portalLimit)
	defer cancel()
	c := portal.Client{Dialer: named{d.question, g.dial(d.link)}, Roots: g.roots}
	a := portal.Answer{}
	if d.api != "" {
		a = c.API(ctx, d.api)
	}
	if !a.Known && d.probe != "" {
		a = c.Probe(ctx, d.probe)
	}
	g.mu.Lock()
	news := g.last.equal(d) && a != g.answer
	if news {
		g.answer = a
	}
	g.mu.Unlock()
	if news {
		g.log.WithFields(logrus.Fields{"captive": a.Captive, "reason": a.Reason}).Info("asked the network whether it wants a sign-in")
		notify(g.changed)
	}
	if a.Captive {
		return captiveAgain
	}
	return openAgain
}

// named dials names over a link, resolved by the network's own resolvers.
type named struct {
	question
	over Dialer
}

// DialContext tries the addresses one after another.
func (n named) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return n.over.DialContext(ctx, network, addr)
	}
	found, _ := resolve(ctx, n.over, n.servers, host)
	err = found.err
	for _, ip := range append(found.ipv6, found.ipv4...) {
		var conn net.Conn
		if conn, err = n.over.DialContext(ctx, network, net.JoinHostPort(ip.String(), port)); err == nil {
			return conn, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("dial %s: no DNS server of the network is known", addr)
	}
	return nil, err
}
