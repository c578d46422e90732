package dns64

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var own = []Prefix{{Prefix: nat64.MustParse("2001:db8:64::/96")}}

// zone is an upstream: what it says, by type and name, in zone file form. A line
// "! NAME" is a response code, ".. RECORD" goes into the authority section, "+ RECORD"
// into the additional one, "silence" is no answer.
type zone map[string][]string

func (z zone) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	for _, line := range z[dns.TypeToString[q.Question[0].Qtype]+" "+strings.ToLower(q.Question[0].Name)] {
		kind, rest, _ := strings.Cut(line, " ")
		switch {
		case kind == "silence":
			<-ctx.Done()
			return nil, ctx.Err()
		case kind == "!":
			m.Rcode = dns.StringToRcode[rest]
		case kind == "..":
			m.Ns = append(m.Ns, record(rest))
		case kind == "+":
			m.Extra = append(m.Extra, record(rest))
		default:
			m.Answer = append(m.Answer, record(line))
		}
	}
	return m, nil
}

func record(s string) dns.RR {
	rr, err := dns.NewRR(s)
	if err != nil {
		panic(err)
	}
	return rr
}

func query(name, qtype string) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
	return m
}

// show is a response as the tables below write it.
func show(m *dns.Msg) (out []string) {
	if m.Rcode != dns.RcodeSuccess {
		out = append(out, "! "+dns.RcodeToString[m.Rcode])
	}
	for i, list := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range list {
			if rr.Header().Rrtype != dns.TypeOPT {
				out = append(out, []string{"", ".. ", "+ "}[i]+strings.Join(strings.Fields(rr.String()), " "))
			}
		}
	}
	return out
}

const (
	soa  = "a.example. 3600 IN SOA ns.a.example. h.a.example. 1 2 3 4 60"
	v4   = "a.example. 86400 IN A 198.51.100.10"
	made = "a.example. %d IN AAAA 2001:db8:64::c633:640a"
)

func TestAnswers(t *testing.T) {
	tests := map[string]struct {
		zone     zone
		name     string // default: a.example
		qtype    string // default: AAAA
		prefixes []Prefix
		change   func(q *dns.Msg)
		policy   Policy
		want     []string
	}{
		"6147-7 synthesized, TTL of the SOA":  {zone: zone{"AAAA a.example.": {".. " + soa}, "A a.example.": {v4}}, want: []string{fmt.Sprintf(made, 3600)}},
		"6147-7 no SOA: 600 s at most":        {zone: zone{"A a.example.": {v4}}, want: []string{fmt.Sprintf(made, 600)}},
		"6147-7 the A record's own TTL":       {zone: zone{"A a.example.": {"a.example. 30 IN A 198.51.100.10"}}, want: []string{fmt.Sprintf(made, 30)}},
		"6147-2 a real AAAA stays alone":      {zone: zone{"AAAA a.example.": {"a.example. 60 IN AAAA 2001:db8:5::1"}, "A a.example.": {v4}}, want: []string{"a.example. 60 IN AAAA 2001:db8:5::1"}},
		"6147-4 NXDOMAIN stays":               {zone: zone{"AAAA a.example.": {"! NXDOMAIN", ".. " + soa}, "A a.example.": {v4}}, want: []string{"! NXDOMAIN", ".. " + soa}},
		"6147-4 SERVFAIL counts as empty":     {zone: zone{"AAAA a.example.": {"! SERVFAIL"}, "A a.example.": {v4}}, want: []string{fmt.Sprintf(made, 600)}},
		"6147-5 nothing: the AAAA's own SOA":  {zone: zone{"AAAA a.example.": {".. " + soa}}, want: []string{".. " + soa}},
		"6147-5 an error for A is the answer": {zone: zone{"A a.example.": {"! REFUSED"}}, want: []string{"! REFUSED"}},
		"6147-3 mapped addresses are absent":  {zone: zone{"AAAA a.example.": {"a.example. 60 IN AAAA ::ffff:198.51.100.10"}, "A a.example.": {v4}}, want: []string{fmt.Sprintf(made, 600)}},
		"6147-3 some excluded: the others":    {zone: zone{"AAAA a.example.": {"a.example. 60 IN AAAA ::ffff:198.51.100.10", "a.example. 60 IN AAAA 2001:db8:5::1"}}, want: []string{"a.example. 60 IN AAAA 2001:db8:5::1"}},
		"6147-3 more exclusions": {zone: zone{"AAAA a.example.": {"a.example. 60 IN AAAA 2001:db8:bad::1"}, "A a.example.": {v4}},
			policy: Policy{Exclude: []netip.Prefix{netip.MustParsePrefix("2001:db8:bad::/48")}}, want: []string{fmt.Sprintf(made, 600)}},
		"6147-6 the aliases come along": {zone: zone{"AAAA a.example.": {"a.example. 9 IN CNAME b.example."}, "A a.example.": {"a.example. 9 IN CNAME b.example.", "b.example. 99 IN A 198.51.100.10"}},
			want: []string{"a.example. 9 IN CNAME b.example.", "b.example. 99 IN AAAA 2001:db8:64::c633:640a"}},
		"6147-6 aliases that upstream did not follow": {zone: zone{"AAAA a.example.": {"a.example. 9 IN CNAME b.example."}, "A a.example.": {"a.example. 9 IN CNAME b.example."}, "A b.example.": {"b.example. 99 IN A 198.51.100.10"}},
			want: []string{"a.example. 9 IN CNAME b.example.", "b.example. 99 IN AAAA 2001:db8:64::c633:640a"}},
		"6147-6 a DNAME": {name: "x.a.example", zone: zone{"A x.a.example.": {"a.example. 9 IN DNAME b.example.", "x.a.example. 9 IN CNAME x.b.example.", "x.b.example. 99 IN A 198.51.100.10"}},
			want: []string{"a.example. 9 IN DNAME b.example.", "x.a.example. 9 IN CNAME x.b.example.", "x.b.example. 99 IN AAAA 2001:db8:64::c633:640a"}},
		"6147-10 sections of the last question": {zone: zone{"A a.example.": {v4, ".. a.example. 60 IN NS ns.a.example.", "+ ns.a.example. 60 IN A 192.0.2.53"}},
			want: []string{fmt.Sprintf(made, 600), ".. a.example. 60 IN NS ns.a.example.", "+ ns.a.example. 60 IN A 192.0.2.53"}},
		"6147-10 A is not changed":           {qtype: "A", zone: zone{"A a.example.": {v4}}, want: []string{v4}},
		"6147-10 MX is not changed":          {qtype: "MX", zone: zone{"MX a.example.": {"a.example. 60 IN MX 10 mx.example."}}, want: []string{"a.example. 60 IN MX 10 mx.example."}},
		"6147-11 CD: the truth":              {zone: zone{"A a.example.": {v4}}, change: func(q *dns.Msg) { q.CheckingDisabled = true }},
		"7050-4 all prefixes, in order":      {zone: zone{"A a.example.": {v4}}, prefixes: []Prefix{own[0], {Prefix: nat64.MustParse("2001:db8:65::/96")}}, want: []string{fmt.Sprintf(made, 600), "a.example. 600 IN AAAA 2001:db8:65::c633:640a"}},
		"7225-4 a prefix for some ranges":    {zone: zone{"A a.example.": {v4}}, prefixes: []Prefix{own[0], {Prefix: nat64.MustParse("2001:db8:65::/96"), IPv4: pref64.ScopeOf([]netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")})}}, want: []string{"a.example. 600 IN AAAA 2001:db8:65::c633:640a"}},
		"6052 a /64 leaves the u octet free": {zone: zone{"A a.example.": {v4}}, prefixes: []Prefix{{Prefix: nat64.MustParse("2001:db8:64:1::/64")}}, want: []string{"a.example. 600 IN AAAA 2001:db8:64:1:c6:3364:a00:0"}},
		"6147-6 a real AAAA behind an alias that upstream did not follow": {zone: zone{"AAAA a.example.": {"a.example. 9 IN CNAME b.example."}, "AAAA b.example.": {"b.example. 9 IN AAAA 2001:db8:5::1"}, "A b.example.": {"b.example. 9 IN A 198.51.100.10"}},
			want: []string{"a.example. 9 IN CNAME b.example.", "b.example. 9 IN AAAA 2001:db8:5::1"}},
		"6147-4 an alias to a name that is not there": {zone: zone{"AAAA a.example.": {"a.example. 9 IN CNAME b.example."}, "AAAA b.example.": {"! NXDOMAIN"}, "A a.example.": {v4}},
			want: []string{"! NXDOMAIN", "a.example. 9 IN CNAME b.example."}},
		"6147-10 HTTPS is not changed":                       {qtype: "HTTPS", zone: zone{"HTTPS a.example.": {`a.example. 60 IN HTTPS 1 . ipv4hint="198.51.100.10"`}}, want: []string{`a.example. 60 IN HTTPS 1 . ipv4hint="198.51.100.10"`}},
		"6147-10 ANY is not synthesized":                     {qtype: "ANY", zone: zone{"ANY a.example.": {v4}}, want: []string{v4}},
		"8880-3 its addresses":                               {name: "ipv4only.arpa", qtype: "A", want: []string{"ipv4only.arpa. 600 IN A 192.0.0.170", "ipv4only.arpa. 600 IN A 192.0.0.171"}},
		"8880-3 its DS goes upstream":                        {name: "ipv4only.arpa", qtype: "DS", zone: zone{"DS ipv4only.arpa.": {".. arpa. 60 IN NS a.example."}}, want: []string{".. arpa. 60 IN NS a.example."}},
		"8880-3 in capitals":                                 {name: "IPv4Only.ARPA", qtype: "AAAA", want: []string{"IPv4Only.ARPA. 600 IN AAAA 2001:db8:64::c000:aa", "IPv4Only.ARPA. 600 IN AAAA 2001:db8:64::c000:ab"}},
		"8880-4 without a prefix it is a name like others":   {name: "ipv4only.arpa", prefixes: []Prefix{}, zone: zone{"AAAA ipv4only.arpa.": {"ipv4only.arpa. 60 IN AAAA 2001:db8:7::c000:aa"}}, want: []string{"ipv4only.arpa. 60 IN AAAA 2001:db8:7::c000:aa"}},
		"8880-5 the reverse of its address goes upstream":    {name: "170.0.0.192.in-addr.arpa", qtype: "PTR", zone: zone{"PTR 170.0.0.192.in-addr.arpa.": {"! NXDOMAIN"}}, want: []string{"! NXDOMAIN"}},
		"6147-9 PTR with a suffix is no synthesized address": {qtype: "PTR", name: reverse("2001:db8:64:1:c6:3364:a00:1"), prefixes: []Prefix{{Prefix: nat64.MustParse("2001:db8:64:1::/64")}}, zone: zone{"PTR 10.100.51.198.in-addr.arpa.": {"10.100.51.198.in-addr.arpa. 60 IN PTR a.example."}}},
		"6147-9 PTR that is an alias is resolved as it is":   {qtype: "PTR", name: reverse("2001:db8:64::c633:640a"), zone: zone{"PTR 10.100.51.198.in-addr.arpa.": {"10.100.51.198.in-addr.arpa. 60 IN CNAME 10.0-24.100.51.198.in-addr.arpa.", "10.0-24.100.51.198.in-addr.arpa. 60 IN PTR a.example."}}},
		"R7050-24 PTR of the NAT64's own name goes upstream": {qtype: "PTR", name: reverse("2001:db8:64::c000:aa"), zone: zone{"PTR " + reverse("2001:db8:64::c000:aa"): {reverse("2001:db8:64::c000:aa") + " 60 IN PTR nat64.example."}}, want: []string{reverse("2001:db8:64::c000:aa") + " 60 IN PTR nat64.example."}},
		"an IPv4 range that is never synthesized": {zone: zone{"A a.example.": {v4, "a.example. 60 IN A 10.0.0.1"}},
			policy: Policy{Exclude: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, want: []string{fmt.Sprintf(made, 600)}},
		"the same, and nothing is left": {zone: zone{"A a.example.": {v4}, "AAAA a.example.": {".. " + soa}},
			policy: Policy{Exclude: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, want: []string{".. " + soa}},
		"its PTR is resolved as it is": {qtype: "PTR", name: reverse("2001:db8:64::c633:640a"), zone: zone{"PTR 10.100.51.198.in-addr.arpa.": {"10.100.51.198.in-addr.arpa. 60 IN PTR a.example."}},
			policy: Policy{Exclude: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}},
		"DNS64-12 a name behind another NAT64":                 {name: "host.corp.example", zone: zone{"A host.corp.example.": {"host.corp.example. 60 IN A 10.0.0.1"}, "AAAA host.corp.example.": {".. " + soa}}, want: []string{".. " + soa}},
		"no prefix: nothing is made":                           {zone: zone{"A a.example.": {v4}, "AAAA a.example.": {".. " + soa}}, prefixes: []Prefix{}, want: []string{".. " + soa}},
		"DNS64-6 loopback is never synthesized":                {zone: zone{"A a.example.": {"a.example. 60 IN A 127.0.0.1"}}},
		"6052-6 a private address under the well-known prefix": {zone: zone{"A a.example.": {"a.example. 60 IN A 10.0.0.1"}}, prefixes: []Prefix{{Prefix: nat64.WellKnown()}}, policy: Policy{NonGlobal: nat64.NonGlobalNever}},
		"the same when it is allowed":                          {zone: zone{"A a.example.": {"a.example. 60 IN A 10.0.0.1"}}, prefixes: []Prefix{{Prefix: nat64.WellKnown()}}, want: []string{"a.example. 60 IN AAAA 64:ff9b::a00:1"}},
		"6147-9 PTR": {qtype: "PTR", name: reverse("2001:db8:64::c633:640a"), zone: zone{"PTR 10.100.51.198.in-addr.arpa.": {"10.100.51.198.in-addr.arpa. 60 IN PTR a.example."}},
			want: []string{reverse("2001:db8:64::c633:640a") + " 60 IN CNAME 10.100.51.198.in-addr.arpa.", "10.100.51.198.in-addr.arpa. 60 IN PTR a.example."}},
		"6147-9 PTR without data is resolved as it is": {qtype: "PTR", name: reverse("2001:db8:64::c633:640a"), zone: zone{"PTR " + reverse("2001:db8:64::c633:640a"): {"! NXDOMAIN"}}, want: []string{"! NXDOMAIN"}},
		"6147-9 PTR outside the prefix":                {qtype: "PTR", name: reverse("2001:db8:5::1"), zone: zone{"PTR " + reverse("2001:db8:5::1"): {reverse("2001:db8:5::1") + " 60 IN PTR b.example."}}, want: []string{reverse("2001:db8:5::1") + " 60 IN PTR b.example."}},
		"8880-3 the well-known name":                   {name: "ipv4only.arpa", want: []string{"ipv4only.arpa. 600 IN AAAA 2001:db8:64::c000:aa", "ipv4only.arpa. 600 IN AAAA 2001:db8:64::c000:ab"}},
		"8880-3 its other types":                       {name: "ipv4only.arpa", qtype: "MX"},
		"8880-3 below it is nothing":                   {name: "x.ipv4only.arpa", want: []string{"! NXDOMAIN"}},
		"DNS64-11 localhost":                           {name: "localhost", want: []string{"localhost. 600 IN AAAA ::1"}},
		"DNS64-11 .local is not for DNS":               {name: "printer.local", want: []string{"! NXDOMAIN"}},
		"a zone transfer":                              {qtype: "AXFR", want: []string{"! REFUSED"}},
		"another class":                                {change: func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }, want: []string{"! REFUSED"}},
		"an update":                                    {change: func(q *dns.Msg) { q.Opcode = dns.OpcodeUpdate }, want: []string{"! NOTIMP"}},
		"two questions":                                {change: func(q *dns.Msg) { q.Question = append(q.Question, q.Question[0]) }, want: []string{"! FORMERR"}},
		"aliases in a circle": {zone: zone{"A a.example.": {"a.example. 1 IN CNAME b.example.", "b.example. 1 IN CNAME a.example."}},
			want: []string{"! SERVFAIL"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := &Engine{Upstream: tt.zone, Policy: tt.policy, Elsewhere: func(name string) bool { return dns.IsSubDomain("corp.example.", name) }}
			prefixes := own
			if tt.prefixes != nil {
				prefixes = tt.prefixes
			}
			e.SetPrefixes(prefixes)
			asked, qtype := "a.example", "AAAA"
			if tt.name != "" {
				asked = tt.name
			}
			if tt.qtype != "" {
				qtype = tt.qtype
			}
			q := query(asked, qtype)
			if tt.change != nil {
				tt.change(q)
			}
			m := e.Answer(t.Context(), q)
			if m == nil || m.Id != q.Id || !m.Response || m.AuthenticatedData {
				t.Fatalf("response %v", m)
			}
			if d := cmp.Diff(tt.want, show(m)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func reverse(a string) string {
	name, err := dns.ReverseAddr(a)
	if err != nil {
		panic(err)
	}
	return name
}

// A timeout for AAAA counts as an error, and A is asked for (6147-4, RFC 6147
// section 5.1.3); when that is silent too, the client is told.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{Upstream: zone{"AAAA a.example.": {"silence"}, "A a.example.": {v4}}}
		e.SetPrefixes(own)
		start := time.Now()
		if m := e.Answer(t.Context(), query("a.example", "AAAA")); len(m.Answer) != 1 || time.Since(start) != DefaultAAAATimeout {
			t.Errorf("%v after %v", m, time.Since(start))
		}
		e.Upstream = zone{"AAAA a.example.": {"silence"}, "A a.example.": {"silence"}}
		start = time.Now()
		if m := e.Answer(t.Context(), query("a.example", "AAAA")); m.Rcode != dns.RcodeServerFailure || time.Since(start) != DefaultTimeout {
			t.Errorf("%v after %v", m, time.Since(start))
		}
	})
}

func TestEDNSAndSpelling(t *testing.T) {
	e := &Engine{Upstream: zone{"A a.example.": {v4}}}
	e.SetPrefixes(own)
	q := query("A.eXample", "AAAA")
	if m := e.Answer(t.Context(), q); m.IsEdns0() != nil || m.Answer[0].Header().Name != "A.eXample." || m.Question[0].Name != "A.eXample." {
		t.Errorf("%v", m)
	}
	q.SetEdns0(4096, true)
	if m := e.Answer(t.Context(), q); m.IsEdns0() == nil || !m.IsEdns0().Do() || m.IsEdns0().UDPSize() != udpSize || m.AuthenticatedData {
		t.Errorf("%v", m)
	}
}
