package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/resolver/nat64"
)

// explanation is the result of explain: what an address is by itself. Which
// route it takes and whether it works is not looked at, and null.
type explanation struct {
	Address  string  `json:"address"`
	Kind     string  `json:"kind"`     // ipv4, nat64, ipv6
	Prefix   *string `json:"prefix"`   // the NAT64 prefix that it lies in
	Embedded *string `json:"embedded"` // the IPv4 address inside
	Route    *string `json:"route"`
	Path     *string `json:"path"`
	Works    *bool   `json:"works"`
	Reason   string  `json:"reason"` // one sentence for a person
}

func explainCommand() *cobra.Command {
	var texts []string
	var asJSON bool
	var file string
	c := &cobra.Command{
		Use:   "explain ADDR",
		Short: "Tell what an IP address is, and which IPv4 address stands in it",
		Long: "Tell what an IP address is: an IPv4 address seen through a NAT64, through which prefix,\n" +
			"or neither. It needs no service, no privilege and no network. The well-known prefix is\n" +
			"known, and those of the configuration (discovery.prefixes); give others of your network\n" +
			"with --prefix (reach64 discover finds them). Without --config, a configuration that\n" +
			"cannot be read is named on standard error and left out.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &exit{status.ExitUsage, fmt.Errorf("explain takes one IP address, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			addr, known, err := readExplain(args[0], texts)
			if err != nil {
				return &exit{status.ExitUsage, err}
			}
			configured, err := configuredPrefixes(file, c.Flags().Changed("config"), c.ErrOrStderr())
			if err != nil {
				return &exit{status.ExitConfig, err}
			}
			return printExplain(c.OutOrStdout(), explain(addr, merge(known, configured)), asJSON)
		},
	}
	c.Flags().StringArrayVar(&texts, "prefix", nil, "a NAT64 prefix of the network, such as 2001:db8:64::/96 (may be repeated)")
	c.Flags().StringVar(&file, "config", paths.ConfigFile(), "configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// knownPrefix is a NAT64 prefix and who told of it.
type knownPrefix struct {
	nat64.Prefix
	configured bool // by the configuration; otherwise on the command line
}

// readExplain reads the command line.
func readExplain(text string, texts []string) (netip.Addr, []knownPrefix, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, nil, fmt.Errorf("explain %q: not an IP address", text)
	}
	var known []knownPrefix
	for _, s := range texts {
		p, err := nat64.Parse(s)
		if err != nil {
			return addr, nil, fmt.Errorf("read --prefix: %w", err)
		}
		known = append(known, knownPrefix{Prefix: p})
	}
	return addr, known, nil
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
		known = append(known, knownPrefix{p, true})
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

func printExplain(out io.Writer, e explanation, asJSON bool) error {
	if asJSON {
		return printJSON(out, e)
	}
	_, err := fmt.Fprintln(out, e.Reason)
	return err
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
