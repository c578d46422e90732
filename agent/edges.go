package agent

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"time"

	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/clat"
	"github.com/reach64/reach64/tunnel/relay"
	"github.com/reach64/reach64/tunnel/siit"
)

// Edges are the operating system as the agent sees it. A machine's are made
// by SystemEdges; the embedded lab makes others, with the same agent above.
type Edges struct {
	Monitor   Monitor
	Configure Configurator
	// OpenDevice makes a TUN with that many queues where the system can, one elsewhere.
	OpenDevice func(name string, queues int) (Device, error)
	// Queues is how many the tun datapath asks for: a worker each, and a core each.
	Queues   int
	Steer    func(Steer) (Steering, error)
	RA       discover.RAReader // nil where router advertisements cannot be read
	DialLink func(link string) Dialer
	Dial     Dialer // over whatever route the system has
	// DialFlows dials for the relay over a link; nil: the relay cannot be used.
	DialFlows func(link string) relay.Dialer
	// Foreign tells what other CLAT is at work and over which link, "" none.
	// ownDevice is the link index of our own TUN, 0 none.
	Foreign func(s netstate.Snapshot, ownDevice int) (evidence, link string)
	// Mostly is the evidence that DHCP asked to do without IPv4 (RFC 8925), "" none;
	// nil where that cannot be learned.
	Mostly func(s netstate.Snapshot) string
	// Portal is the address of the captive portal's API that DHCP gave for a link (RFC
	// 8910), "" none; nil where that cannot be learned.
	Portal func(l netstate.Link) string
	// Roots are the authorities that a captive portal's API is believed by; nil: the
	// system's.
	Roots *x509.CertPool
	// NameServers returns those that the system's policy sets for a name (NRPT); nil:
	// it has no such policy.
	NameServers func(name string) []netip.Addr
	// Corporate tells whether the policy sends a name over DirectAccess; nil: never.
	Corporate func(name string) bool
	// Probes are the names that reveal DirectAccess' prefix while it is connected; nil:
	// there are none.
	Probes func() []directaccess.Probe
	// Known returns the prefixes that the operating system knows, by link index; nil
	// where it knows none. The loop alone calls it.
	Known func() map[int][]discover.Known
	// Echo asks a neighbour on a link from one of this host's addresses, and returns nil
	// when it has answered; nil: that cannot be done.
	Echo func(ctx context.Context, link int, from, to netip.Addr) error
	// Observer is told of transitions and probes; nil: nobody.
	Observer Observer
	// Secret are the bytes from which CLAT addresses are derived, stable on one
	// machine; empty: drawn anew.
	Secret []byte
}

// Observer counts. Its methods must not block.
type Observer interface {
	Transition(class, path, reason string)
	Probed(path, result string, reachable bool, took time.Duration)
}

// Monitor watches the network state.
type Monitor interface {
	Run(ctx context.Context) error
	Changed() <-chan struct{}
	Snapshot() (netstate.Snapshot, error)
}

// Configurator brings addresses, routes and devices to the wanted state. The
// zero Want removes everything of ours.
type Configurator interface {
	Apply(ctx context.Context, have netstate.Snapshot, want netcfg.Want) error
}

// Device is the CLAT's TUN.
type Device interface {
	clat.Port
	Name() string
	Index() int
}

// Dialer opens connections; net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Steer says which packets go between uplink and TUN.
type Steer struct {
	Device, Uplink int  // link indexes
	Ethernet       bool // of the uplink
	CLAT6          netip.Addr
	Prefixes       []nat64.Prefix
	NextHop        netip.Addr // the router to the prefixes, not valid: it has to be looked up
	// Translate is what is to be translated on the way, nil nothing: all goes to the
	// device's reader.
	Translate *siit.Config
}

// Steering is what Steer has set up.
type Steering interface {
	Mode() string
	// Change goes over to another Steer of the same links without a gap; on error the
	// old one stays.
	Change(Steer) error
	Counters() (map[string]uint64, error)
	Close() error
}
