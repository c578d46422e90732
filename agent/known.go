package agent

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/pref64"
)

// ReadPolicy reads what DirectAccess' policy and its tunnels are made of;
// directaccess.System is one.
type ReadPolicy func() (directaccess.Tree, []directaccess.Adapter, error)

// UseDirectAccess sets the edges that know of DirectAccess. An error is logged when
// it is a new one.
func UseDirectAccess(e *Edges, log logrus.FieldLogger, read ReadPolicy) {
	e.Known = systemPrefixes(log, read)
	policy := func() (directaccess.Policy, []directaccess.Adapter) {
		tree, adapters, err := read()
		if err != nil {
			return directaccess.Policy{}, nil // told by Known
		}
		return directaccess.Read(tree), adapters
	}
	e.NameServers = func(name string) []netip.Addr {
		p, adapters := policy()
		servers, _ := p.Servers(name, adapters)
		return servers
	}
	e.Corporate = func(name string) bool {
		p, adapters := policy()
		_, corporate := p.Servers(name, adapters)
		return corporate
	}
	e.Probes = func() []directaccess.Probe {
		p, adapters := policy()
		if !slices.ContainsFunc(adapters, directaccess.Adapter.Carries) {
			return nil
		}
		return p.Probes()
	}
}

// systemPrefixes returns a function that asks the system for the prefixes that it
// knows: those of DirectAccess, on the tunnels that are connected. Without a tunnel
// none is used, since the corporate prefix leads nowhere else (spec MSDA-13).
func systemPrefixes(log logrus.FieldLogger, read ReadPolicy) func() map[int][]discover.Known {
	var last string
	return func() map[int][]discover.Known {
		tree, adapters, err := read()
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			if err.Error() != last {
				log.WithError(err).Warn("read DirectAccess policy")
			}
			last = err.Error()
			return nil
		}
		last = ""
		var known map[int][]discover.Known
		for _, p := range directaccess.Read(tree).Prefixes(adapters) {
			if p.Link == 0 {
				continue
			}
			if known == nil {
				known = make(map[int][]discover.Known)
			}
			known[p.Link] = append(known[p.Link], discover.Known{Prefix: p.Prefix, Reason: p.Origin})
		}
		return known
	}
}

// wantedNames are the names to look up: those of the servers, and those that reveal
// DirectAccess' prefix.
func (a *Agent) wantedNames() []string {
	names := resolvable(a.conf.Servers)
	if a.edges.Probes != nil {
		for _, p := range a.edges.Probes() {
			if !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// corporate tells whether a name is the organization's, behind DirectAccess.
func (a *Agent) corporate(name string) bool {
	return a.edges.Corporate != nil && a.edges.Corporate(name)
}

// revealed is the prefix that DirectAccess' names resolve to, and the link that
// leads to it; none without a route of its own.
func (a *Agent) revealed(snap netstate.Snapshot) (k discover.Known, link int, ok bool) {
	if a.edges.Probes == nil {
		return k, 0, false
	}
	var names []directaccess.Resolved
	for _, p := range a.edges.Probes() {
		got := a.names.answer(p.Name)
		if p.IPv4.IsValid() {
			got.ipv4 = []netip.Addr{p.IPv4}
		}
		names = append(names, directaccess.Resolved{Name: p.Name, IPv4: got.ipv4, IPv6: got.ipv6})
	}
	for _, s := range a.conf.Servers {
		if a.corporate(s.Name) {
			names = append(names, directaccess.Resolved{Name: s.Name, IPv6: a.names.answer(s.Name).ipv6})
		}
	}
	prefix, reason, ok := directaccess.Revealed(names)
	r, routed := snap.RouteTo(prefix.Netip().Addr())
	return discover.Known{Prefix: prefix, Reason: reason, Trust: pref64.AfterProbe}, r.Link, ok && routed && r.Dst.Bits() > 0
}
