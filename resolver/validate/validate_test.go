package validate

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/resolver/dnssec"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/signedzone"
)

var now = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

// The operator's zone, and reverse zones that nobody signed.
const (
	signed = `
nat64     AAAA 2001:db8:64:ff9b::c000:aa
nat64     AAAA 2001:db8:64:ff9b::c000:ab
nat64     AAAA 2001:db8::1
other     AAAA 2001:db8::1
cname     CNAME nat64
only171   AAAA 2001:db8:171::c000:ab
elsewhere AAAA 2001:db8:7:c000:0:aa00::
`
	// b.9.f.f.4.6.0.0.8.b.d.0.1.0.0.2: 2001:db8:64:ff9b::/64, and so on.
	reverse = `
$ORIGIN ip6.arpa.
a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.8.b.d.0.1.0.0.2 PTR NAT64.Example.Net.
b.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.8.b.d.0.1.0.0.2 PTR nat64.example.net.
a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.8.b.d.0.1.0.0.2 PTR other.example.net.
a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.8.b.d.0.1.0.0.2 PTR nat64.badexample.net.
a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.4.0.0.0.8.b.d.0.1.0.0.2 PTR nat64.open.net.
a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.5.0.0.0.8.b.d.0.1.0.0.2 CNAME redirected
redirected PTR nat64.five.example.net.
b.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.1.7.1.0.8.b.d.0.1.0.0.2 PTR only171.example.net.
a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.8.b.d.0.1.0.0.2 PTR other.example.net.
a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.8.b.d.0.1.0.0.2 PTR nat64.six.example.net.
a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.8.b.d.0.1.0.0.2 PTR nat64.untrusted.test.
0.0.0.0.0.0.0.0.0.0.a.a.0.0.0.0.0.0.c.7.0.0.0.8.b.d.0.1.0.0.2 PTR elsewhere.example.net.
`
)

func world(t *testing.T) (*signedzone.Server, dnssec.Anchors) {
	t.Helper()
	make := func(name, text string, algorithm uint8) *signedzone.Zone {
		return &signedzone.Zone{Name: name, Text: text, Algorithm: algorithm, Inception: now.Add(-time.Hour), Expiration: now.Add(30 * 24 * time.Hour)}
	}
	example := make("example.net.", signed+"nat64.five AAAA 2001:db8:5::c000:aa\nnat64.six AAAA 2001:db8:6::c000:aa\n", dns.ED25519).Sign()
	open := make("open.net.", "nat64 AAAA 2001:db8:4::c000:aa\n", 0).Sign()
	net := make("net.", "example NS ns.invalid.\nopen NS ns.invalid.\n", dns.ECDSAP256SHA256).Sign(example)
	ip6 := make("ip6.arpa.", reverse, 0).Sign()
	arpa := make("arpa.", "ip6 NS ns.invalid.\n", dns.ED25519).Sign()
	root := make(".", "net. NS ns.invalid.\narpa. NS ns.invalid.\n", dns.ED25519).Sign(net, arpa)
	return &signedzone.Server{Zones: []*signedzone.Zone{root, net, arpa, ip6, example, open}}, root.DS()
}

const ours = "2001:db8:64:ff9b::/96"

// TestProcedure is RFC 7050 section 3.1, spec 7050-20 to 7050-25 and R7050-20 to 24.
func TestProcedure(t *testing.T) {
	s, anchors := world(t)
	timeout := errors.New("timeout")
	for _, test := range []struct {
		name    string
		prefix  string
		domains []string
		known   []string
		tamper  func(dns.Question, *dns.Msg) error
		status  Status
		reason  Reason
		fqdn    string
	}{
		{"the operator's prefix", ours, []string{"example.net"}, nil, nil, Validated, SignedAddress, "nat64.example.net."},
		{"trusted domain in capitals", ours, []string{"EXAMPLE.NET."}, nil, nil, Validated, SignedAddress, "nat64.example.net."},
		{"the name itself is trusted", ours, []string{"nat64.example.net"}, nil, nil, Validated, SignedAddress, "nat64.example.net."},
		{"one of several domains", ours, []string{"example.org", "example.net"}, nil, nil, Validated, SignedAddress, "nat64.example.net."},
		{"PTR behind an alias", "2001:db8:5::/96", []string{"example.net"}, nil, nil, Validated, SignedAddress, "nat64.five.example.net."},
		{"only .171 is named", "2001:db8:171::/96", []string{"example.net"}, nil, nil, Validated, SignedAddress, "only171.example.net."},
		{"several names, the second one right", "2001:db8:6::/96", []string{"example.net"}, nil, nil, Validated, SignedAddress, "nat64.six.example.net."},
		{"name known beforehand", ours, nil, []string{"nat64.example.net"}, nil, Validated, SignedAddress, "nat64.example.net."},
		{"known name is an alias", ours, nil, []string{"cname.example.net"}, nil, Validated, SignedAddress, "cname.example.net."},
		{"known name is wrong, the PTR helps", ours, []string{"example.net"}, []string{"other.example.net"}, nil, Validated, SignedAddress, "nat64.example.net."},
		{"known name is wrong", ours, nil, []string{"other.example.net"}, nil, Failed, NoAddress, "other.example.net."},
		{"no domain configured", ours, nil, nil, nil, Unvalidated, NoDomains, ""},
		{"the well-known prefix", "64:ff9b::/96", []string{"example.net"}, nil, nil, Unvalidated, WellKnown, ""},
		{"the well-known prefix, name known", "64:ff9b::/96", nil, []string{"nat64.example.net"}, nil, Unvalidated, WellKnown, ""},
		{"no PTR", "2001:db8:99::/96", []string{"example.net"}, nil, nil, Failed, NoName, ""},
		{"name elsewhere", ours, []string{"example.org"}, nil, nil, Failed, NotTrusted, "nat64.example.net."},
		{"domain is a suffix by letters only", "2001:db8:3::/96", []string{"example.net"}, nil, nil, Failed, NotTrusted, "nat64.badexample.net."},
		{"stolen name", "2001:db8:2::/96", []string{"example.net"}, nil, nil, Failed, NoAddress, "other.example.net."},
		{"not signed", "2001:db8:4::/96", []string{"open.net"}, nil, nil, Failed, NotSigned, "nat64.open.net."},
		{"forged PTR and AAAA", "2001:db8:bad::/96", []string{"example.net"}, nil, func(q dns.Question, m *dns.Msg) error {
			switch {
			case q.Qtype == dns.TypePTR:
				m.Answer = []dns.RR{&dns.PTR{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET}, Ptr: "nat64.example.net."}}
			case q.Qtype == dns.TypeAAAA:
				m.Answer[0].(*dns.AAAA).AAAA = net.ParseIP("2001:db8:bad::c000:aa")
			}
			return nil
		}, Failed, BadProof, "nat64.example.net."},
		{"resolver is silent", ours, []string{"example.net"}, nil, func(dns.Question, *dns.Msg) error { return timeout }, Unknown, NoAnswer, ""},
		{"resolver is silent for AAAA", ours, []string{"example.net"}, nil, func(q dns.Question, _ *dns.Msg) error {
			return map[bool]error{true: timeout}[q.Qtype == dns.TypeAAAA]
		}, Unknown, NoAnswer, "nat64.example.net."},
		{"resolver fails for PTR", ours, []string{"example.net"}, nil, func(q dns.Question, m *dns.Msg) error {
			if q.Qtype == dns.TypePTR {
				m.Rcode, m.Answer = dns.RcodeServerFailure, nil
			}
			return nil
		}, Unknown, NoAnswer, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			domains, err := ParseDomains(test.domains)
			if err != nil {
				t.Fatal(err)
			}
			s.Tamper = test.tamper
			p := &Procedure{Validator: &dnssec.Validator{Exchanger: s, Anchors: anchors}, Domains: domains, Names: test.known}
			got := p.Validate(context.Background(), nat64.MustParse(test.prefix), now)
			t.Logf("%v: %s", got, got.Detail)
			if got.Status != test.status || got.Reason != test.reason || got.Name != test.fqdn {
				t.Errorf("%v; want %s: %s (%s)", got, test.status, test.reason, test.fqdn)
			}
			if got.Detail == "" || (got.TTL > 0) != (got.Status == Validated) {
				t.Errorf("detail %q, TTL %v", got.Detail, got.TTL)
			}
		})
	}
}

// TestNothingIsAskedInVain: with no trusted match the rest must not be done (spec
// 7050-21), and nothing at all where nothing can come of it.
func TestNothingIsAskedInVain(t *testing.T) {
	s, anchors := world(t)
	for _, test := range []struct{ prefix, domains, want string }{
		{ours, "example.org", "PTR PTR"},
		{"64:ff9b::/96", "example.org", ""},
		{ours, "", ""},
	} {
		var asked []string
		s.Tamper = func(q dns.Question, _ *dns.Msg) error {
			asked = append(asked, dns.TypeToString[q.Qtype])
			return nil
		}
		domains, _ := ParseDomains(strings.Fields(test.domains))
		p := &Procedure{Validator: &dnssec.Validator{Exchanger: s, Anchors: anchors}, Domains: domains}
		p.Validate(context.Background(), nat64.MustParse(test.prefix), now)
		if got := strings.Join(asked, " "); got != test.want {
			t.Errorf("%s with %q: asked %q, want %q", test.prefix, test.domains, got, test.want)
		}
	}
}

func TestParseDomains(t *testing.T) {
	if got, err := ParseDomains([]string{"Example.Net", "example.net.", "a.b"}); err != nil || strings.Join(got, " ") != "example.net. a.b." {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", ".", "*.example.net", "a b", "a..b", "bücher.example", "a\\046b"} {
		if got, err := ParseDomains([]string{bad}); err == nil || !strings.Contains(err.Error(), "trusted domain") {
			t.Errorf("%q is taken: %q, %v", bad, got, err)
		}
	}
}

// FuzzPointers: no answer makes it panic or run on, and what it returns stands in a
// PTR record.
func FuzzPointers(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("a.ip6.arpa.", dns.TypePTR)
	for _, text := range []string{"a.ip6.arpa. CNAME b.ip6.arpa.", "b.ip6.arpa. CNAME a.ip6.arpa.", "b.ip6.arpa. PTR nat64.example.net."} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		for _, name := range pointers(m, "a.ip6.arpa.") {
			if !strings.Contains(strings.ToLower(m.String()), name) {
				t.Errorf("%s does not stand in %v", name, m)
			}
		}
	})
}
