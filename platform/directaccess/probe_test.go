package directaccess

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProbes(t *testing.T) { // DA-12, DA-14, MSDA-6, MSDA-7
	want := []Probe{
		{"directaccess-corpconnectivityhost.corp.example.com", ip("127.0.0.1")}, {"directaccess-webprobehost.corp.example.com", netip.Addr{}},
		{"directaccess-corpconnectivityhost.corp.example.net", ip("127.0.0.1")}, {"directaccess-webprobehost.corp.example.net", netip.Addr{}},
		{"directaccess-corpconnectivityhost.lab.corp.example.com", ip("127.0.0.1")}, {"directaccess-webprobehost.lab.corp.example.com", netip.Addr{}},
	}
	if d := cmp.Diff(want, load(t, "client.reg").Probes(), equal); d != "" {
		t.Error(d)
	}
	if got := (Policy{}).Probes(); got != nil {
		t.Errorf("without policy: %v", got)
	}
	for _, url := range []string{"http://10.0.0.1/", "http://[fd12::1]/", "no url %%", "", "http:///"} {
		if got := (Policy{Corporate: Corporate{WebProbe: url}}).Probes(); got != nil {
			t.Errorf("%q: %v", url, got)
		}
	}
}

func TestRevealed(t *testing.T) { // DA-12 to DA-14, MSDA-12
	name := func(name, four, six string) Resolved {
		r := Resolved{Name: name}
		for _, s := range strings.Fields(four) {
			r.IPv4 = append(r.IPv4, ip(s))
		}
		for _, s := range strings.Fields(six) {
			r.IPv6 = append(r.IPv6, ip(s))
		}
		return r
	}
	const prefix = "fd12:3456:789a:7777::/96"
	for what, tt := range map[string]struct {
		names  []Resolved
		prefix string
		reason string
	}{
		"the connectivity host":               {[]Resolved{name("corp", "127.0.0.1", "fd12:3456:789a:7777::7f00:1")}, prefix, "127.0.0.1"},
		"native IPv6 inside":                  {[]Resolved{name("corp", "127.0.0.1", "::1")}, "", ""},
		"the web probe with its A record":     {[]Resolved{name("corp", "127.0.0.1", ""), name("web", "10.1.2.3", "fd12:3456:789a:7777::a01:203")}, prefix, "10.1.2.3"},
		"without it, and the server":          {[]Resolved{name("web", "", "fd12:3456:789a:7777::a01:203"), name("backup", "", "fd12:3456:789a:7777::ac10:a")}, prefix, "a DNS64 had made both"},
		"the web probe alone":                 {[]Resolved{name("web", "", "fd12:3456:789a:7777::a01:203")}, "", ""},
		"both are one host":                   {[]Resolved{name("web", "", "fd12:3456:789a:7777::a01:203"), name("www", "", "fd12:3456:789a:7777::a01:203")}, "", ""},
		"hosts with IPv6 of their own":        {[]Resolved{name("a", "", "2001:db8:1:2::10"), name("b", "", "2001:db8:1:2::11")}, "", ""},
		"not in the same prefix":              {[]Resolved{name("a", "", "fd12:3456:789a:7777::a01:203"), name("b", "", "fd12:3456:789a:7778::a01:204")}, "", ""},
		"public addresses behind it":          {[]Resolved{name("a", "", "fd12:3456:789a:7777::808:808"), name("b", "", "fd12:3456:789a:7777::808:404")}, "", ""},
		"127.0.0.1 in two places":             {[]Resolved{name("corp", "127.0.0.1", "fd12:3456:7f00:1::7f00:1")}, "", ""},
		"mapped addresses are in no prefix":   {[]Resolved{name("a", "10.0.0.1", "::ffff:10.0.0.1"), name("b", "", "::ffff:10.0.0.2")}, "", ""},
		"nothing resolves":                    {[]Resolved{name("corp", "127.0.0.1", ""), name("web", "", "")}, "", ""},
		"what is certain goes before a guess": {[]Resolved{name("a", "", "fd99::a00:1"), name("b", "", "fd99::a00:2"), name("corp", "127.0.0.1", "fd12:3456:789a:7777::7f00:1")}, prefix, "127.0.0.1"},
	} {
		t.Run(what, func(t *testing.T) {
			got, reason, ok := Revealed(tt.names)
			if got.String() != tt.prefix || ok != (tt.prefix != "") || !strings.Contains(reason, tt.reason) {
				t.Errorf("%v, %q, %v", got, reason, ok)
			}
		})
	}
}
