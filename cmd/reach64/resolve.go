package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/sock"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/system"
)

func resolveCommand() *cobra.Command {
	var f networkFlags
	var asJSON bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "resolve NAME",
		Short: "Show what a name resolves to, for applications and at each DNS server",
		Long: "Show what applications get for a name, what each DNS server on each link says when it is\n" +
			"asked directly, which addresses the NAT64 makes of the IPv4 ones, and where these differ.\n" +
			"It needs no service and no privilege.\n\n" +
			"Exit codes: 0 nothing to be said, 10 there are findings, 11 the name has no address.",
		Args: oneArgument("name"),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := f.open()
			if err != nil {
				return err
			}
			if _, ok := dns.IsDomainName(args[0]); !ok || strings.ContainsAny(args[0], " /:") {
				return &exit{status.ExitUsage, fmt.Errorf("resolve %q: it is not a host name; explain tells what an address is", args[0])}
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			r := resolve(ctx, n, args[0])
			if asJSON {
				err = printJSON(c.OutOrStdout(), r)
			} else {
				_, err = io.WriteString(c.OutOrStdout(), r.text())
			}
			switch {
			case err != nil:
				return fmt.Errorf("write result: %w", err)
			case len(r.System.Addresses) == 0:
				return &exit{code: status.ExitPathBroken}
			case len(r.Findings) > 0:
				return &exit{code: status.ExitDegraded}
			}
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "for everything")
	return c
}

// resolution is what resolve prints.
type resolution struct {
	Name     string           `json:"name"`
	Rule     *string          `json:"rule"` // by whose word it has DNS servers of its own; null: it has those of the links
	System   systemView       `json:"system"`
	Servers  []serverView     `json:"servers"`
	Prefixes []string         `json:"prefixes"`
	Origin   string           `json:"prefixes_from"`
	Made     []madeView       `json:"synthesized"`
	Findings []system.Finding `json:"findings"`
}

type systemView struct {
	How       string       `json:"how"`
	Addresses []netip.Addr `json:"addresses"`
	Took      float64      `json:"took"` // seconds
	Error     *string      `json:"error"`
}

type serverView struct {
	Server    string       `json:"server"`
	Link      *string      `json:"link"`
	Type      string       `json:"type"`
	Rcode     string       `json:"rcode"`
	Aliases   []string     `json:"aliases"`
	Addresses []netip.Addr `json:"addresses"`
	TTL       *float64     `json:"ttl"`  // seconds
	Took      float64      `json:"took"` // seconds
	Error     *string      `json:"error"`
}

type madeView struct {
	IPv4   netip.Addr `json:"ipv4"`
	IPv6   netip.Addr `json:"ipv6"`
	Prefix string     `json:"prefix"`
}

// resolve asks both ways and compares.
func resolve(ctx context.Context, n *network, name string) resolution {
	known := n.Network(ctx)
	run := func(ctx context.Context, program string, args ...string) ([]byte, error) {
		return exec.CommandContext(ctx, program, args...).Output()
	}
	view := system.Applications(ctx, run, net.DefaultResolver, name)
	servers, by := n.resolvers(snapshot(), name)
	answers := system.Servers(ctx, servers, func(link string) system.Asker {
		return &dnsq.Client{Dialer: sock.Dialer(link), Link: link}
	}, name)
	r := resolution{Name: name, Rule: status.Ptr(by), Origin: n.origin, Servers: []serverView{}, Prefixes: []string{}, Made: []madeView{},
		System:   systemView{How: view.How, Addresses: append([]netip.Addr{}, view.Addrs...), Took: view.Took.Seconds(), Error: status.Ptr(view.Err)},
		Findings: append([]system.Finding{}, system.Compare(name, view, answers, known.Prefixes)...)}
	for _, p := range known.Prefixes {
		r.Prefixes = append(r.Prefixes, p.String())
	}
	for _, a := range answers {
		v := serverView{Server: a.Server.Addr.String(), Link: status.Ptr(a.Server.Link), Type: dns.TypeToString[a.Type], Rcode: dns.RcodeToString[a.Rcode],
			Aliases: append([]string{}, a.Chain.Aliases...), Addresses: append([]netip.Addr{}, a.Chain.Addrs...), Took: a.Took.Seconds(), Error: status.Ptr(a.Err)}
		if len(a.Chain.Addrs)+len(a.Chain.Aliases) > 0 {
			v.TTL = status.Seconds(a.Chain.TTL)
		}
		r.Servers = append(r.Servers, v)
	}
	for _, s := range system.Synthesize(answers, known.Prefixes, known.NonGlobal) {
		r.Made = append(r.Made, madeView{s.IPv4, s.IPv6, s.Prefix.String()})
	}
	return r
}

// resolvers are the DNS servers to ask for a name: its own, by a rule, by whatever
// link leads there; else those of each link, and the system's own on the link with
// the default route, as discover asks them.
func (n *network) resolvers(s netstate.Snapshot, name string) (out []system.Server, by string) {
	if own, by := n.rules.of(name); len(own) > 0 {
		for _, at := range over53(own) {
			out = append(out, system.Server{Addr: at})
		}
		return out, by
	}
	return linkResolvers(s), ""
}

// linkResolvers are the DNS servers of each link.
func linkResolvers(s netstate.Snapshot) (out []system.Server) {
	links, _ := linksOf(s, "", nil)
	for _, l := range links {
		for _, ip := range l.DNS {
			link := l.Name
			if ip.IsLoopback() {
				link = "" // a stub on this machine is not beyond any link
			}
			out = append(out, system.Server{Link: link, Addr: netip.AddrPortFrom(ip, 53)})
		}
	}
	return out
}

func (r resolution) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Applications get, from %s in %.1f ms:\n", r.System.How, r.System.Took*1000)
	for _, a := range r.System.Addresses {
		fmt.Fprintf(&b, "  %s\n", a)
	}
	if r.System.Error != nil {
		fmt.Fprintf(&b, "  nothing: %s\n", *r.System.Error)
	}
	if r.Rule != nil {
		fmt.Fprintf(&b, "By %s the name has DNS servers of its own:\n", *r.Rule)
	}
	for _, s := range r.Servers {
		on := ""
		if s.Link != nil {
			on = " on " + *s.Link
		}
		fmt.Fprintf(&b, "%s%s says for %s, in %.1f ms: ", s.Server, on, s.Type, s.Took*1000)
		switch {
		case s.Error != nil:
			fmt.Fprintf(&b, "%s\n", *s.Error)
			continue
		case s.Rcode != "NOERROR":
			b.WriteString(s.Rcode)
		case len(s.Addresses) == 0:
			b.WriteString("nothing")
		}
		for _, a := range s.Aliases {
			fmt.Fprintf(&b, "alias %s ", a)
		}
		for _, a := range s.Addresses {
			fmt.Fprintf(&b, "%s ", a)
		}
		if s.TTL != nil {
			fmt.Fprintf(&b, "(TTL %.0f s)", *s.TTL)
		}
		b.WriteByte('\n')
	}
	for _, m := range r.Made {
		fmt.Fprintf(&b, "%s is reached at %s through prefix %s, from %s\n", m.IPv4, m.IPv6, m.Prefix, r.Origin)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "! %s\n", f.Sentence)
	}
	return b.String()
}
