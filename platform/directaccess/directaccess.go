// Package directaccess tells what Windows' group policy says of DirectAccess: the
// NAT64 prefix of the corporate network, as far as policy reveals it, which names
// go to which DNS servers (the NRPT, MS-GPNRPT), and over which tunnel.
//
// Reading is apart from the system: a Tree of registry values, filled by System on
// Windows or by ParseReg from the text of reg export, becomes a Policy. The
// package resolves no names, tests no connection, and does not decide: a policy
// that is there does not mean that DirectAccess is connected (spec DA-23).
package directaccess

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/reach64/reach64/resolver/nat64"
)

// Policy is what the registry says of DirectAccess.
type Policy struct {
	Rules     []Rule // by policy first, then local ones; in the order of their ids
	Corporate Corporate
	Tunnels   Tunnels
	Global    Global
	Problems  []Problem // what could not be used
}

// Problem is a value that could not be used. It costs only itself.
type Problem struct {
	Key, Name string // of the registry; Name is empty when it is the key
	Why       string
}

func (p Problem) String() string {
	if p.Name == "" {
		return p.Key + ": " + p.Why
	}
	return fmt.Sprintf("%s, %s: %s", p.Key, p.Name, p.Why)
}

// Global are settings for the whole NRPT. What their numbers mean is not
// published; nil is not set (spec DA-22, MSDA-3).
type Global struct {
	EnableForAllNetworks, QueryOrder, SecureNameFallback *uint32
}

// Read takes a policy out of a registry. What cannot be used is in Problems.
func Read(t Tree) Policy {
	var p Policy
	p.rules(t, policyRules, false)
	p.rules(t, localRules, true)
	p.corporate(t)
	p.tunnels(t)
	r := reader{tree: t, key: clientKey, policy: &p}
	p.Global = Global{r.number("EnableDAForAllNetworks"), r.number("DirectAccessQueryOrder"), r.number("DnsSecureNameQueryFallback")}
	return p
}

// Configured tells whether policy makes this machine a DirectAccess client: a rule
// with DirectAccess settings in force, or the probe by which Windows tells that it
// is connected.
func (p Policy) Configured() bool {
	return p.Corporate.ProbeHost != "" || slices.ContainsFunc(p.Effective(), func(r Rule) bool { return r.DirectAccess })
}

// Prefix is a NAT64 prefix that policy reveals.
type Prefix struct {
	Prefix nat64.Prefix
	Link   int    // index of the tunnel that leads there; 0: none was found
	Origin string // for people: which setting says so
}

// Prefixes returns the prefixes that policy reveals, for each tunnel that is
// connected. None is for the uplink: a network's own prefix may not be mixed up
// with the corporate one (spec DA-3, MSDA-13). Without a connected tunnel the
// prefix comes with Link 0, for reports.
func (p Policy) Prefixes(adapters []Adapter) []Prefix {
	if !p.Corporate.Prefix.IsValid() {
		return nil
	}
	found := Prefix{Prefix: p.Corporate.Prefix, Origin: fmt.Sprintf("DirectAccess policy expects %s to be %s", p.Corporate.probeHost(), p.Corporate.ProbeAddr)}
	var out []Prefix
	for _, a := range adapters {
		if a.Carries() {
			found.Link = a.Index
			out = append(out, found)
		}
	}
	if len(out) == 0 {
		return []Prefix{found}
	}
	return out
}

// Server is a DNS server as the NRPT names it: by address, or by name when Addr is
// not valid.
type Server struct {
	Addr netip.Addr
	Name string
}

func (s Server) String() string {
	if s.Addr.IsValid() {
		return s.Addr.String()
	}
	return s.Name
}
