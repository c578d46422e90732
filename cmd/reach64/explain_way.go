package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/sock"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/system"
)

// explainLimit is how long a connection, or a name, is waited for.
const explainLimit = 5 * time.Second

// surroundings are what an address is explained by.
type surroundings struct {
	evidence *diag.Evidence
	known    []knownPrefix // the service's first
	source   func(netip.Addr) netip.Addr
	try      func(ctx context.Context, to netip.AddrPort) (time.Duration, error)
	lookUp   func(ctx context.Context, name string) system.View
}

// machine is this machine, as far as it can be seen.
func machine(ctx context.Context, socket string, known []knownPrefix) surroundings {
	limited, cancel := context.WithTimeout(ctx, explainLimit)
	defer cancel()
	e := &diag.Evidence{Now: time.Now(), Service: serviceAt(socket)(limited)}
	var err error
	if e.Net, err = doctorPorts().Snapshot(); err != nil {
		e.NetErr = err.Error()
	}
	own := 0
	if c := e.Service.Status.CLAT; c != nil {
		l, _ := e.Net.LinkByName(c.Device)
		own = l.Index
	}
	e.Foreign = foreign(e.Net, own)
	if p, err := nat64.Parse(deref0(e.Service.Status.Prefix)); err == nil {
		known = merge([]knownPrefix{{Prefix: p, service: true}}, known)
	}
	for _, p := range known {
		e.Sources = append(e.Sources, diag.Source{Source: pref64.Policy, Prefixes: []nat64.Prefix{p.Prefix}})
	}
	return surroundings{evidence: e, known: known, source: sourceFor, try: tryTCP, lookUp: doctorPorts().Applications}
}

func deref0(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// sourceFor is the address from which the system sends to another. Nothing is sent:
// a UDP socket is connected and closed again.
func sourceFor(to netip.Addr) netip.Addr {
	c, err := sock.Dialer("").DialContext(context.Background(), "udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	from, _ := netip.ParseAddrPort(c.LocalAddr().String())
	return from.Addr().Unmap()
}

func tryTCP(ctx context.Context, to netip.AddrPort) (time.Duration, error) {
	start := time.Now()
	c, err := (&net.Dialer{Timeout: explainLimit}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return 0, err
	}
	return time.Since(start), c.Close()
}

// lookAt explains an address, or each address of a host.
func lookAt(ctx context.Context, q explainQuestion, m surroundings) (explanation, error) {
	if q.host == "" {
		return m.one(ctx, q.addr, q), nil
	}
	limited, cancel := context.WithTimeout(ctx, explainLimit)
	defer cancel()
	v := m.lookUp(limited, q.host)
	if len(v.Addrs) == 0 {
		return explanation{}, fmt.Errorf("explain %s: applications get no address for it (%s); reach64 resolve %s says why", q.host, v.Err, q.host)
	}
	var all []explanation
	best := 0
	for i, a := range v.Addrs {
		x := m.one(ctx, a, q)
		all = append(all, x)
		if x.Works != nil && *x.Works && (all[best].Works == nil || !*all[best].Works) {
			best = i
		}
	}
	out := all[best]
	out.Addresses = all
	return out, nil
}

// one explains one address.
func (m surroundings) one(ctx context.Context, addr netip.Addr, q explainQuestion) explanation {
	x := explain(addr, m.known)
	x.Host, x.Port = status.Ptr(q.host), status.Ptr(q.port)
	if m.evidence.NetErr != "" {
		x.Sentence = "how packets go is not known: " + m.evidence.NetErr
	} else {
		x.Way = m.evidence.WayTo(addr, m.source)
	}
	switch {
	case deref0(x.Path) == "none":
		x.Works = new(bool)
	case q.port != 0:
		took, err := m.try(ctx, netip.AddrPortFrom(addr, q.port))
		works := err == nil
		x.Works, x.Tried = &works, status.Ptr(fmt.Sprintf("TCP stands in %.1f ms", took.Seconds()*1000))
		if err != nil {
			x.Tried = status.Ptr(err.Error())
		}
	}
	return x
}

// printExplain writes the meaning first, then the way.
func printExplain(out io.Writer, x explanation, asJSON bool) error {
	if asJSON {
		return printJSON(out, x)
	}
	var b strings.Builder
	list := x.Addresses
	if len(list) == 0 {
		list = []explanation{x}
	}
	for _, one := range list {
		one.text(&b)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (x explanation) text(b *strings.Builder) {
	fmt.Fprintln(b, x.Reason)
	row := func(key, value string) {
		for _, l := range status.Fold(value, status.Columns-11) {
			fmt.Fprintf(b, "  %-8s %s\n", key, l)
			key = ""
		}
	}
	if x.Route != nil {
		row("route", *x.Route)
	}
	if x.Sentence != "" {
		row("path", orNone(x.Path)+": "+x.Sentence)
	}
	switch {
	case x.Works == nil:
	case *x.Works:
		row("works", "yes, "+deref0(x.Tried))
	case x.Tried != nil:
		row("works", "no: "+*x.Tried)
	default:
		row("works", "no: there is no route")
	}
	for i, s := range x.Packet {
		key := ""
		if i == 0 {
			key = "packet"
		}
		from := "the NAT64's own address"
		if s.Source != nil {
			from = *s.Source
		} else if s.Where != "behind the NAT64" {
			from = "?"
		}
		size := ""
		if s.MTU != nil {
			size = fmt.Sprintf(", up to %d bytes", *s.MTU)
		}
		row(key, fmt.Sprintf("%s, %s%s:", s.Where, s.Family, size))
		row("", fmt.Sprintf("  %s -> %s", from, s.Destination))
	}
}

func orNone(path *string) string {
	if path == nil {
		return "not known"
	}
	return *path
}
