// Package config is the configuration of reach64: a strict TOML text read into
// typed, validated values.
//
// It knows the keys, their defaults and their limits, and where in which file a
// bad one stands. It does not open files, watch them or apply anything.
package config

import (
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/reach64/reach64/resolver/dnssec"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// Config is the whole, validated configuration.
type Config struct {
	Servers   []Server
	Path      Path
	Discovery Discovery
	Probe     Probe
	Log       Log
	DNS       DNS
	Metrics   Metrics
	Control   Control
}

// Server is one backup server.
type Server struct {
	Name       string       // host name or IPv4 address, as written
	Port       uint16       // TCP port
	IPv4       []netip.Addr // addresses known beforehand; holds Name when that is an address
	TLS        bool         // probe with a TLS handshake
	ServerName string       // name that the certificate must carry; defaults to Name
	CAFile     string       // file the pool came from, "" for the system's roots
	CAs        *x509.CertPool
	Pins       [][]byte     // SHA-256 of the certificate or its key; they replace the CA check
	DNS        []netip.Addr // name servers for Name instead of the network's, as an NRPT rule has them
}

// IsLiteral tells whether the server is known by an IPv4 address alone, so that
// there is no name to resolve.
func (s Server) IsLiteral() bool {
	a, err := netip.ParseAddr(s.Name)
	return err == nil && a.Is4()
}

// Mode says whether reach64 may act at all.
type Mode string

// The modes.
const (
	ModeAuto Mode = "auto"
	ModeOff  Mode = "off" // watch, discover and probe, but change nothing
)

// The words of path.datapath.
const (
	DatapathAuto  = "auto"  // the fastest that works
	DatapathBPF   = "bpf"   // translation in the kernel
	DatapathTUN   = "tun"   // translation in user space, steered by the kernel
	DatapathRelay = "relay" // flows end on this machine, and go on over IPv6 sockets
)

// Scope says which IPv4 destinations are routed through the CLAT.
type Scope string

// The scopes.
const (
	ScopeServer Scope = "server" // the configured servers' addresses
	ScopeAll    Scope = "all"    // a default route with a high metric
)

// OtherCLAT says what another program's CLAT means to us.
type OtherCLAT string

// The ways.
const (
	OtherYield    OtherCLAT = "yield"     // stand down, whether it works or not
	OtherTakeOver OtherCLAT = "take-over" // reach the servers ourselves when it does not lead to them
)

// Path is the table [path].
type Path struct {
	Mode     Mode
	Scope    Scope
	Datapath string // one of the Datapath words
	// OtherCLAT says what to do beside another program's CLAT through which no server answers.
	OtherCLAT OtherCLAT
	// HopAddrs are IPv4 addresses for ICMP errors of routers that have none, so
	// that traceroute tells hops apart (RFC 6791). Not valid: 192.0.0.8 for all.
	HopAddrs netip.Prefix
}

// Discovery is the table [discovery].
type Discovery struct {
	Prefixes  []nat64.Prefix
	Sources   []pref64.Source
	NonGlobal nat64.NonGlobal
	Allow     []netip.Prefix

	// RequireValidation refuses prefixes that were learned from the network and are
	// not proven to belong to a trusted domain (RFC 7050 section 3.1).
	RequireValidation bool
	TrustedDomains    []string       // domains whose NAT64s are trusted
	NAT64Names        []string       // names of NAT64s, in place of those that PTR records give
	Anchors           dnssec.Anchors // DNSSEC trust anchors; none: the root zone's
}

// Probe is the table [probe].
type Probe struct {
	Interval time.Duration // between probes of a reachable server, before jitter
	Timeout  time.Duration // of one handshake
	// PortalURL is an http address that answers 204 where no captive portal stands
	// between; it is asked while no server answers. "": none.
	PortalURL string
}

// DNS is the table [dns].
type DNS struct {
	Listen  netip.AddrPort // of the local DNS64, a loopback address; not valid: none
	Exclude []netip.Prefix // IPv6 addresses that count as absent, IPv4 addresses that are not synthesized
}

// LogLevels are the levels, the default first.
var LogLevels = []string{"info", "debug", "warning", "error"}

// Log is the table [log].
type Log struct {
	Level  string // error, warning, info, debug
	Format string // text, json
	File   string // "" for standard error, or the journal where that is its

	MaxSize  int // megabytes, of File before it is rotated
	MaxFiles int // rotated ones that are kept
}

// Metrics is the table [metrics].
type Metrics struct {
	Listen netip.AddrPort // for Prometheus, a loopback address; not valid: none
}

// Control is the table [control].
type Control struct {
	Socket string // "" for this system's place
}
