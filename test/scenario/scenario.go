// Package scenario is the list of situations that an endpoint gets into, with what
// reach64 makes of each. Two labs play them with the whole agent: test/netns on real
// kernels, and test/vnet/endpoint in memory on any operating system.
//
// It knows neither lab. A scenario names the tests of test/netns that play it; what
// only one of the labs can play has a reason. The tests of this package and of both
// labs fail when a test, a network or a fault is in no scenario.
package scenario

// The addresses that both labs use; 2001:db8::/32 and 198.51.100.0/24 are for
// documentation (RFC 3849, RFC 5737), fc00::/7 is RFC 4193's.
const (
	Prefix       = "2001:db8:64:ff9b::/96"    // of the network's NAT64
	OtherPrefix  = "2001:db8:64:64::/96"      // that the network may change to
	DeadPrefix   = "2001:db8:dead::/96"       // that nobody translates
	Corporate    = "fd12:3456:789a:7777::/96" // of DirectAccess' NAT64
	Server       = "198.51.100.10"            // the server's only address, as a rule
	Server6      = "2001:db8:77::10"          // the other one, where it has it
	ServerName   = "backup.example.test"
	CorporateNet = "fd12:3456:789a:1000::/64" // of DirectAccess' tunnel
)

// Scenario is one situation.
type Scenario struct {
	Name string // as a user would say it
	Want Want
	// Labs are the tests of test/netns that play it, subtests after a slash; NoLab says
	// why there is none.
	Labs  []string
	NoLab string
	// NoMemory says why it is not played in memory, "" it is.
	NoMemory string
}

// Want is what status says once reach64 has understood the situation.
type Want struct {
	Class, Path, Reason string
	Prefix, Source      string // of the NAT64 in use or found; "" is not looked at
	// Reaches tells whether a client that knows nothing of IPv6 reaches the server.
	Reaches bool
}

// Fits tells whether a status document is what is wanted. prefix and source are ""
// where the document has none.
func (w Want) Fits(class, path, reason, prefix, source string) bool {
	return w.Class == class && w.Path == path && w.Reason == reason &&
		(w.Prefix == "" || w.Prefix == prefix) && (w.Source == "" || w.Source == source)
}

// Named returns the scenario of that name; ok is false when there is none.
func Named(name string) (s Scenario, ok bool) {
	for _, s := range List {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// up is what is wanted where all is well: the network's own NAT64, learned from its
// router.
func up(class string) Want {
	return Want{class, "clat", "clat-carries-ipv4", Prefix, "ra", true}
}

// with returns w with another prefix and source.
func (w Want) with(prefix, source string) Want { w.Prefix, w.Source = prefix, source; return w }

// in returns w in another class of network.
func (w Want) in(class string) Want { w.Class = class; return w }

// none is what is wanted where there is no path.
func none(class, reason string) Want { return Want{Class: class, Path: "none", Reason: reason} }

// relay is what is wanted where the relay carries.
var relay = Want{"v6-only-nat64-dns64", "relay", "relay-carries-ipv4", Prefix, "ra", true}

// silent is what is wanted where a CLAT is up and no server answers through it.
var silent = Want{"v6-only-nat64-dns64", "clat", "server-does-not-answer", Prefix, "ra", false}

// strange is what is wanted where somebody answers who does not prove to be the server.
var strange = Want{"v6-only-nat64-dns64", "clat", "server-does-not-answer", Prefix, "ra", true}
