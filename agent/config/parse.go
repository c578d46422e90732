package config

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/reach64/reach64/resolver/dnssec"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/validate"
)

// raw mirrors the file. Pointers tell a key that is missing from one that is empty.
type raw struct {
	Server    []rawServer  `toml:"server"`
	Path      rawPath      `toml:"path"`
	Discovery rawDiscovery `toml:"discovery"`
	Probe     rawProbe     `toml:"probe"`
	DNS       rawDNS       `toml:"dns"`
	Log       rawLog       `toml:"log"`
	Metrics   rawListen    `toml:"metrics"`
	Control   rawControl   `toml:"control"`
}

type rawServer struct {
	Name       string   `toml:"name"`
	Port       *int     `toml:"port"`
	IPv4       []string `toml:"ipv4"`
	TLS        *bool    `toml:"tls"`
	ServerName string   `toml:"server_name"`
	CAFile     string   `toml:"ca_file"`
	PinSHA256  []string `toml:"pin_sha256"`
	DNS        []string `toml:"dns"`
}

type rawPath struct {
	Mode     string `toml:"mode"`
	Scope    string `toml:"scope"`
	Datapath string `toml:"datapath"`
	HopAddrs string `toml:"hop_addresses"`
	Other    string `toml:"other_clat"`
}

type rawDiscovery struct {
	Prefixes          []string  `toml:"prefixes"`
	Sources           *[]string `toml:"sources"`
	WKPNonGlobal      string    `toml:"wkp_nonglobal"`
	Allow             []string  `toml:"allow"`
	RequireValidation bool      `toml:"require_validation"`
	TrustedDomains    []string  `toml:"trusted_domains"`
	NAT64Names        []string  `toml:"nat64_names"`
	TrustAnchorFile   string    `toml:"trust_anchor_file"`
}

type rawProbe struct {
	Interval string `toml:"interval"`
	Portal   string `toml:"portal_url"`
	Timeout  string `toml:"timeout"`
}

type rawDNS struct {
	Listen  string   `toml:"listen"`
	Exclude []string `toml:"exclude"`
}

type rawListen struct {
	Listen string `toml:"listen"`
}

type rawLog struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
	File   string `toml:"file"`
	Size   *int   `toml:"max_size"`
	Files  *int   `toml:"max_files"`
}

type rawControl struct {
	Socket string `toml:"socket"`
}

// ReadFile returns the bytes of a file that the configuration names, such as
// a server's ca_file.
type ReadFile func(name string) ([]byte, error)

// Parse reads text, which came from the file name, into a Config. Every error
// says which file and, where it is known, which line and column. Several
// mistakes are reported together.
func Parse(name string, text []byte, read ReadFile) (Config, error) {
	c, _, err := Merge([]Layer{{name, text}}, read)
	return c, err
}

// validator turns raw values into typed ones and collects what is wrong.
type validator struct {
	file    string // of what is said nowhere
	read    ReadFile
	origins map[string]Value
	errs    []error
}

func (v *validator) bad(key, format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("%s: %s: %s", v.originOf(key), key, fmt.Sprintf(format, args...)))
}

func (v *validator) config(r raw) Config {
	c := Config{
		Path: Path{
			Mode:     Mode(v.oneOf("path.mode", r.Path.Mode, "auto", "off")),
			Scope:    Scope(v.oneOf("path.scope", r.Path.Scope, "server", "all")),
			Datapath: v.oneOf("path.datapath", r.Path.Datapath, DatapathAuto, DatapathBPF, DatapathTUN),
			HopAddrs: v.hopAddrs(r.Path.HopAddrs),

			OtherCLAT: OtherCLAT(v.oneOf("path.other_clat", r.Path.Other, "yield", "take-over")),
		},
		Discovery: v.discovery(r.Discovery),
		Probe: Probe{
			Interval: v.duration("probe.interval", r.Probe.Interval, time.Minute, 10*time.Second, 24*time.Hour),
			Timeout:  v.duration("probe.timeout", r.Probe.Timeout, 10*time.Second, time.Second, 10*time.Second),

			PortalURL: v.portalURL(r.Probe.Portal),
		},
		Log: Log{
			Level:  v.oneOf("log.level", r.Log.Level, LogLevels...),
			Format: v.oneOf("log.format", r.Log.Format, "text", "json"),
			File:   r.Log.File,

			MaxSize:  v.number("log.max_size", r.Log.Size, 10, 1, 1000),
			MaxFiles: v.number("log.max_files", r.Log.Files, 5, 1, 100),
		},
		Control: Control{Socket: r.Control.Socket},
		Metrics: Metrics{Listen: v.loopback("metrics.listen", r.Metrics.Listen, 9464)},
		DNS:     v.dns(r.DNS),
	}
	if len(r.Server) == 0 {
		v.errs = append(v.errs, fmt.Errorf("%s: server: %w: add a [[server]] table with name and port", v.originOf("server"), errNoServer))
	}
	for i, s := range r.Server {
		c.Servers = append(c.Servers, v.server(fmt.Sprintf("server[%d]", i+1), s))
	}
	return c
}

func (v *validator) dns(r rawDNS) DNS {
	d := DNS{Listen: v.loopback("dns.listen", r.Listen, 53)}
	for i, s := range r.Exclude {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			v.bad(fmt.Sprintf("dns.exclude[%d]", i+1), "%q is not a prefix such as 10.0.0.0/8 or 2001:db8::/32", s)
			continue
		}
		d.Exclude = append(d.Exclude, p.Masked())
	}
	return d
}

func (v *validator) discovery(r rawDiscovery) Discovery {
	d := Discovery{Sources: []pref64.Source{pref64.Policy, pref64.OS, pref64.RA, pref64.PCP, pref64.DNS, pref64.Server}}
	for i, s := range r.Prefixes {
		p, err := nat64.Parse(s)
		if err != nil {
			v.bad(fmt.Sprintf("discovery.prefixes[%d]", i+1), "%v", err)
			continue
		}
		d.Prefixes = append(d.Prefixes, p)
	}
	if r.Sources != nil {
		d.Sources = v.sources(*r.Sources)
	}
	for i, s := range r.Allow {
		p, err := netip.ParsePrefix(s)
		if err != nil || !p.Addr().Is6() {
			v.bad(fmt.Sprintf("discovery.allow[%d]", i+1), "%q is not an IPv6 prefix such as 2001:db8::/32", s)
			continue
		}
		d.Allow = append(d.Allow, p.Masked())
	}
	if r.WKPNonGlobal != "" {
		n, err := nat64.ParseNonGlobal(r.WKPNonGlobal)
		if err != nil {
			v.bad("discovery.wkp_nonglobal", "%v", err)
		}
		d.NonGlobal = n
	}
	v.validation(r, &d)
	return d
}

// validation reads how prefixes are proven.
func (v *validator) validation(r rawDiscovery, d *Discovery) {
	var err error
	if d.TrustedDomains, err = validate.ParseDomains(r.TrustedDomains); err != nil {
		v.bad("discovery.trusted_domains", "%v", err)
	}
	for i, name := range r.NAT64Names {
		if !isHostName(strings.TrimSuffix(name, ".")) {
			v.bad(fmt.Sprintf("discovery.nat64_names[%d]", i+1), "%q is not a host name", name)
			continue
		}
		d.NAT64Names = append(d.NAT64Names, name)
	}
	d.RequireValidation = r.RequireValidation
	if d.RequireValidation && len(r.TrustedDomains)+len(r.NAT64Names) == 0 {
		v.bad("discovery.require_validation", "is true, but nothing could be validated: give trusted_domains or nat64_names")
	}
	if r.TrustAnchorFile == "" {
		return
	}
	text, err := v.read(r.TrustAnchorFile)
	if err == nil {
		d.Anchors, err = dnssec.ParseAnchors(string(text))
	}
	if err == nil && len(d.Anchors) == 0 {
		err = fmt.Errorf("%s holds no DS or DNSKEY record", r.TrustAnchorFile)
	}
	if err != nil {
		v.bad("discovery.trust_anchor_file", "%v", err)
	}
}

func (v *validator) sources(words []string) []pref64.Source {
	out := []pref64.Source{} // an empty list turns every source off, nil would mean all
	for i, w := range words {
		s, err := pref64.ParseSource(w)
		if err != nil {
			v.bad(fmt.Sprintf("discovery.sources[%d]", i+1), "%v", err)
			continue
		}
		out = append(out, s)
	}
	return out
}

func (v *validator) server(key string, r rawServer) Server {
	s := Server{Name: strings.TrimSuffix(r.Name, "."), Port: 443, TLS: r.TLS == nil || *r.TLS, ServerName: r.ServerName, CAFile: r.CAFile}
	switch a, err := netip.ParseAddr(s.Name); {
	case s.Name == "":
		v.bad(key+".name", "is missing: give the server's host name or IPv4 address")
	case err == nil && !a.Is4():
		v.bad(key+".name", "%q is an IPv6 address: such a server needs no help; give its host name or IPv4 address", s.Name)
	case err == nil:
		s.IPv4 = append(s.IPv4, a)
	case !isHostName(s.Name):
		v.bad(key+".name", "%q is neither a host name nor an IPv4 address", s.Name)
	}
	if r.Port != nil {
		if *r.Port < 1 || *r.Port > 65535 {
			v.bad(key+".port", "%d is not a TCP port (1 to 65535)", *r.Port)
		}
		s.Port = uint16(*r.Port)
	}
	for i, text := range r.IPv4 {
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() || !nat64.NonGlobalAlways.Allows(nat64.WellKnown(), a) {
			v.bad(fmt.Sprintf("%s.ipv4[%d]", key, i+1), "%q is not an IPv4 address that a server can have", text)
			continue
		}
		if !slices.Contains(s.IPv4, a) {
			s.IPv4 = append(s.IPv4, a)
		}
	}
	for i, text := range r.DNS {
		a, err := netip.ParseAddr(text)
		if err != nil || a.IsUnspecified() || a.IsMulticast() || s.IsLiteral() {
			v.bad(fmt.Sprintf("%s.dns[%d]", key, i+1), "%q is not the address of a name server for a host name", text)
			continue
		}
		s.DNS = append(s.DNS, a)
	}
	if s.ServerName == "" {
		s.ServerName = s.Name
	}
	v.identity(key, r, &s)
	return s
}

// identity reads what the server's certificate is checked against.
func (v *validator) identity(key string, r rawServer, s *Server) {
	if !s.TLS && (r.ServerName != "" || r.CAFile != "" || len(r.PinSHA256) > 0) {
		v.bad(key+".tls", "is false, yet server_name, ca_file or pin_sha256 is given")
	}
	for i, text := range r.PinSHA256 {
		pin, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		if err != nil || len(pin) != 32 {
			v.bad(fmt.Sprintf("%s.pin_sha256[%d]", key, i+1), "%q is not a SHA-256 in hex (64 digits, colons allowed)", text)
			continue
		}
		s.Pins = append(s.Pins, pin)
	}
	if r.CAFile == "" || !s.TLS {
		return
	}
	pem, err := v.read(r.CAFile)
	if err != nil {
		v.bad(key+".ca_file", "read certificates: %v", err)
		return
	}
	s.CAs = x509.NewCertPool()
	if !s.CAs.AppendCertsFromPEM(pem) {
		v.bad(key+".ca_file", "%s holds no PEM certificate", r.CAFile)
	}
}

// isHostName accepts letters, digits, hyphens, underscores and dots, RFC 1123
// section 2.1 with the usual underscore.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	return true
}
