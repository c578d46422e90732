package directaccess

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// NamespaceKind is how a rule's name is compared. A lower value goes first when
// several rules match (spec DA-23).
type NamespaceKind uint8

// The kinds of namespaces.
const (
	FQDN   NamespaceKind = iota // host.corp.example.com: that name alone
	Suffix                      // .corp.example.com: that domain and all below it
	Subnet                      // 2.0.192.in-addr.arpa: names of addresses there
	Label                       // fileserver: names that begin with this label
	Any                         // . matches all names
)

var kindNames = [...]string{"name", "suffix", "subnet", "prefix", "any"}

// String returns name, suffix, subnet, prefix or any.
func (k NamespaceKind) String() string {
	if int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return kindNames[k]
}

// Namespace is one name of an NRPT rule.
type Namespace struct {
	Kind NamespaceKind
	Name string // lower case, without dot at either end; empty for Any
}

// String returns the name as a rule has it.
func (n Namespace) String() string {
	if n.Kind == Suffix || n.Kind == Any {
		return "." + n.Name
	}
	return n.Name
}

var errName = errors.New("is not a domain name")

// ParseNamespace reads a name as a rule has it (spec DA-21).
func ParseNamespace(text string) (Namespace, error) {
	text = strings.TrimSpace(text)
	if text == "." {
		return Namespace{Kind: Any}, nil
	}
	rest, suffix := strings.CutPrefix(text, ".")
	name, err := domain(rest)
	if err != nil {
		return Namespace{}, err
	}
	switch {
	case within(name, "in-addr.arpa"), within(name, "ip6.arpa"):
		return Namespace{Subnet, name}, nil
	case suffix:
		return Namespace{Suffix, name}, nil
	case !strings.Contains(name, "."):
		return Namespace{Label, name}, nil
	}
	return Namespace{FQDN, name}, nil
}

// domain checks a name and returns it in lower case, without a dot at its end.
func domain(text string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if name == "" || len(name) > 253 {
		return "", fmt.Errorf("%.64q %w", text, errName)
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune(`\/;,"`, c) }) {
			return "", fmt.Errorf("%.64q %w", text, errName)
		}
	}
	return name, nil
}

// within tells whether name is domain or below it.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// matches tells whether a name, which has no dot at its end and is in lower case,
// is in n.
func (n Namespace) matches(name string) bool {
	switch n.Kind {
	case FQDN:
		return name == n.Name
	case Suffix, Subnet:
		return within(name, n.Name)
	case Label:
		first, _, _ := strings.Cut(name, ".")
		return first == n.Name
	}
	return true
}

// Match is the rule that decides on a name.
type Match struct {
	Rule      Rule
	Namespace Namespace
}

// Effective returns the rules in force: those of group policy, or, when it has
// none, the local ones (spec DA-20, not confirmed by a published text).
func (p Policy) Effective() []Rule {
	policy := slices.DeleteFunc(slices.Clone(p.Rules), func(r Rule) bool { return r.Local })
	if len(policy) > 0 {
		return policy
	}
	return p.Rules
}

// Match finds the rule for a name: a whole name goes before a suffix, that with
// the most labels first, then a prefix, then the rule for all (spec DA-23). It is
// false when no rule is for the name. Rules with DirectAccess are in force only
// while the machine is outside, which a registry does not tell.
func (p Policy) Match(name string) (Match, bool) {
	name, err := domain(name)
	if err != nil {
		return Match{}, false
	}
	var best Match
	found := false
	for _, r := range p.Effective() {
		for _, n := range r.Names {
			if n.matches(name) && (!found || closer(n, best.Namespace)) {
				best, found = Match{r, n}, true
			}
		}
	}
	return best, found
}

// Servers returns the DNS servers that a name has to be asked at; none: those of
// the link. Those for DirectAccess count only where one of its tunnels carries,
// since the rule is in force only outside, and they cannot be reached otherwise
// (spec DA-23). Servers that are known by name alone are left out: they would have
// to be looked up themselves. corporate tells that DirectAccess leads there.
func (p Policy) Servers(name string, adapters []Adapter) (servers []netip.Addr, corporate bool) {
	m, ok := p.Match(name)
	if !ok {
		return nil, false
	}
	if slices.ContainsFunc(adapters, Adapter.Carries) {
		servers = addresses(m.Rule.Servers)
	}
	corporate = len(servers) > 0
	return append(servers, addresses(m.Rule.GenericServers)...), corporate
}

func addresses(list []Server) (out []netip.Addr) {
	for _, s := range list {
		if s.Addr.IsValid() {
			out = append(out, s.Addr)
		}
	}
	return out
}

// closer tells whether a goes before b.
func closer(a, b Namespace) bool {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(strings.Count(b.Name, "."), strings.Count(a.Name, "."))) < 0
}
