package directaccess

import (
	"strings"
	"testing"
)

func TestNamespaces(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Namespace
		back string
	}{
		{".corp.example.com", Namespace{Suffix, "corp.example.com"}, ".corp.example.com"},
		{".Corp.Example.COM.", Namespace{Suffix, "corp.example.com"}, ".corp.example.com"},
		{" host.corp.example.com ", Namespace{FQDN, "host.corp.example.com"}, "host.corp.example.com"},
		{"fileserver", Namespace{Label, "fileserver"}, "fileserver"},
		{".local", Namespace{Suffix, "local"}, ".local"},
		{".", Namespace{Any, ""}, "."},
		{"2.0.192.in-addr.arpa", Namespace{Subnet, "2.0.192.in-addr.arpa"}, "2.0.192.in-addr.arpa"},
		{".8.b.d.0.1.0.0.2.ip6.arpa", Namespace{Subnet, "8.b.d.0.1.0.0.2.ip6.arpa"}, "8.b.d.0.1.0.0.2.ip6.arpa"},
		{".bücher.example", Namespace{Suffix, "bücher.example"}, ".bücher.example"},
	} {
		got, err := ParseNamespace(tt.text)
		if err != nil || got != tt.want || got.String() != tt.back {
			t.Errorf("%q: got %+v %q, %v", tt.text, got, got, err)
		}
	}
	for _, bad := range []string{"", "..", "a..b", " ", "a b.example", "a/b", strings.Repeat("a", 64), strings.Repeat("abcdefg.", 40), "a\x00b.example"} {
		if got, err := ParseNamespace(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
	if got := Any.String() + Subnet.String() + NamespaceKind(9).String(); got != "anysubnetkind 9" {
		t.Errorf("words %q", got)
	}
}

func rule(id string, names ...string) Rule {
	r := Rule{ID: id}
	for _, n := range names {
		ns, err := ParseNamespace(n)
		if err != nil {
			panic(err)
		}
		r.Names = append(r.Names, ns)
	}
	return r
}

// TestMatch: spec DA-23, MSDA-4.
func TestMatch(t *testing.T) {
	p := Policy{Rules: []Rule{
		rule("all", "."), rule("corp", ".corp.example.com", ".example.net"), rule("lab", ".lab.corp.example.com"), rule("host", "host.lab.corp.example.com"),
		rule("file", "file"), rule("net", "2.0.192.in-addr.arpa"),
	}}
	for name, want := range map[string]string{
		"host.lab.corp.example.com":   "host",
		"HOST.lab.Corp.example.com.":  "host",
		"other.lab.corp.example.com":  "lab",
		"x.host.lab.corp.example.com": "lab",
		"www.corp.example.com":        "corp",
		"corp.example.com":            "corp",
		"wwwcorp.example.com":         "all",
		"a.b.example.net":             "corp",
		"file.example.org":            "file",
		"file":                        "file",
		"file.corp.example.com":       "corp",
		"myfile.example.org":          "all",
		"1.2.0.192.in-addr.arpa":      "net",
		"1.3.0.192.in-addr.arpa":      "all",
		"ipv4only.arpa":               "all",
	} {
		m, ok := p.Match(name)
		if !ok || m.Rule.ID != want {
			t.Errorf("%s: rule %q by %v, want %q", name, m.Rule.ID, m.Namespace, want)
		}
	}
	if m, ok := p.Match("not a name"); ok {
		t.Errorf("matches %+v", m)
	}
}

func TestRulesOfTheClient(t *testing.T) {
	p := load(t, "client.reg")
	m, ok := p.Match("nls.corp.example.com")
	if !ok || !m.Rule.Exempt() {
		t.Errorf("the network location server: %+v", m)
	}
	m, ok = p.Match("backup.corp.example.com")
	if !ok || m.Rule.Exempt() || len(m.Rule.Servers) != 1 || m.Rule.Servers[0].String() != "fd12:3456:789a:3333::1" || m.Namespace.String() != ".corp.example.com" {
		t.Errorf("a corporate name: %+v", m)
	}
	if m, ok := p.Match("ipv4only.arpa"); ok {
		t.Errorf("the NAT64 name goes by %+v, want by no rule (DA-3)", m)
	}
	if m, ok := p.Match("host.vpn.example.com"); ok {
		t.Errorf("a local rule counts beside those of policy: %+v", m)
	}
	local := Policy{Rules: []Rule{{ID: "vpn", Local: true, Names: []Namespace{{Suffix, "vpn.example.com"}}, Servers: []Server{{Name: "dns.example"}}}}}
	if m, ok := local.Match("host.vpn.example.com"); !ok || m.Rule.Servers[0].String() != "dns.example" {
		t.Errorf("a local rule alone: %+v, %v", m, ok)
	}
}
