package diag

import (
	"net/netip"
	"slices"
	"time"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/portal"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/probe"
	"github.com/reach64/reach64/resolver/system"
	"github.com/reach64/reach64/tunnel/dial"
)

// Topic is a part of the evidence that is gathered in one go.
type Topic string

// The topics, in the order in which they are gathered, for people.
const (
	Local     Topic = "this machine"
	Sources   Topic = "routers"
	Names     Topic = "names"
	Resolvers Topic = "DNS servers"
	Portal    Topic = "the network's sign-in"
	Echoes    Topic = "the NAT64"
	Paths     Topic = "the servers"
)

// Evidence is all that the verdicts depend on. What could not be gathered is empty,
// with a text that says why.
type Evidence struct {
	Now      time.Time
	Version  string
	Net      netstate.Snapshot
	NetErr   string // why Net could not be read, "" it was
	Config   Config
	Rights   Rights
	Service  Service
	Foreign  *Foreign // another program's CLAT
	Native   string   // how the system's own CLAT is set up, "" not known
	Policy   DirectAccess
	Sources  []Source
	Answers  []Resolver
	Portal   *portal.Answer // nil: the network names no portal, and nobody was asked
	Servers  []Server
	Asked    map[Topic]bool // what was gathered
	Took     map[Topic]time.Duration
	Duration time.Duration
	Built    time.Time // when this program was made, zero not known

	rdnss   []system.Server // DNS servers that routers announce
	offered []netip.Prefix  // prefixes that routers offer for addresses
	portal  string          // a captive portal's API that a router announces
}

// Config is the configuration on this machine.
type Config struct {
	Found  bool   // a file, a drop-in or a policy is there
	File   string // the main file's name
	Err    string // every mistake, "" it is valid
	Closed string // why it may not be read, "" it may
	Conf   config.Config
	Values []config.Value
	Digest string    // as status.Configuration has it
	Policy []string  // policy files that are in force
	Newest time.Time // of the files' times of change
}

// Origin says which layer a key comes from.
func (c Config) Origin(key string) string {
	for _, v := range c.Values {
		if v.Key == key {
			return v.Origin
		}
	}
	return config.Default
}

// Rights are what this process may do.
type Rights struct {
	Root    bool
	Missing []string // capabilities that the service needs and this process lacks
	Err     string   // what stops a service that would be started like this process, "" nothing
}

// Service is the running service.
type Service struct {
	Running bool
	Err     string // why its status could not be read though it runs, or "" not running
	Version string
	Status  status.Status
}

// Foreign is somebody else's CLAT.
type Foreign struct{ Name, Link, Evidence string }

// DirectAccess is what the system's policy says of names and tunnels.
type DirectAccess struct {
	Supported  bool
	Configured bool
	Err        string
	Tunnel     string   // the one that is connected, "" none
	Prefix     string   // NAT64 prefix that policy reveals, "" none
	Rules      []string // for the servers' names: which rule is in force
}

// Source is one place where a prefix was looked for.
type Source struct {
	Source   pref64.Source
	From     string // link, router or DNS server
	Prefixes []nat64.Prefix
	Refused  []nat64.Prefix // by discovery.allow
	Heard    bool           // there was an answer
	Reason   string
}

// Resolver is what one DNS server says of ipv4only.arpa (RFC 7050).
type Resolver struct {
	Server   system.Server
	Answered bool
	Err      string
	Rcode    string // of the AAAA question
	Prefixes []nat64.Prefix
	Foreign  []netip.Addr // AAAA records that hold no well-known address
	HasA     bool         // it gives 192.0.0.170 or .171
	Took     time.Duration
}

// label names the server and its link.
func (r Resolver) label() string {
	s := r.Server.Addr.Addr().String()
	if r.Server.Link != "" {
		s += " on " + r.Server.Link
	}
	return s
}

// Server is one backup server.
type Server struct {
	Name     string
	Port     uint16
	Identity probe.Target
	Given    []netip.Addr // IPv4 addresses known beforehand
	Literal  bool         // Name is an address
	View     system.View  // what applications get
	Answers  []system.Answer
	Paths    []Path
	Echo     []Echo
}

// Path is one address of a server over one way.
type Path struct {
	Kind   dial.Kind
	Addr   netip.AddrPort
	Link   string // that it is sent over, "" not known
	Tunnel bool   // Link is a tunnel such as a VPN's
	Own    bool   // CLAT: it is ours
	Routed bool   // applications' packets go this way
	Prefix nat64.Prefix
	Result probe.Result
	MTU    int           // bytes, path MTU as the system knew it at the end, 0 not known
	Small  *probe.Result // the same with small segments, when TLS was silent
}

// answers tells whether the other end, or the server's host, said anything at all.
func (p Path) answers() bool {
	return p.Result.Connect > 0 || p.Result.Reason == probe.Refused || p.Result.Reason == probe.Reset
}

// Echo is what came back from behind a NAT64 to echo requests.
type Echo struct {
	Prefix nat64.Prefix
	To     netip.Addr
	Err    string        // why none was sent, "" they were
	Reply  time.Duration // of a small one, 0 none
	Heard  []Heard       // answers of routers to requests that die on the way
	Sizes  []int         // bytes of the packets that were answered, IPv6 headers included
	Asked  []int         // and of those that were sent
	TooBig int           // MTU that a router told, 0 none
}

// Heard is one ICMP error.
type Heard struct {
	Hops int // hop limit that it answers
	From netip.Addr
	What string // "time exceeded", "unreachable"
}

// alive tells whether something behind the NAT64 was heard.
func (x Echo) alive() bool {
	return x.Reply > 0 || slices.ContainsFunc(x.Heard, func(h Heard) bool { return x.Prefix.Contains(h.From) })
}

// own is the device of our CLAT, "" none.
func (e *Evidence) own() string {
	if c := e.Service.Status.CLAT; e.Service.Running && c != nil {
		return c.Device
	}
	return ""
}

// ownIndex is its link's index, 0 none.
func (e *Evidence) ownIndex() int {
	l, _ := e.Net.LinkByName(e.own())
	return l.Index
}

// uplink6 is the link of the IPv6 default route.
func (e *Evidence) uplink6() (netstate.Link, bool) {
	r, ok := e.Net.Default(true, e.ownIndex())
	if !ok {
		return netstate.Link{}, false
	}
	return e.Net.Link(r.Link)
}

// uplink4 is the link of native IPv4's default route: neither our CLAT nor another's.
func (e *Evidence) uplink4() (netstate.Link, bool) {
	skip := []int{e.ownIndex()}
	for {
		r, ok := e.Net.Default(false, skip...)
		if !ok {
			return netstate.Link{}, false
		}
		if l, found := e.Net.Link(r.Link); found && len(l.Native4()) > 0 {
			return l, true
		}
		skip = append(skip, r.Link)
	}
}

// needs64 tells whether servers are reached through a NAT64 alone: there is no
// native IPv4 that works, and some server has no IPv6 of its own.
func (e *Evidence) needs64() bool {
	if _, ok := e.uplink4(); ok {
		return false
	}
	for _, s := range e.Servers {
		if !s.reachedBy(dial.NativeIPv6) {
			return true
		}
	}
	return len(e.Servers) == 0
}

// Known is a prefix and who told of it.
type Known struct {
	Prefix nat64.Prefix
	Who    []string
}

// Prefixes are those that may be used, best first, with their sources.
func (e *Evidence) Prefixes() (out []Known) {
	sources := slices.Clone(e.Sources)
	slices.SortStableFunc(sources, func(a, b Source) int { return int(a.Source) - int(b.Source) })
	for _, s := range sources {
		for _, p := range s.Prefixes {
			i := slices.IndexFunc(out, func(k Known) bool { return k.Prefix == p })
			if i < 0 {
				i, out = len(out), append(out, Known{Prefix: p})
			}
			if w := s.label(); !slices.Contains(out[i].Who, w) {
				out[i].Who = append(out[i].Who, w)
			}
		}
	}
	return out
}

func (s Source) label() string {
	if s.From == "" {
		return s.Source.String()
	}
	return s.Source.String() + " (" + s.From + ")"
}

// reachedBy tells whether the server proved itself over a kind of path.
func (s Server) reachedBy(kinds ...dial.Kind) bool {
	return slices.ContainsFunc(s.Paths, func(p Path) bool { return slices.Contains(kinds, p.Kind) && p.Result.Reachable })
}

// reached is the path by which applications reach the server: by an address that
// they get and over a route that is there; our CLAT if it is one of several.
func (s Server) reached() (best Path, ok bool) {
	for _, p := range s.Paths {
		if p.Routed && p.Result.Reachable && (!ok || p.Kind == dial.CLAT && p.Own) {
			best, ok = p, true
		}
	}
	return best, ok
}

// any returns the first path for which ok is true.
func (s Server) any(ok func(Path) bool) (Path, bool) {
	if i := slices.IndexFunc(s.Paths, ok); i >= 0 {
		return s.Paths[i], true
	}
	return Path{}, false
}
