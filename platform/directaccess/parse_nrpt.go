package directaccess

import (
	"fmt"
	"net/netip"
	"strings"
)

// Where the rules are, spec MSDA-1.
const (
	clientKey   = `HKLM\SOFTWARE\Policies\Microsoft\Windows NT\DNSClient`
	policyRules = clientKey + `\DnsPolicyConfig`
	localRules  = `HKLM\SYSTEM\CurrentControlSet\Services\Dnscache\Parameters\DnsPolicyConfig`
)

// The bits of ConfigOptions, MS-GPNRPT section 2.2.2.2.
const (
	optDNSSEC       = 0x02
	optDirectAccess = 0x04
	optGeneric      = 0x08
	optIDN          = 0x10
)

// The bounds of what is kept.
const (
	maxRules   = 1000
	maxNames   = 1000 // in a rule
	maxServers = 32   // in a rule
)

// Rule is one rule of the NRPT.
type Rule struct {
	ID      string // name of its key, often a GUID
	Local   bool   // not from group policy
	Version uint32 // 0: not set
	Names   []Namespace
	Options uint32 // ConfigOptions as it is

	// With DirectAccess, names go to Servers while the machine is outside. None
	// exempts them: they go to the ordinary servers, as that of the network
	// location server must (spec MSDA-4).
	DirectAccess bool
	Servers      []Server
	ProxyType    uint32 // 0 none, 1 the default one, 2 Proxy (spec DA-21)
	Proxy        string // host:port
	IPsec        bool   // queries need IPsec

	Generic        bool     // has servers for all, which VPN clients use
	GenericServers []Server // DirectAccess or not
	DNSSEC         bool     // answers have to be validated
	NameEncoding   uint32   // of international names, as it is
}

// Exempt tells whether the rule sends names to the ordinary servers.
func (r Rule) Exempt() bool { return r.DirectAccess && len(r.Servers) == 0 }

// rules reads all rules below a key.
func (p *Policy) rules(t Tree, key string, local bool) {
	for i, id := range t.Subkeys(key) {
		r := reader{tree: t, key: key + `\` + id, policy: p}
		if i == maxRules {
			r.problem("", fmt.Sprintf("more than %d rules, this and all after it are left out", maxRules))
			return
		}
		if rule := readRule(r, id, local); len(rule.Names) > 0 {
			p.Rules = append(p.Rules, rule)
		} else {
			r.problem("Name", "the rule applies to no name")
		}
	}
}

func readRule(r reader, id string, local bool) Rule {
	rule := Rule{ID: id, Local: local, Version: value(r.number("Version")), Options: value(r.number("ConfigOptions"))}
	for _, text := range r.texts("Name") {
		n, err := ParseNamespace(text)
		switch {
		case err != nil:
			r.problem("Name", err.Error())
		case len(rule.Names) == maxNames:
			r.problem("Name", fmt.Sprintf("more than %d names, %.64q is left out", maxNames, text))
			return rule
		default:
			rule.Names = append(rule.Names, n)
		}
	}
	if rule.Options&^(optDNSSEC|optDirectAccess|optGeneric|optIDN) != 0 {
		r.problem("ConfigOptions", fmt.Sprintf("%#x has unknown bits", rule.Options))
	}
	if rule.DirectAccess = rule.Options&optDirectAccess != 0; rule.DirectAccess {
		rule.Servers = r.servers("DirectAccessDNSServers")
		rule.ProxyType, rule.Proxy = value(r.number("DirectAccessProxyType")), r.text("DirectAccessProxyName")
		rule.IPsec = value(r.number("DirectAccessQueryIPSECRequired")) != 0
	}
	if rule.Generic = rule.Options&optGeneric != 0; rule.Generic {
		rule.GenericServers = r.servers("GenericDNSServers")
	}
	if rule.Options&optDNSSEC != 0 {
		rule.DNSSEC = value(r.number("DNSSECValidationRequired")) != 0
	}
	if rule.Options&optIDN != 0 {
		rule.NameEncoding = value(r.number("NameEncoding"))
	}
	return rule
}

func value(n *uint32) uint32 {
	if n == nil {
		return 0
	}
	return *n
}

// servers reads a list of DNS servers with semicolons, MS-GPNRPT. A bad one costs
// only itself.
func (r reader) servers(name string) []Server {
	var out []Server
	for _, text := range split(r.text(name), ";") {
		if len(out) == maxServers {
			r.problem(name, fmt.Sprintf("more than %d servers, %.64q is left out", maxServers, text))
			break
		}
		if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			out = append(out, Server{Addr: addr.Unmap()})
			continue
		}
		host, err := domain(text)
		if err != nil || host == "" {
			r.problem(name, fmt.Sprintf("%.64q is neither an address nor a name", text))
			continue
		}
		out = append(out, Server{Name: host})
	}
	return out
}
