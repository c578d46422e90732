package agent

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform/netstate"
)

// The times of asking the router whether it still takes the CLAT's address.
const (
	neighbourLimit = time.Second // of one question
	neighbourTries = 2
	neighbourAgain = 30 * time.Second       // while no server answers
	neighbourFirst = 500 * time.Millisecond // the silence may be over in a moment
)

// neighbour finds out whether the network still takes the CLAT's address: switches and
// access points with a list of whose address is whose (SAVI, RFC 7039) may have
// forgotten it or never have learned it, which looks like a dead NAT64. It asks the
// router from that address and from the host's own; when the one gets no answer and
// the other does, the address is lost.
//
// run is its one long-lived goroutine. mu guards what is below it.
type neighbour struct {
	echo    func(ctx context.Context, link int, from, to netip.Addr) error // nil: this cannot be found out here
	log     logrus.FieldLogger
	changed chan struct{}     // capacity 1; a full channel means that news is waiting already
	asked   chan acquaintance // capacity 1; an older one is replaced
	mu      sync.Mutex
	last    acquaintance
	lost    netip.Addr
}

// acquaintance is what is asked, and of whom. The zero value is nothing.
type acquaintance struct {
	link              int
	clat, own, router netip.Addr
}

func newNeighbour(log logrus.FieldLogger, echo func(ctx context.Context, link int, from, to netip.Addr) error) *neighbour {
	return &neighbour{echo: echo, log: log, changed: make(chan struct{}, 1), asked: make(chan acquaintance, 1)}
}

// acquaintance says what to ask the router: nothing, as long as a server answers or no
// CLAT is up.
func (a *Agent) acquaintance(snap netstate.Snapshot, out reach.Out) (q acquaintance) {
	in := a.running
	if in == nil || !in.ready || out.Reason != reach.ReasonServerSilent {
		return q
	}
	up, _ := snap.Link(in.want.Uplink)
	own := slices.IndexFunc(up.Usable6(), func(x netstate.Addr) bool {
		return x.Prefix.Addr() != in.addr6 && in.want.Net64.Contains(x.Prefix.Addr())
	})
	router := slices.IndexFunc(snap.Gateways(up.Index), func(ip netip.Addr) bool { return ip.Is6() })
	if own < 0 || router < 0 || !in.addr6.IsValid() {
		return q
	}
	return acquaintance{up.Index, in.addr6, up.Usable6()[own].Prefix.Addr(), snap.Gateways(up.Index)[router]}
}

// find says what to find out from now on; the same again changes nothing.
func (n *neighbour) find(q acquaintance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if q == n.last || n.echo == nil {
		return
	}
	n.last = q
	replace(n.asked, q)
}

// dropped tells whether the network no longer takes this address.
func (n *neighbour) dropped(clat netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return clat.IsValid() && clat == n.lost
}

// run asks until ctx ends.
func (n *neighbour) run(ctx context.Context) error {
	var q acquaintance
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case q = <-n.asked:
			again.Reset(neighbourFirst)
			continue
		case <-again.C:
		}
		again.Reset(time.Hour)
		if q != (acquaintance{}) {
			n.ask(ctx, q)
			again.Reset(neighbourAgain)
		}
	}
}

// ask finds out once.
func (n *neighbour) ask(ctx context.Context, q acquaintance) {
	answers := func(from netip.Addr) bool {
		ctx, cancel := context.WithTimeout(ctx, neighbourLimit)
		defer cancel()
		return n.echo(ctx, q.link, from, q.router) == nil
	}
	for range neighbourTries {
		if answers(q.clat) || !answers(q.own) || ctx.Err() != nil {
			return // it is taken, or the router answers nobody
		}
	}
	n.mu.Lock()
	news := n.last == q && n.lost != q.clat
	if news {
		n.lost = q.clat
	}
	n.mu.Unlock()
	if news {
		n.log.WithFields(logrus.Fields{"address": q.clat, "router": q.router}).Warn("the network takes this machine's own address but no longer the CLAT's; another is drawn")
		notify(n.changed)
	}
}
