package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/icmp6"
	"github.com/reach64/reach64/platform/netmon"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/sock"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/tunnel/dial"
)

// networkFlags say where the verbs that dial learn the network's NAT64 prefix.
type networkFlags struct {
	prefixes []string
	config   string
	socket   string
}

func (f *networkFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.prefixes, "prefix", nil, "NAT64 prefix to use, instead of looking for one (may be repeated)")
	fl.StringVar(&f.config, "config", paths.ConfigFile(), "configuration file, for prefixes and servers; need not exist")
	fl.StringVar(&f.socket, "socket", paths.Socket(), "control socket of the service, which is asked first")
}

// network is what the verbs that dial know of the network. It is looked at anew
// when it is older than freshFor. Safe for concurrent use.
type network struct {
	flags networkFlags
	conf  config.Config
	rules rules
	given []nat64.Prefix

	mu     sync.Mutex // over what follows, and held while looking
	seen   time.Time
	known  dial.Network
	origin string // where the prefixes come from, for people
}

// How long what is known of the network counts, and how long looking may take.
const (
	freshFor  = 15 * time.Second
	lookLimit = 3 * time.Second
	patience  = time.Second // for routers and PCP servers, which most networks do not have
)

// open reads the flags. A configuration that does not exist is none; one that
// cannot be read is an error.
func (f networkFlags) open() (*network, error) {
	n := &network{flags: f}
	for _, s := range f.prefixes {
		p, err := nat64.Parse(s)
		if err != nil {
			return nil, &exit{status.ExitUsage, fmt.Errorf("read --prefix: %w", err)}
		}
		n.given = append(n.given, p)
	}
	conf, err := configuration{file: f.config}.optional()
	if err != nil {
		return nil, err
	}
	n.conf, n.rules = conf, readRules(conf)
	return n, nil
}

// Network returns what is known now, and looks first when that is old. What was
// seen before ctx ended counts for nobody else.
func (n *network) Network(ctx context.Context) dial.Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.seen) > freshFor {
		limited, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		n.look(limited)
		if ctx.Err() == nil {
			n.seen = time.Now()
		}
	}
	return n.known
}

// look asks, in this order: the flags, the service, the configuration, and the
// network itself.
func (n *network) look(ctx context.Context) {
	snap, clat := snapshot(), ""
	var st status.Status
	if body, err := control.Get(ctx, n.flags.socket, "/v1/status"); err == nil {
		doc := struct {
			Result *status.Status `json:"result"`
		}{&st}
		if json.Unmarshal(body, &doc) == nil && st.CLAT != nil && st.CLAT.Ready {
			clat = st.CLAT.Device
		}
	}
	n.known = dial.Network{NonGlobal: n.conf.Discovery.NonGlobal, Route4: route4(snap, clat)}
	n.known.Prefixes, n.origin = n.prefixes(ctx, snap, st)
}

func (n *network) prefixes(ctx context.Context, snap netstate.Snapshot, st status.Status) ([]nat64.Prefix, string) {
	if len(n.given) > 0 {
		return n.given, "the command line"
	}
	if list := served(st); len(list) > 0 {
		return list, "the service"
	}
	if len(n.conf.Discovery.Prefixes) > 0 {
		return n.conf.Discovery.Prefixes, "the configuration"
	}
	return n.found(ctx, snap)
}

// served are the prefix that the service uses, and the others of the same source.
func served(st status.Status) (out []nat64.Prefix) {
	if st.Prefix == nil || st.Source == nil {
		return nil
	}
	texts := []string{*st.Prefix}
	for _, s := range st.Sources {
		if s.Source == *st.Source {
			texts = append(texts, s.Prefixes...)
		}
	}
	for _, text := range texts {
		if p, err := nat64.Parse(text); err == nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// found looks for prefixes as long as it takes to find one. DNS (RFC 7050) and PCP need
// no privilege, router advertisements do. A host with IPv4 of its own needs none, so
// that nobody is waited for but DNS.
func (n *network) found(ctx context.Context, snap netstate.Snapshot) ([]nat64.Prefix, string) {
	cfg := discover.Config{Sources: []pref64.Source{pref64.OS, pref64.DNS}, Allow: n.conf.Discovery.Allow}
	var ra discover.RAReader
	if _, ok := snap.Default(false); !ok {
		cfg.Sources = append(cfg.Sources, pref64.PCP, pref64.RA)
		if conn, err := icmp6.Open(); err == nil {
			defer conn.Close()
			ra = conn
		}
	}
	links, _ := linksOf(snap, "", n.rules.known(ctx, snap))
	report := discover.First(ctx, cfg, links, ra, func(link string) dnsq.Dialer { return sock.Dialer(link) }, patience)
	var out []nat64.Prefix
	origin := ""
	for _, c := range report.Candidates {
		spare := c.Source == pref64.PCP && c.Order > 0 && c.IPv4.All() // RFC 7225 section 5
		if !spare && !slices.Contains(out, c.Prefix) {
			out = append(out, c.Prefix)
		}
		origin = cmp.Or(origin, origins[c.Source])
	}
	return out, cmp.Or(origin, "the network")
}

// origins are the sources for people.
var origins = map[pref64.Source]string{pref64.OS: "the system's policy", pref64.PCP: "the network's PCP server",
	pref64.RA: "the network's router", pref64.DNS: "the network's DNS"}

// snapshot is the state of the network, or empty where it cannot be read: the
// system's own word on each attempt is then all there is.
func snapshot() netstate.Snapshot {
	m, err := netmon.New(logrus.StandardLogger())
	if err != nil {
		return netstate.Snapshot{}
	}
	s, err := m.Snapshot()
	if err != nil {
		return netstate.Snapshot{}
	}
	return s
}

// route4 tells how the host sends to IPv4 addresses; clat is the name of our
// CLAT's device, "" when there is none.
func route4(s netstate.Snapshot, clat string) func(netip.Addr) dial.Route4 {
	return func(a netip.Addr) dial.Route4 {
		if a.IsLoopback() {
			return dial.Native4
		}
		r, ok := s.RouteTo(a)
		if !ok {
			return dial.NoRoute4
		}
		l, _ := s.Link(r.Link)
		if clat != "" && l.Name == clat || len(l.Native4()) == 0 && !l.Loopback && hasContinuity(l) {
			return dial.ThroughCLAT
		}
		return dial.Native4
	}
}

// hasContinuity tells whether the link has a CLAT's address, whoever made it.
func hasContinuity(l netstate.Link) bool {
	for _, a := range l.Addrs {
		if netstate.Continuity.Contains(a.Prefix.Addr()) {
			return true
		}
	}
	return false
}

// dialer returns a dialler on this network.
func (n *network) dialer() *dial.Dialer {
	return &dial.Dialer{Conn: sock.Dialer(""), Resolve: n.rules, Network: n.Network}
}

// hostPort reads HOST:PORT; "[...]" around an IPv6 address.
func hostPort(text string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, &exit{status.ExitUsage, fmt.Errorf("%q is not HOST:PORT: %w", text, err)}
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, &exit{status.ExitUsage, fmt.Errorf("%q is not HOST:PORT with a port from 1 to 65535", text)}
	}
	return host, uint16(n), nil
}
