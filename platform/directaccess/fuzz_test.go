package directaccess

import (
	"strings"
	"testing"
)

// FuzzParseReg: nothing panics, and what comes out is within the bounds.
func FuzzParseReg(f *testing.F) {
	f.Add([]byte(head + "\"a\"=dword:00000001\n")) // short: long seeds are slow to minimize
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, problems, err := ParseReg(b)
		if err != nil {
			return
		}
		p := Read(tree)
		if len(problems) > maxProblems || len(p.Problems) > maxProblems || len(p.Rules) > 2*maxRules {
			t.Fatalf("%d and %d problems, %d rules", len(problems), len(p.Problems), len(p.Rules))
		}
		for _, r := range p.Rules {
			if len(r.Names) == 0 || len(r.Names) > maxNames || len(r.Servers) > maxServers || len(r.GenericServers) > maxServers {
				t.Fatalf("rule %+v", r)
			}
			for _, n := range r.Names {
				name := n.Name
				if n.Kind == Any {
					name = "x"
				}
				if len(p.Effective()) == len(p.Rules) || !r.Local {
					if _, ok := p.Match(name); !ok {
						t.Fatalf("%v does not match %q", n, name)
					}
				}
			}
		}
		for _, probe := range p.Probes() {
			if name, err := domain(probe.Name); err != nil || name != probe.Name && len(probe.Name) < 254 {
				t.Fatalf("probe %q, %v", probe.Name, err)
			}
		}
		if c := p.Corporate; c.Prefix.IsValid() {
			if v4, ok := c.Prefix.Extract(c.ProbeAddr); !ok || v4 != loopback || len(p.Prefixes(nil)) != 1 {
				t.Fatalf("prefix %v of %v", c.Prefix, c.ProbeAddr)
			}
		}
	})
}

// FuzzNamespace: what is read is written and read back as the same.
func FuzzNamespace(f *testing.F) {
	for _, s := range []string{".corp.example.com", "host.example.com", "label", ".", "2.0.192.in-addr.arpa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNamespace(text)
		if err != nil {
			return
		}
		if strings.HasSuffix(n.Name, ".") || n.Kind != Any && n.Name == "" {
			t.Fatalf("%q became %+v", text, n)
		}
		if back, err := ParseNamespace(n.String()); err != nil || back != n {
			t.Fatalf("%q became %+v, then %+v, %v", text, n, back, err)
		}
	})
}
