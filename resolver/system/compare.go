package system

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/nat64"
)

// Finding is one thing that a person should know, with a word for programs.
type Finding struct {
	Code     string `json:"code"`
	Sentence string `json:"sentence"`
}

// Synthesized is an IPv6 address made here of an IPv4 one.
type Synthesized struct {
	IPv4   netip.Addr   `json:"ipv4"`
	IPv6   netip.Addr   `json:"ipv6"`
	Prefix nat64.Prefix `json:"-"`
}

// Synthesize makes the addresses through which the name's IPv4 addresses are
// reached, for each prefix that may carry them.
func Synthesize(answers []Answer, prefixes []nat64.Prefix, policy nat64.NonGlobal) (out []Synthesized) {
	for _, a := range addresses(answers, dns.TypeA) {
		for _, p := range prefixes {
			if policy.Allows(p, a) {
				out = append(out, Synthesized{a, p.Embed(a), p})
			}
		}
	}
	return out
}

// addresses are all addresses of one type in the answers, each once.
func addresses(answers []Answer, qtype uint16) (out []netip.Addr) {
	for _, a := range answers {
		if a.Type != qtype {
			continue
		}
		for _, ip := range a.Chain.Addrs {
			if !slices.Contains(out, ip) {
				out = append(out, ip)
			}
		}
	}
	return out
}

// Compare says where the system and the DNS servers differ, and what in the
// answers does not fit together.
func Compare(name string, v View, answers []Answer, prefixes []nat64.Prefix) []Finding {
	f := findings{}
	for _, a := range answers {
		f.one(a)
	}
	f.agreement(answers)
	f.system(v, answers)
	f.synthesis(answers, prefixes)
	if len(f) == 0 && len(v.Addrs) == 0 {
		f.add("no-address", "%s has no address.", name)
	}
	return f
}

type findings []Finding

func (f *findings) add(code, format string, args ...any) {
	*f = append(*f, Finding{code, fmt.Sprintf(format, args...)})
}

func (a Answer) label() string {
	s := a.Server.Addr.Addr().String()
	if a.Server.Link != "" {
		s += " on " + a.Server.Link
	}
	return s
}

// one looks at a single answer.
func (f *findings) one(a Answer) {
	kind := dns.TypeToString[a.Type]
	switch {
	case a.Err != "":
		f.add("server-failed", "%s gave no answer for %s: %s.", a.label(), kind, a.Err)
	case a.Rcode != dns.RcodeSuccess && a.Rcode != dns.RcodeNameError:
		f.add("server-error", "%s answers %s with %s.", a.label(), kind, dns.RcodeToString[a.Rcode])
	case a.Chain.Beside > 0:
		f.add("foreign-records", "%s sent %d records for %s that belong to other names; they are not believed.", a.label(), a.Chain.Beside, kind)
	}
}

// agreement compares the servers with each other. That one synthesizes and
// another does not is told by synthesis.
func (f *findings) agreement(answers []Answer) {
	var first *Answer
	for i, a := range answers {
		if a.Type != dns.TypeA || a.Err != "" {
			continue
		}
		if first == nil {
			first = &answers[i]
			continue
		}
		if x, y := text(first.Chain.Addrs), text(a.Chain.Addrs); x != y || first.Rcode != a.Rcode {
			f.add("servers-disagree", "%s says %s (%s), %s says %s (%s).", first.label(), orNothing(x), dns.RcodeToString[first.Rcode],
				a.label(), orNothing(y), dns.RcodeToString[a.Rcode])
		}
	}
}

// system compares what applications get with what the servers said.
func (f *findings) system(v View, answers []Answer) {
	known := append(addresses(answers, dns.TypeA), addresses(answers, dns.TypeAAAA)...)
	var alien []netip.Addr
	for _, a := range v.Addrs {
		if !slices.Contains(known, a) {
			alien = append(alien, a)
		}
	}
	switch {
	case v.Err != "" && len(known) > 0:
		f.add("system-fails", "Applications get no address (%s), though DNS has %s.", v.Err, text(known))
	case len(alien) > 0 && len(answers) > 0:
		f.add("system-differs", "Applications get %s, which no DNS server gave: a hosts file, a cache, or a resolver of its own for this name.", text(alien))
	}
}

// synthesis looks at DNS64: who does it, and whether it fits.
func (f *findings) synthesis(answers []Answer, prefixes []nat64.Prefix) {
	four := addresses(answers, dns.TypeA)
	var with, without []string
	for _, a := range answers {
		if a.Type != dns.TypeAAAA || a.Err != "" {
			continue
		}
		made := false
		for _, ip := range a.Chain.Addrs {
			v4, p, ok := embedded(ip, prefixes)
			made = made || ok
			if ok && len(four) > 0 && !slices.Contains(four, v4) {
				f.add("synthesis-differs", "%s gives %s, which stands for %s through %s, but the name's IPv4 addresses are %s.", a.label(), ip, v4, p, text(four))
			}
		}
		switch {
		case made:
			with = append(with, a.label())
		case len(a.Chain.Addrs) == 0 && len(four) > 0 && len(prefixes) > 0:
			without = append(without, a.label())
		}
	}
	if len(without) > 0 && len(with) == 0 {
		f.add("no-dns64", "The network has NAT64, but no DNS64: %s gives no AAAA for a name that has only IPv4.", strings.Join(without, ", "))
	} else if len(without) > 0 {
		f.add("dns64-not-everywhere", "%s synthesizes AAAA records, %s does not.", strings.Join(with, ", "), strings.Join(without, ", "))
	}
}

// embedded finds the IPv4 address in an IPv6 one, in a known prefix or in the
// well-known one.
func embedded(ip netip.Addr, prefixes []nat64.Prefix) (netip.Addr, nat64.Prefix, bool) {
	for _, p := range append(slices.Clone(prefixes), nat64.WellKnown()) {
		if v4, ok := p.Extract(ip); ok {
			return v4, p, true
		}
	}
	return netip.Addr{}, nat64.Prefix{}, false
}

// text lists addresses in order.
func text(addrs []netip.Addr) string {
	var out []string
	for _, a := range slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare) {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
