package directaccess

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// The names by which DirectAccess tells that it is connected, in each domain of
// the organization (spec MSDA-6, MSDA-7).
const (
	connectivityHost = "directaccess-corpconnectivityhost"
	webProbeHost     = "directaccess-webprobehost"
)

// maxProbes bounds the names of Probes.
const maxProbes = 8

// Probe is a name whose IPv6 address holds a known IPv4 address inside the NAT64
// prefix. It is never connected to.
type Probe struct {
	Name string
	IPv4 netip.Addr // invalid: what DNS says, which outside may be nothing
}

// Probes returns the names that reveal the prefix when they are resolved at the
// organization's DNS servers: the probe hosts of policy, and in each domain of
// DirectAccess' rules the two that its server has by default (spec DA-12, DA-14).
func (p Policy) Probes() (out []Probe) {
	add := func(name string, ipv4 netip.Addr) {
		if len(out) < maxProbes && !slices.ContainsFunc(out, func(o Probe) bool { return o.Name == name }) {
			out = append(out, Probe{name, ipv4})
		}
	}
	if p.Corporate.ProbeHost != "" {
		add(p.Corporate.ProbeHost, loopback)
	}
	if u, err := url.Parse(p.Corporate.WebProbe); err == nil {
		if host, err := domain(u.Hostname()); err == nil && !isAddr(host) {
			add(host, netip.Addr{})
		}
	}
	for _, r := range p.Effective() {
		for _, n := range r.Names {
			if r.DirectAccess && !r.Exempt() && n.Kind == Suffix {
				add(connectivityHost+"."+n.Name, loopback)
				add(webProbeHost+"."+n.Name, netip.Addr{})
			}
		}
	}
	return out
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// Resolved is what the organization's DNS servers say of a name.
type Resolved struct {
	Name       string
	IPv4, IPv6 []netip.Addr
}

// Revealed finds the prefix in what names of the organization resolve to: by an
// IPv4 address that is known to be in one, or, where DNS gives no IPv4 addresses,
// by two names whose addresses differ only in what would be private IPv4 addresses
// inside a prefix of 96 bits (spec DA-14, MSDA-12). The reason is for people. It is
// a hint and has to be probed.
func Revealed(names []Resolved) (prefix nat64.Prefix, reason string, ok bool) {
	for _, n := range names {
		for _, six := range n.IPv6 {
			for _, four := range n.IPv4 {
				if p, ok := pref64.FromKnown(six, four); ok {
					return p, fmt.Sprintf("DirectAccess: %s resolves to %s, which holds its IPv4 address %s", n.Name, six, four), true
				}
			}
		}
	}
	for i, n := range names {
		for _, a := range n.IPv6 {
			for _, m := range names[i+1:] {
				for _, b := range m.IPv6 {
					if p, ok := common(a, b); ok {
						return p, fmt.Sprintf("DirectAccess: %s and %s resolve to %s and %s, as if a DNS64 had made both", n.Name, m.Name, a, b), true
					}
				}
			}
		}
	}
	return nat64.Prefix{}, "", false
}

// common finds the prefix of 96 bits that two addresses share, if what is behind it
// is a private IPv4 address in both, and not the same.
func common(a, b netip.Addr) (nat64.Prefix, bool) {
	if !a.Is6() || a.Is4In6() || a == b {
		return nat64.Prefix{}, false
	}
	p, err := nat64.New(netip.PrefixFrom(a, 96).Masked())
	if err != nil {
		return nat64.Prefix{}, false
	}
	x, ok1 := p.Extract(a)
	y, ok2 := p.Extract(b)
	return p, ok1 && ok2 && nat64.IsPrivate(x) && nat64.IsPrivate(y)
}
