package config

import (
	"fmt"
	"net/netip"
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
			Datapath: v.oneOf("path.datapath", r.Path.Datapath, DatapathAuto, DatapathBPF, DatapathTUN, DatapathRelay),
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
