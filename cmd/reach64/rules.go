package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/sock"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/pref64"
)

// rules says which names have DNS servers of their own, by configuration or by the
// system's policy (NRPT), and what that policy knows of the organization's prefix.
type rules struct {
	servers  []config.Server
	policy   directaccess.Policy
	adapters []directaccess.Adapter
}

func readRules(conf config.Config) rules {
	r := rules{servers: conf.Servers}
	tree, adapters, err := directaccess.System()
	switch {
	case err == nil:
		r.policy, r.adapters = directaccess.Read(tree), adapters
	case !errors.Is(err, errors.ErrUnsupported):
		logrus.WithError(err).Warn("read DirectAccess policy")
	}
	return r
}

// of returns a name's own DNS servers, and by whose word; none: it has those of the
// link.
func (r rules) of(name string) (servers []netip.Addr, by string) {
	for _, s := range r.servers {
		if len(s.DNS) > 0 && strings.EqualFold(s.Name, strings.TrimSuffix(name, ".")) {
			return s.DNS, "the configuration"
		}
	}
	servers, _ = r.policy.Servers(name, r.adapters)
	return servers, "policy (NRPT)"
}

// known are the prefixes that the system knows, by link: those of its policy, and
// the one that DirectAccess' names reveal. It asks for all names at once and waits.
func (r rules) known(ctx context.Context, snap netstate.Snapshot) map[int][]discover.Known {
	out := make(map[int][]discover.Known)
	for _, p := range r.policy.Prefixes(r.adapters) {
		if p.Link != 0 {
			out[p.Link] = append(out[p.Link], discover.Known{Prefix: p.Prefix, Reason: p.Origin})
		}
	}
	if !slices.ContainsFunc(r.adapters, directaccess.Adapter.Carries) {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	probes := r.policy.Probes()
	names := make([]directaccess.Resolved, len(probes))
	var wg sync.WaitGroup
	for i, p := range probes {
		wg.Go(func() {
			servers, _ := r.policy.Servers(p.Name, r.adapters)
			six, four, _ := discover.LookUp(ctx, &dnsq.Client{Dialer: sock.Dialer("")}, over53(servers), p.Name, dns.TypeAAAA, dns.TypeA)
			if p.IPv4.IsValid() {
				four = []netip.Addr{p.IPv4}
			}
			names[i] = directaccess.Resolved{Name: p.Name, IPv4: four, IPv6: six}
		})
	}
	wg.Wait()
	if prefix, reason, ok := directaccess.Revealed(names); ok {
		if route, ok := snap.RouteTo(prefix.Netip().Addr()); ok && route.Dst.Bits() > 0 {
			out[route.Link] = append(out[route.Link], discover.Known{Prefix: prefix, Reason: reason, Trust: pref64.AfterProbe})
		}
	}
	return out
}

// names are the configured servers that have one, as discover asks for them.
func (r rules) names() (out []discover.ServerName) {
	for _, s := range r.servers {
		if !s.IsLiteral() {
			own, _ := r.of(s.Name)
			out = append(out, discover.ServerName{Name: s.Name, IPv4: s.IPv4, DNS: own})
		}
	}
	return out
}

func over53(ips []netip.Addr) (out []netip.AddrPort) {
	for _, ip := range ips {
		out = append(out, netip.AddrPortFrom(ip, 53))
	}
	return out
}

// LookupNetIP asks the system for a name's addresses, or the DNS servers that the
// configuration has for it; the system follows its own policy by itself.
func (r rules) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	servers, by := r.of(host)
	if len(servers) == 0 || by != "the configuration" {
		return net.DefaultResolver.LookupNetIP(ctx, network, host)
	}
	qtype := dns.TypeAAAA
	if network == "ip4" {
		qtype = dns.TypeA
	}
	six, four, err := discover.LookUp(ctx, &dnsq.Client{Dialer: sock.Dialer("")}, over53(servers), host, qtype)
	if len(six)+len(four) > 0 {
		err = nil // another one has answered
	}
	return append(six, four...), err
}

// optional reads a configuration that need not exist, nor name a server.
func (c configuration) optional() (config.Config, error) {
	layers, err := c.layers()
	if errors.Is(err, fs.ErrNotExist) {
		return config.Config{}, nil
	}
	conf, _, wrong := config.Merge(layers, os.ReadFile)
	if config.LacksServer(wrong) {
		wrong = nil
	}
	if err := errors.Join(err, wrong); err != nil {
		return config.Config{}, &exit{status.ExitConfig, fmt.Errorf("read configuration: %w", err)}
	}
	return conf, nil
}
