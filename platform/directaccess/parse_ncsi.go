package directaccess

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// Where Windows keeps how it tells that it is connected, spec MSDA-8, MSDA-9,
// DA-32.
const (
	ncsiKey   = `HKLM\SOFTWARE\Policies\Microsoft\Windows\NetworkConnectivityStatusIndicator\CorporateConnectivity`
	probesKey = `HKLM\SOFTWARE\Policies\Microsoft\Windows\NetworkConnectivityAssistant\Probes`
	tunnelKey = `HKLM\SOFTWARE\Policies\Microsoft\Windows\TCPIP\v6Transition`
	httpsKey  = tunnelKey + `\IPHTTPS\IPHTTPSInterface`
)

// loopback is the address that the probe host has (spec MSDA-6).
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Corporate is how Windows tells that it reaches the corporate network.
type Corporate struct {
	ProbeHost   string     // resolves to ProbeAddr over DirectAccess; empty: not set
	ProbeAddr   netip.Addr // never connected to; invalid: not set
	Prefix      nat64.Prefix
	Native      bool // the corporate network has IPv6 of its own, and no prefix is to be had here
	WebProbe    string
	Location    string // URL that answers inside alone
	SitePrefix  []netip.Prefix
	Connections []Connection // by which the Network Connectivity Assistant tests
}

// Connection is a test of the Network Connectivity Assistant.
type Connection struct {
	Kind   string // PING, HTTP or FILE
	Target string
}

func (c Corporate) probeHost() string {
	if c.ProbeHost == "" {
		return "its probe host"
	}
	return c.ProbeHost
}

// corporate reads the policy for the Network Connectivity Status Indicator.
func (p *Policy) corporate(t Tree) {
	r := reader{tree: t, key: ncsiKey, policy: p}
	c := &p.Corporate
	if text := r.text("DnsProbeHost"); text != "" {
		host, err := domain(text)
		if err != nil {
			r.problem("DnsProbeHost", err.Error())
		}
		c.ProbeHost = host
	}
	c.WebProbe, c.Location = r.text("WebProbeUrl"), r.text("DomainLocationDeterminationUrl")
	r.probeAddr(c)
	for _, text := range r.prefixTexts() {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || !prefix.Addr().Is6() {
			r.problem("SitePrefixes", fmt.Sprintf("%.64q is not an IPv6 prefix", text))
		} else {
			c.SitePrefix = append(c.SitePrefix, prefix.Masked())
		}
	}
	r.key = probesKey
	for _, name := range t.Names(probesKey) {
		kind, target, ok := strings.Cut(r.text(name), ":")
		kind = strings.ToUpper(kind)
		if !ok || target == "" || kind != "PING" && kind != "HTTP" && kind != "FILE" {
			r.problem(name, "want PING:, HTTP: or FILE: and what to reach")
			continue
		}
		c.Connections = append(c.Connections, Connection{kind, target})
	}
}

// prefixTexts reads SitePrefixes, whose separator is not published.
func (r reader) prefixTexts() []string {
	var out []string
	for _, text := range r.texts("SitePrefixes") {
		out = append(out, split(text, ",; \t")...)
	}
	return out
}

// probeAddr reads the address that the probe host is to have: the NAT64 prefix
// with 127.0.0.1 in it, or ::1 where the corporate network has IPv6 of its own
// (spec DA-11). What it is apart from those tells nothing.
func (r reader) probeAddr(c *Corporate) {
	const name = "DnsProbeContent"
	text := r.text(name)
	if text == "" {
		return
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil || addr.Zone() != "" {
		r.problem(name, fmt.Sprintf("%.64q is not one address", text))
		return
	}
	c.ProbeAddr = addr
	switch {
	case addr == netip.IPv6Loopback():
		c.Native = true
		return
	case !addr.Is6():
		return
	}
	var ok bool
	if c.Prefix, ok = pref64.FromKnown(addr, loopback); !ok {
		r.problem(name, fmt.Sprintf("%s does not hold 127.0.0.1 where exactly one NAT64 prefix would put it", addr))
	}
}
