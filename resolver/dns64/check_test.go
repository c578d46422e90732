package dns64

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/dnssec"
	"github.com/reach64/reach64/resolver/nat64"
)

// judge is a Checker that has made up its mind.
type judge struct {
	aaaa, a dnssec.Verdict
	answer  []dns.RR // of A
	asked   *[]string
}

func (j judge) Check(_ context.Context, name string, qtype uint16) dnssec.Result {
	*j.asked = append(*j.asked, dns.TypeToString[qtype]+" "+name)
	if qtype == dns.TypeAAAA {
		return dnssec.Result{Verdict: j.aaaa}
	}
	return dnssec.Result{Verdict: j.a, Answer: j.answer}
}

// TestValidation is RFC 6147 section 5.5, spec 6147-11.
func TestValidation(t *testing.T) {
	const (
		secure, insecure, bogus, unknown = dnssec.Secure, dnssec.Insecure, dnssec.Bogus, dnssec.Indeterminate

		both = "AAAA a.example. A a.example."
	)
	right, wrong := []dns.RR{record(v4)}, []dns.RR{record("a.example. 60 IN A 198.51.100.66")}
	for name, test := range map[string]struct {
		do, cd  bool
		judge   judge
		rcode   int
		ad      bool
		records int
		asked   string
	}{
		"DO, both secure":                        {true, false, judge{secure, secure, right, nil}, dns.RcodeSuccess, true, 1, both},
		"DO=0: never AD":                         {false, false, judge{secure, secure, right, nil}, dns.RcodeSuccess, false, 1, both},
		"DO, A insecure":                         {true, false, judge{secure, insecure, right, nil}, dns.RcodeSuccess, false, 1, both},
		"DO, absence insecure":                   {true, false, judge{insecure, secure, right, nil}, dns.RcodeSuccess, false, 1, both},
		"DO, nothing can be told":                {true, false, judge{unknown, unknown, nil, nil}, dns.RcodeSuccess, false, 1, both},
		"DO, absence bogus: A is not asked for":  {true, false, judge{bogus, secure, right, nil}, dns.RcodeServerFailure, false, 0, "AAAA a.example."},
		"DO=0, absence bogus":                    {false, false, judge{bogus, secure, right, nil}, dns.RcodeServerFailure, false, 0, "AAAA a.example."},
		"DO, A bogus":                            {true, false, judge{secure, bogus, nil, nil}, dns.RcodeServerFailure, false, 0, both},
		"A other than what was found to be true": {true, false, judge{secure, secure, wrong, nil}, dns.RcodeServerFailure, false, 0, both},
		"DO and CD: the client does it":          {true, true, judge{bogus, bogus, nil, nil}, dns.RcodeSuccess, false, 0, ""},
		"CD without DO: the same":                {false, true, judge{bogus, bogus, nil, nil}, dns.RcodeSuccess, false, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			test.judge.asked = &asked
			e := &Engine{Upstream: zone{"A a.example.": {v4}}, Checker: test.judge}
			e.SetPrefixes(own)
			q := query("a.example", "AAAA")
			q.SetEdns0(1232, test.do)
			q.CheckingDisabled = test.cd
			m := e.Answer(t.Context(), q)
			if m.Rcode != test.rcode || m.AuthenticatedData != test.ad || len(m.Answer) != test.records || m.CheckingDisabled != test.cd {
				t.Errorf("%s, AD %v, %d records, want %s, %v, %d\n%v", dns.RcodeToString[m.Rcode], m.AuthenticatedData, len(m.Answer),
					dns.RcodeToString[test.rcode], test.ad, test.records, m)
			}
			if got := strings.Join(asked, " "); got != test.asked {
				t.Errorf("validated %q, want %q", got, test.asked)
			}
		})
	}
}

// Signatures over records that are replaced or left out must not come along; those
// over the aliases do (spec DNS64-7).
func TestSignatures(t *testing.T) {
	sig := func(name, covered string) string {
		return name + " 60 IN RRSIG " + covered + " 15 2 60 20300101000000 20200101000000 4711 example. c2lnbmF0dXJl"
	}
	alias := "a.example. 9 IN CNAME b.example."
	for name, test := range map[string]struct {
		zone zone
		want []string
	}{
		"synthesized": {
			zone{"A a.example.": {alias, sig("a.example.", "CNAME"), "b.example. 99 IN A 198.51.100.10", sig("b.example.", "A")}},
			[]string{alias, sig("a.example.", "CNAME"), "b.example. 99 IN AAAA 2001:db8:64::c633:640a"},
		},
		"some excluded": {
			zone{"AAAA a.example.": {"a.example. 60 IN AAAA ::ffff:192.0.2.1", "a.example. 60 IN AAAA 2001:db8:5::1", sig("a.example.", "AAAA")}},
			[]string{"a.example. 60 IN AAAA 2001:db8:5::1"},
		},
		"real": {
			zone{"AAAA a.example.": {"a.example. 60 IN AAAA 2001:db8:5::1", sig("a.example.", "AAAA")}},
			[]string{"a.example. 60 IN AAAA 2001:db8:5::1", sig("a.example.", "AAAA")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{Upstream: test.zone}
			e.SetPrefixes(own)
			q := query("a.example", "AAAA")
			q.SetEdns0(1232, true)
			if d := cmp.Diff(test.want, show(e.Answer(t.Context(), q))); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// TestPrefixChange: the next answer has the new prefix, and one under way keeps the
// one that it began with.
func TestPrefixChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{Upstream: zone{"AAAA a.example.": {"silence"}, "A a.example.": {v4}}}
		first := func(m *dns.Msg) string {
			if len(m.Answer) == 0 {
				return ""
			}
			return m.Answer[0].(*dns.AAAA).AAAA.String()
		}
		e.SetPrefixes(own)
		early := make(chan string, 1)
		go func() { early <- first(e.Answer(t.Context(), query("a.example", "AAAA"))) }()
		time.Sleep(time.Second) // synthetic; the question is under way
		e.SetPrefixes([]Prefix{{Prefix: nat64.MustParse("2001:db8:65::/96")}, {}})
		if len(e.Prefixes()) != 1 {
			t.Errorf("prefixes %v: the empty one is no prefix", e.Prefixes())
		}
		if got := first(e.Answer(t.Context(), query("a.example", "AAAA"))); got != "2001:db8:65::c633:640a" {
			t.Errorf("with the new prefix: %s", got)
		}
		if got := <-early; got != "2001:db8:64::c633:640a" {
			t.Errorf("asked before the change: %s", got)
		}
	})
}
