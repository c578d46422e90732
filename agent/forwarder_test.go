package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// Names with rules go to their servers, by whatever link; nothing is synthesized for
// the organization's (DNS64-12, MSDA-13).
func TestLocalDNS64FollowsRules(t *testing.T) {
	log, _ := logtest.NewNullLogger()
	servers := resolvers{"2001:db8::53": saying("www.example.org. 60 IN A 198.51.100.1"), "fd12::53": saying("host.corp.example. 60 IN A 10.0.0.1")}
	var links []string
	f := newForwarder(log, config.Config{DNS: config.DNS{Listen: netip.MustParseAddrPort("127.0.0.1:53")}},
		func(link string) Dialer { links = append(links, link); return servers },
		func(name string) []netip.Addr {
			if dns.IsSubDomain("corp.example.", dns.Fqdn(name)) {
				return []netip.Addr{netip.MustParseAddr("fd12::53")}
			}
			return nil
		}, func(name string) bool { return dns.IsSubDomain("corp.example.", dns.Fqdn(name)) })
	candidate := func(prefix string, s pref64.Source, order int) pref64.Candidate {
		return pref64.Candidate{Prefix: nat64.MustParse(prefix), Source: s, Link: 2, Order: order}
	}
	w := reach.World{Prefixes: []pref64.Candidate{candidate("2001:db8:64::/96", pref64.PCP, 0), candidate("2001:db8:65::/96", pref64.PCP, 1),
		candidate("2001:db8:66::/96", pref64.RA, 1), candidate("fd12:0:0:7777::/96", pref64.Server, 0)}}
	q := question{link: "eth0", servers: []netip.Addr{netip.MustParseAddr("2001:db8::53")}}
	f.follow(q, w, reach.Out{Class: reach.ClassDirectAccess, Uplink: 2})
	for name, want := range map[string]string{
		"www.example.org.":   "2001:db8:64::c633:6401 2001:db8:66::c633:6401 over eth0",
		"host.corp.example.": "over ",
	} {
		links = nil
		m := f.engine.Answer(t.Context(), new(dns.Msg).SetQuestion(name, dns.TypeAAAA))
		var got []string
		for _, rr := range m.Answer {
			got = append(got, rr.(*dns.AAAA).AAAA.String())
		}
		got = append(got, "over "+strings.Join(slices.Compact(links), ","))
		if d := cmp.Diff(want, strings.Join(got, " ")); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
