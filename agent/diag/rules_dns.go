package diag

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/system"
)

func judgeResolvers(e *Evidence) finding {
	var good, bad []string
	for _, r := range e.Answers {
		if r.Answered {
			good = append(good, fmt.Sprintf("%s answers in %s", r.label(), millis(r.Took)))
		} else {
			bad = append(bad, fmt.Sprintf("%s does not answer: %s", r.label(), cause(r.Err)))
		}
	}
	const remedy = "The network's operator has to mend the DNS server, or announce one that works (RDNSS, DHCPv6). Until then the server's ipv4 and discovery.prefixes can be configured."
	switch {
	case !e.Asked[Resolvers]:
		return unknown("not asked")
	case len(e.Answers) == 0 && e.NetErr != "":
		return unknown("which DNS servers the system has is not known: %s", e.NetErr)
	case len(e.Answers) == 0:
		return fail("Have the router announce a DNS server (RDNSS in its advertisements, or DHCPv6), or enter one in the system's settings.", "no DNS server is known that can be asked on this network")
	case len(good) == 0:
		return fail(remedy, "%s", bad[0]).with(bad[1:]...)
	case len(bad) > 0:
		return warn(remedy, "%s", bad[0]).with(append(bad[1:], good...)...)
	}
	return pass("%s", good[0]).with(good[1:]...)
}

// cause is the end of an error's chain, which is the system's own word.
func cause(err string) string {
	if i := strings.LastIndex(err, ": "); i >= 0 && i+2 < len(err) {
		err = err[i+2:]
	}
	if strings.Contains(err, "deadline exceeded") || strings.Contains(err, "i/o timeout") {
		return "no answer in time"
	}
	return err
}

func judgeName(e *Evidence, s *Server) finding {
	switch {
	case s.Literal:
		return skip("%s is an address", s.Name)
	case !e.Asked[Names]:
		return unknown("not asked")
	case len(s.View.Addrs) > 0:
		return pass("%s is %s", s.Name, and(texts(s.View.Addrs)))
	}
	if len(recordsOf(s, 4))+len(recordsOf(s, 6)) > 0 {
		return fail("The system does not use the DNS servers of this network for the name: look for a VPN's or a management tool's DNS settings, a hosts file, or a search list.",
			"programs get no address for %s (%s), though DNS has one", s.Name, cause(s.View.Err))
	}
	return fail("Check the spelling of the name. If it is right, its owner has to mend its DNS records, or it is known only inside the organization: then give its DNS servers with server.dns, or connect the VPN.",
		"programs get no address for %s: %s", s.Name, orElse(cause(s.View.Err), "it has none"))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// recordsOf are the addresses of one family in the DNS servers' answers.
func recordsOf(s *Server, family int) (out []netip.Addr) {
	for _, a := range s.Answers {
		for _, ip := range a.Chain.Addrs {
			if ip.Is4() == (family == 4) && !slices.Contains(out, ip) {
				out = append(out, ip)
			}
		}
	}
	return out
}

// told elsewhere: these findings are the business of other checks.
var elsewhere = []string{"server-failed", "no-dns64", "dns64-not-everywhere", "no-address", "system-fails"}

func judgeRecords(e *Evidence, s *Server) finding {
	switch {
	case s.Literal:
		return skip("%s is an address", s.Name)
	case len(s.Answers) == 0:
		return unknown("no DNS server was asked")
	}
	var prefixes []nat64.Prefix
	for _, k := range e.Prefixes() {
		prefixes = append(prefixes, k.Prefix)
	}
	var odd []string
	for _, f := range system.Compare(s.Name, s.View, s.Answers, prefixes) {
		if !slices.Contains(elsewhere, f.Code) {
			odd = append(odd, f.Sentence)
		}
	}
	var have []string
	for _, ip := range recordsOf(s, 4) {
		have = append(have, "A "+ip.String())
	}
	for _, ip := range recordsOf(s, 6) {
		have = append(have, "AAAA "+ip.String()+", "+origin(e, s, ip))
	}
	switch {
	case len(odd) > 0:
		return warn("Ask the operators of the DNS servers why they differ; reach64 resolve "+s.Name+" shows each answer.", "%s", strings.Join(odd, "\n")).with(have...)
	case len(have) == 0:
		return unknown("no DNS server gives an address for %s", s.Name)
	}
	return pass("%s", strings.Join(have, "; "))
}

// origin says whether an AAAA record is the server's own or made by a DNS64.
func origin(e *Evidence, s *Server, ip netip.Addr) string {
	for _, k := range append(e.Prefixes(), Known{Prefix: nat64.WellKnown()}) {
		if v4, ok := k.Prefix.Extract(ip); ok {
			return fmt.Sprintf("made by a DNS64 of %s and %s", v4, k.Prefix)
		}
	}
	return "the server's own (native)"
}

func judgeIPv4only(e *Evidence) finding {
	var good, filtered []string
	for _, r := range e.Answers {
		switch {
		case !r.Answered:
		case r.HasA || len(r.Prefixes) > 0:
			good = append(good, r.label()+" knows the name")
		default:
			filtered = append(filtered, fmt.Sprintf("%s answers %s without 192.0.0.170, which the name always has", r.label(), r.Rcode))
		}
	}
	remedy := "The DNS server, or something before it, filters ipv4only.arpa, from which clients learn the NAT64 prefix (RFC 7050): its operator has to let it through (RFC 8880), or announce PREF64 in router advertisements."
	switch {
	case len(good)+len(filtered) == 0:
		return unknown("no DNS server answered")
	case len(filtered) == 0:
		return pass("%s", good[0]).with(good[1:]...)
	case len(good) > 0 || len(e.Prefixes()) > 0:
		return warn(remedy, "%s", filtered[0]).with(append(filtered[1:], good...)...)
	case !e.needs64():
		return skip("a NAT64 is not needed here").with(filtered...)
	}
	return fail(remedy, "%s", filtered[0]).with(filtered[1:]...)
}

func judgeDNS64(e *Evidence) finding {
	var with, without []string
	for _, r := range e.Answers {
		switch {
		case len(r.Prefixes) > 0:
			with = append(with, fmt.Sprintf("%s synthesizes from %s", r.label(), and(texts(r.Prefixes))))
		case r.Answered && len(r.Foreign) > 0:
			without = append(without, fmt.Sprintf("%s gives ipv4only.arpa %s, which holds no well-known address", r.label(), and(texts(r.Foreign))))
		case r.Answered:
			without = append(without, r.label()+" gives ipv4only.arpa no AAAA record")
		}
	}
	remedy := "Ask the network's operator to turn DNS64 on, or to announce PREF64 in router advertisements (RFC 8781); or set discovery.prefixes."
	switch {
	case len(with)+len(without) == 0:
		return unknown("no DNS server answered")
	case len(with) > 0 && len(without) == 0:
		return pass("%s", with[0]).with(with[1:]...)
	case len(with) > 0:
		return warn("Programs get an IPv6 address or none, depending on which DNS server is asked: the operator has to make them alike.", "%s", without[0]).with(append(without[1:], with...)...)
	case !e.needs64():
		return skip("a NAT64 is not needed here: " + without[0])
	case len(e.Prefixes()) > 0:
		return warn("Programs that follow DNS get no IPv6 address for the server and depend on the CLAT. "+remedy, "%s", without[0]).with(without[1:]...)
	}
	return fail(remedy, "%s", without[0]).with(without[1:]...)
}
