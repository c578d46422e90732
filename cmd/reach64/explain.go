package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/resolver/nat64"
)

// explanation is the result of explain: what an address is, how packets to it go,
// and whether that works. For a name it is that of the address that applications
// try first, or of the first that works; Addresses holds all.
type explanation struct {
	Address  string  `json:"address"`
	Kind     string  `json:"kind"`     // ipv4, nat64, ipv6
	Prefix   *string `json:"prefix"`   // the NAT64 prefix that it lies in
	Embedded *string `json:"embedded"` // the IPv4 address inside
	diag.Way
	Works     *bool         `json:"works"`  // null: not tried
	Reason    string        `json:"reason"` // one sentence for a person
	Tried     *string       `json:"tried"`  // what a connection said
	Host      *string       `json:"host"`
	Port      *uint16       `json:"port"`
	Addresses []explanation `json:"addresses,omitempty"`
}

func explainCommand() *cobra.Command {
	var texts []string
	var asJSON bool
	var file, socket string
	c := &cobra.Command{
		Use:   "explain HOST|ADDR[:PORT]",
		Short: "Tell what an address is, how packets to it go, and what they look like",
		Long: "Tell what an IP address is - an IPv4 address seen through a NAT64, through which prefix, or\n" +
			"neither -, which route packets to it take, who translates them, and what a packet looks\n" +
			"like on each side. With a port a connection is tried, which says whether it works. A HOST is\n" +
			"resolved as applications do, and each of its addresses explained.\n\n" +
			"It needs no service and no privilege; for an address without a port nothing is sent.\n" +
			"The well-known prefix is known, that of the running service, and those of the configuration\n" +
			"(discovery.prefixes); give others of your network with --prefix (reach64 discover finds\n" +
			"them). Without --config, a configuration that cannot be read is named on standard error and\n" +
			"left out.\n\n" +
			"Exit codes: 0 told, 11 there is no route or no connection.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &exit{status.ExitUsage, fmt.Errorf("explain takes one address or host, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			q, err := readExplain(args[0], texts)
			if err != nil {
				return &exit{status.ExitUsage, err}
			}
			configured, err := configuredPrefixes(file, c.Flags().Changed("config"), c.ErrOrStderr())
			if err != nil {
				return &exit{status.ExitConfig, err}
			}
			q.known = merge(q.known, configured)
			x, err := lookAt(c.Context(), q, machine(c.Context(), socket, q.known))
			if err != nil {
				return &exit{status.ExitPathBroken, err}
			}
			if err := printExplain(c.OutOrStdout(), x, asJSON); err != nil {
				return err
			}
			if x.Works != nil && !*x.Works {
				return &exit{code: status.ExitPathBroken}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&texts, "prefix", nil, "a NAT64 prefix of the network, such as 2001:db8:64::/96 (may be repeated)")
	c.Flags().StringVar(&file, "config", paths.ConfigFile(), "configuration file")
	c.Flags().StringVar(&socket, "socket", paths.Socket(), "control socket of the service, for its prefix and CLAT")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// knownPrefix is a NAT64 prefix and who told of it.
type knownPrefix struct {
	nat64.Prefix
	configured bool // by the configuration
	service    bool // the service uses it; neither: given on the command line
}

// explainQuestion is what the command line asks.
type explainQuestion struct {
	host  string     // "" for an address
	addr  netip.Addr // not valid for a host
	port  uint16     // 0 none
	known []knownPrefix
}

// readExplain reads the command line.
func readExplain(text string, texts []string) (q explainQuestion, err error) {
	host := text
	if h, port, err := hostPort(text); err == nil {
		host, q.port = h, port
	}
	q.addr, err = netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		if _, ok := dns.IsDomainName(host); !ok || strings.ContainsAny(host, " /:%") {
			return q, fmt.Errorf("explain %q: neither an IP address nor a host name, with or without :PORT", text)
		}
		q.host = host
	}
	for _, s := range texts {
		p, err := nat64.Parse(s)
		if err != nil {
			return q, fmt.Errorf("read --prefix: %w", err)
		}
		q.known = append(q.known, knownPrefix{Prefix: p})
	}
	return q, nil
}

// configuredPrefixes returns discovery.prefixes of a configuration file. A file
// that was not asked for may be missing, and stops nobody when it is broken.
func configuredPrefixes(file string, asked bool, stderr io.Writer) ([]knownPrefix, error) {
	if _, err := os.Stat(file); !asked && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	conf, err := configuration{file: file}.load()
	switch {
	case err != nil && asked:
		return nil, err
	case err != nil:
		_, err = fmt.Fprintf(stderr, "reach64: %v; going on without the prefixes of the configuration\n", err)
		return nil, err
	}
	var known []knownPrefix
	for _, p := range conf.Discovery.Prefixes {
		known = append(known, knownPrefix{Prefix: p, configured: true})
	}
	return known, nil
}

// merge returns what was given, and what else is configured.
func merge(given, configured []knownPrefix) []knownPrefix {
	for _, p := range configured {
		if !slices.ContainsFunc(given, func(g knownPrefix) bool { return g.Prefix == p.Prefix }) {
			given = append(given, p)
		}
	}
	return given
}

// localUse is the block for NAT64 prefixes of a network's own, RFC 8215.
var localUse = netip.MustParsePrefix("64:ff9b:1::/48")

// explain says what addr is, given the network's prefixes. The longest prefix
// that holds it decides; the well-known one is always known.
func explain(addr netip.Addr, prefixes []knownPrefix) explanation {
	e := explanation{Address: addr.String(), Kind: "ipv6"}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		e.Kind, e.Reason = "ipv4", explain4(addr, prefixes)
		return e
	}
	var best knownPrefix
	for _, p := range append([]knownPrefix{{Prefix: nat64.WellKnown()}}, prefixes...) {
		if p.Contains(addr) && p.Bits() > best.Bits() {
			best = p
		}
	}
	switch {
	case best.IsValid():
		e.Kind = "nat64"
		name := best.String()
		e.Prefix = &name
		v4, ok := best.Extract(addr)
		if !ok {
			e.Reason = fmt.Sprintf("%v lies in %s, but its bits 64 to 71 are not zero: no IPv4 address stands in it (RFC 6052 section 2.2)", addr, describe(best))
			return e
		}
		inside := v4.String()
		e.Embedded = &inside
		e.Reason = fmt.Sprintf("%v is %v through %s", addr, v4, describe(best)) + caution(best.Prefix, v4)
	case localUse.Contains(addr):
		e.Reason = fmt.Sprintf("%v lies in 64:ff9b:1::/48, from which networks take NAT64 prefixes of their own (RFC 8215); give the network's with --prefix to see the IPv4 address", addr)
	default:
		e.Reason = fmt.Sprintf("%v is an IPv6 address in no NAT64 prefix that is known here; give the network's with --prefix", addr)
	}
	return e
}

// explain4 says through which addresses v4 is reached.
func explain4(v4 netip.Addr, prefixes []knownPrefix) string {
	if len(prefixes) == 0 {
		prefixes = []knownPrefix{{Prefix: nat64.WellKnown()}}
	}
	s := fmt.Sprintf("%v is an IPv4 address", v4)
	for i, p := range prefixes {
		joint := "; "
		if i > 0 {
			joint = ", "
		}
		s += joint + fmt.Sprintf("%v through %s", p.Embed(v4), describe(p)) + caution(p.Prefix, v4)
	}
	return s
}

func describe(p knownPrefix) string {
	switch {
	case p.IsWellKnown():
		return "the well-known NAT64 prefix"
	case p.configured:
		return fmt.Sprintf("the configured NAT64 prefix %v", p)
	case p.service:
		return fmt.Sprintf("the network's NAT64 prefix %v", p)
	}
	return fmt.Sprintf("the NAT64 prefix %v", p)
}

// caution names what a NAT64 may or must refuse (RFC 6052 section 3.1).
func caution(p nat64.Prefix, v4 netip.Addr) string {
	switch {
	case !nat64.NonGlobalAlways.Allows(p, v4):
		return " (no NAT64 can reach it: it is not the address of one remote host)"
	case !p.IsWellKnown() || nat64.IsGlobal(v4):
		return ""
	case nat64.IsPrivate(v4):
		return " (private IPv4 behind the well-known prefix: a NAT64 may refuse it)"
	}
	return " (not a global IPv4 address: RFC 6052 forbids it under this prefix)"
}
