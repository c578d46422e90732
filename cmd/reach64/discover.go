package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/icmp6"
	"github.com/reach64/reach64/platform/netmon"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/sock"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/dnsq"
)

// discoverFlags are the flags of the verb.
type discoverFlags struct {
	dns, ra []string
	server  string
	ipv4    []string
	link    string
	timeout time.Duration
	json    bool
	refresh bool
	socket  string
	conf    configuration
}

func discoverCommand() *cobra.Command {
	var f discoverFlags
	c := &cobra.Command{
		Use:   "discover",
		Short: "Ask every source for a NAT64 prefix and show what each says",
		Long: "Ask every source for a NAT64 prefix, side by side, and show what each says. It needs\n" +
			"no service. Reading router advertisements needs CAP_NET_RAW; without it that source\n" +
			"is skipped. Prefixes, restrictions and servers of the configuration count, if there\n" +
			"is one. With --dns or --ra-hex just what is given is looked at.\n\n" +
			"Exit codes: 0 a prefix was found, 11 none was, 12 some source gave no answer.",
		RunE: func(c *cobra.Command, _ []string) error { return runDiscover(c.Context(), c.OutOrStdout(), f) },
	}
	f.conf.flags(c)
	fl := c.Flags()
	fl.StringArrayVar(&f.dns, "dns", nil, "ask just this resolver, ADDR or ADDR:PORT (may be repeated)")
	fl.StringArrayVar(&f.ra, "ra-hex", nil, "look at this router advertisement, a whole ICMPv6 message in hex (may be repeated)")
	fl.StringVar(&f.server, "server", "", "look for the prefix in this server's AAAA record, too")
	fl.StringArrayVar(&f.ipv4, "server-ipv4", nil, "IPv4 address of --server, when DNS does not tell it (may be repeated)")
	fl.StringVar(&f.link, "interface", "", "look on this interface alone")
	fl.DurationVar(&f.timeout, "timeout", 8*time.Second, "for everything")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	fl.BoolVar(&f.refresh, "refresh", false, "ask the running service to look again now, and show nothing")
	fl.StringVar(&f.socket, "socket", paths.Socket(), "control socket of the service, for --refresh")
	return c
}

func runDiscover(ctx context.Context, out io.Writer, f discoverFlags) error {
	if f.refresh {
		_, err := control.Post(ctx, f.socket, "/v1/refresh")
		return serviceErrorOrNil(err, f.socket)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	report, names, err := look(ctx, f)
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(out, discoverResult(report, names))
	} else {
		err = printDiscover(out, report, names)
	}
	if err != nil {
		return err
	}
	if code := discoverExit(report); code != status.ExitOK {
		return &exit{code: code}
	}
	return nil
}

func serviceErrorOrNil(err error, socket string) error {
	if err == nil {
		return nil
	}
	return serviceError(err, socket)
}

// look asks the sources, and names the links by index.
func look(ctx context.Context, f discoverFlags) (discover.Report, map[int]string, error) {
	dial := func(link string) dnsq.Dialer { return sock.Dialer(link) }
	ipv4, err := parseIPv4(f.ipv4)
	if err != nil {
		return discover.Report{}, nil, &exit{status.ExitUsage, err}
	}
	if f.server == "" && len(ipv4) > 0 {
		return discover.Report{}, nil, &exit{status.ExitUsage, fmt.Errorf("--server-ipv4 needs --server")}
	}
	if len(f.dns)+len(f.ra) > 0 {
		given, err := parseGiven(f)
		if err != nil {
			return discover.Report{}, nil, &exit{status.ExitUsage, err}
		}
		given.Server, given.IPv4 = f.server, ipv4
		return discover.OnceGiven(ctx, discover.Config{}, given, dial), nil, nil
	}
	monitor, err := netmon.New(logrus.StandardLogger())
	if err != nil {
		return discover.Report{}, nil, err
	}
	snap, err := monitor.Snapshot()
	if err != nil {
		return discover.Report{}, nil, fmt.Errorf("read network state: %w", err)
	}
	conf, err := f.conf.optional()
	if err != nil {
		return discover.Report{}, nil, err
	}
	known := readRules(conf)
	links, names := linksOf(snap, f.link, known.known(ctx, snap))
	if len(links) == 0 {
		return discover.Report{}, nil, fmt.Errorf("look for prefixes: no interface is up%s", forLink(f.link))
	}
	var ra discover.RAReader
	if conn, err := icmp6.Open(); err == nil {
		defer conn.Close()
		ra = conn
	}
	cfg := discover.Config{Static: conf.Discovery.Prefixes, Sources: conf.Discovery.Sources, Allow: conf.Discovery.Allow, Servers: known.names()}
	if f.server != "" {
		own, _ := known.of(f.server)
		cfg.Servers = []discover.ServerName{{Name: f.server, IPv4: ipv4, DNS: own}}
	}
	return discover.Once(ctx, cfg, links, ra, dial), names, nil
}

func parseIPv4(texts []string) (out []netip.Addr, err error) {
	for _, s := range texts {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() {
			return nil, fmt.Errorf("--server-ipv4 %q is not an IPv4 address", s)
		}
		out = append(out, a)
	}
	return out, nil
}

func forLink(name string) string {
	if name == "" {
		return ""
	}
	return " called " + name
}

// linksOf returns where to look: links that are up, the one with the default route
// first, which has the system's resolvers too.
func linksOf(snap netstate.Snapshot, only string, known map[int][]discover.Known) ([]discover.Link, map[int]string) {
	uplink, _ := snap.Default(true)
	names := make(map[int]string)
	var links []discover.Link
	for _, l := range snap.Links {
		if !l.MayHaveRouter() || only != "" && l.Name != only {
			continue
		}
		d := discover.Link{Index: l.Index, Name: l.Name, DNS: slices.Clone(l.DNS), Routers: snap.Gateways(l.Index), Known: known[l.Index]}
		if l.Index == uplink.Link || only != "" {
			d.DNS = append(d.DNS, snap.ResolversOver(l)...)
		}
		names[l.Index] = l.Name
		links = append(links, d)
	}
	slices.SortStableFunc(links, func(a, b discover.Link) int {
		switch uplink.Link {
		case b.Index:
			return 1
		case a.Index:
			return -1
		}
		return 0
	})
	return links, names
}

// parseGiven reads --dns and --ra-hex.
func parseGiven(f discoverFlags) (discover.Given, error) {
	var g discover.Given
	for _, s := range f.dns {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			a, aerr := netip.ParseAddr(strings.Trim(s, "[]"))
			if aerr != nil {
				return g, fmt.Errorf("--dns %q is no address such as 2001:db8::53 or [2001:db8::53]:53", s)
			}
			ap = netip.AddrPortFrom(a, 53)
		}
		g.DNS = append(g.DNS, ap)
	}
	for _, s := range f.ra {
		b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
		if err != nil {
			return g, fmt.Errorf("--ra-hex is not hexadecimal: %w", err)
		}
		g.RA = append(g.RA, b)
	}
	return g, nil
}

func discoverExit(r discover.Report) int {
	if len(r.Candidates) > 0 {
		return status.ExitOK
	}
	for _, s := range r.Sources {
		if s.Verdict == discover.Error || s.Verdict == discover.Pending {
			return status.ExitInconclusive
		}
	}
	return status.ExitPathBroken
}
