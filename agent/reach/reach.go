// Package reach is the decision core of the agent: from what is known of the
// network, the prefixes and the servers it says what class of network this is,
// whether a CLAT is wanted and with what, and over which path the servers are
// reached, always with a reason.
//
// It is pure: time is an argument, there is no I/O, no goroutine and no clock.
// Each Step looks at the whole World; nothing depends on having seen every
// event. When a CLAT turns on or off is decided here and nowhere else.
package reach

import (
	"net/netip"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// Class is what kind of network this is (design section 5).
type Class uint8

// The classes. The zero value is 'not known yet'.
const (
	ClassUnknown Class = iota
	ClassOffline
	ClassV4Only
	ClassDualStack
	ClassV6OnlyNativeServer
	ClassV6OnlyNAT64DNS64
	ClassV6OnlyNAT64
	ClassV6OnlyNoNAT64
	ClassNativeCLAT
	ClassDirectAccess // the uplink has no NAT64, but a tunnel of the organization's leads to one
	ClassBrokenIPv4   // an IPv4 address and default route over which no server answers
	ClassBrokenIPv6   // only IPv6, and neither a DNS server nor a server answers
	ClassBrokenDNS    // no DNS server answers, and what it would say is needed
	ClassBrokenCLAT   // another program's CLAT, through which no server answers
	ClassCaptive      // the network lets nobody out before a sign-in
	ClassIPv6Mostly   // only IPv6 with a NAT64, since DHCP says that IPv4 is to be done without (RFC 8925)
)

var classWords = [...]string{"unknown", "offline", "v4-only", "dual-stack", "v6-only-native-server",
	"v6-only-nat64-dns64", "v6-only-nat64", "v6-only-no-nat64", "native-clat", "directaccess", "broken-ipv4",
	"broken-ipv6", "broken-dns", "broken-clat", "captive", "ipv6-mostly"}

// String returns the word used in status and logs.
func (c Class) String() string { return classWords[c] }

// Path is how the servers are reached just now.
type Path uint8

// The paths. The zero value is 'not at all'.
const (
	PathNone Path = iota
	PathNative
	PathSynthesized
	PathCLAT
	PathRelay // as PathCLAT, but flows end on this machine and are carried on by IPv6 sockets
)

var pathWords = [...]string{"none", "native", "synthesized", "clat", "relay"}

// String returns the word used in status and logs.
func (p Path) String() string { return pathWords[p] }

// Settings are the parts of the configuration that decisions depend on.
type Settings struct {
	Off bool // watch only
	// Paused is Off by a person's word rather than by configuration.
	Paused bool
	All    bool // an IPv4 default route is wanted, not the servers' alone
	// TakeOver lets the servers' addresses go through our CLAT when another
	// program's leads to none of them.
	TakeOver bool
	Relay    RelayUse
}

// World is everything that a decision may depend on, at one moment.
type World struct {
	Net       netstate.Snapshot
	Own       Own
	Epoch     uint64             // that Prefixes, DNS64 and Searching were found in
	Prefixes  []pref64.Candidate // unexpired; best first among those of one link
	DNS64     bool               // the uplink's resolver synthesizes (RFC 7050 found a prefix)
	Searching bool               // some prefix source of an uplink has not answered yet
	Unclear   string             // what a source of the uplink said that could not be asked properly, "" none
	Unproven  string             // the first prefix left out since a proof is required, and which is missing; "" none
	Foreign   string             // evidence of somebody else's CLAT, "" none
	DNSSilent string             // evidence that no DNS server of the uplink answers, "" one does or none was asked yet
	Captive   string             // where the network wants a sign-in first, "" it does not say so
	Mostly    string             // evidence that DHCP asked to do without IPv4 (RFC 8925), "" none
	Failed    Failure            // why the CLAT that was wanted could not be started
	Servers   []Server
}

// Own is what reach64 itself has put into the network state.
type Own struct {
	Device int        // index of the CLAT's TUN, 0 none
	Addr6  netip.Addr // the CLAT's IPv6 address on the uplink
	Ready  bool       // the datapath carries packets: address unique, steering and routes there
}

// Failure is why a CLAT could not be started.
type Failure struct {
	Reason Reason // "" none
	Detail string // the error's text
	For    CLAT   // the intent that failed
}

// Server is what is known of one configured server.
type Server struct {
	IPv4   []netip.Addr
	IPv6   []netip.Addr
	Probed map[Path]bool // last result by path; missing: not probed
	// Native4 is the last result over native IPv4, by the link of its default route.
	Native4 Native4
	Lost    bool // its name cannot be resolved, and no address is known
	// Corporate: its name is the organization's, by policy: what the network says of
	// its own NAT64 is not for it.
	Corporate bool
}

// CLAT is the translator that is wanted. The zero value is none. It is
// comparable, so that 'nothing changed' is ==.
type CLAT struct {
	Uplink   int // link index
	Name     string
	Ethernet bool
	MTU6     int // bytes, IPv6 MTU of the uplink
	Prefix   nat64.Prefix
	Net64    netip.Prefix // the /64 from which the CLAT's IPv6 address is taken; a relay needs none
	IPv4     netip.Addr   // from 192.0.0.0/29
	All      bool         // default route, not only the servers
	Relay    bool         // flows end here, see RelayUse
}

// Resized is c with another MTU of the uplink.
func (c CLAT) Resized(mtu6 int) CLAT {
	c.MTU6 = mtu6
	return c
}

func (c CLAT) way() way { return way{c.Prefix, c.Uplink} }

// Intent is the whole wanted state; comparable.
type Intent struct {
	Epoch uint64 // rises with every change of network
	CLAT  CLAT
}

// Out is the result of one Step.
type Out struct {
	Intent  Intent
	Class   Class
	Path    Path
	Reason  Reason
	Detail  string    // evidence for the reason, may be empty
	Note    string    // why packets are not translated, though there is a CLAT; "" they are
	Uplink  int       // link index of the IPv6 (else IPv4) uplink, 0 none
	Uplink4 int       // link index of the native IPv4 uplink, 0 none
	Usable  bool      // the uplink has an IPv6 address past duplicate address detection
	Wake    time.Time // when to Step again at the latest; zero: only on news
}
