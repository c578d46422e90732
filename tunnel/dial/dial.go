// Package dial opens a TCP connection to a server by whatever path works: native
// IPv6, an address synthesized through the network's NAT64, the CLAT, native
// IPv4. Attempts race by RFC 8305 (Happy Eyeballs) with its section 7 for
// networks with NAT64; the first that succeeds wins and the others are given up.
//
// It resolves, opens and routes nothing itself: names, sockets and what is known
// of the network come through small ports. It sends nothing over a connection.
package dial

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

// The constants of RFC 8305 section 8 and of spec R8305-8.
const (
	ResolutionDelay = 50 * time.Millisecond  // for AAAA, after A came first
	AttemptDelay    = 250 * time.Millisecond // between the starts of attempts
	leastDelay      = 10 * time.Millisecond  // between attempts, whatever is configured
	attemptLimit    = 10 * time.Second       // for one attempt
	wholeLimit      = 30 * time.Second       // for all of it
	maxAddresses    = 16                     // of a kind; a name with a thousand is no reason for a thousand attempts
)

// Conner opens connections; net.Dialer is one. network is "tcp4" or "tcp6".
type Conner interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Resolver asks for a name's addresses of one family: network is "ip4" or "ip6".
// No address and no error means that the name has none.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Route4 is how the host sends to an IPv4 address.
type Route4 uint8

// The ways. NoRoute4 is also the answer when it is not known.
const (
	NoRoute4 Route4 = iota
	ThroughCLAT
	Native4 // by a native or a VPN's route
)

// Network is what is known of the network when dialling begins.
type Network struct {
	Prefixes  []nat64.Prefix  // best first
	NonGlobal nat64.NonGlobal // policy under the well-known prefix
	// Route4 tells how an IPv4 address is reached; nil: not at all.
	Route4 func(netip.Addr) Route4
}

// Dialer dials. It may be copied and used concurrently.
type Dialer struct {
	Conn    Conner
	Resolve Resolver
	// Network looks at the network, which may take time; nil: nothing is known of it. What
	// IPv4 addresses need of it is waited for, IPv6 addresses are tried meanwhile.
	Network func(ctx context.Context) Network
	Delay   time.Duration // between attempts; 0: AttemptDelay
	// Check, if set, decides whether a connection that stands is the server: a
	// captive portal accepts TCP too (spec R8305-4). It must leave conn usable.
	Check func(ctx context.Context, conn net.Conn) (net.Conn, error)
}

// Dial connects to host, a name or an IP address, and tells what was tried. The
// error is of type *Error when every attempt failed.
func (d *Dialer) Dial(ctx context.Context, host string, port uint16) (net.Conn, Report, error) {
	ctx, cancel := context.WithTimeout(ctx, wholeLimit)
	defer cancel()
	r := newRace(d, host, port)
	conn, err := r.run(ctx)
	return conn, r.report(), err
}

// Error is that no attempt succeeded. It names each.
type Error struct {
	Host     string
	Port     uint16
	Lookups  []Lookup
	Attempts []Attempt
	Cause    error // why it ended before everything was tried, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dial %s", net.JoinHostPort(e.Host, fmt.Sprint(e.Port)))
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	for _, l := range e.Lookups {
		if l.Err != "" {
			fmt.Fprintf(&b, "; look up %s: %s", l.Type, l.Err)
		}
	}
	if len(e.Attempts) == 0 {
		b.WriteString("; no address to try")
	}
	for _, a := range e.Attempts {
		fmt.Fprintf(&b, "; %s by %s: %s", a.Addr, a.Kind, a.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Cause }
