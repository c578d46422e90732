package directaccess

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Tunnel is how a link carries IPv6 through IPv4.
type Tunnel uint8

// The kinds of tunnels.
const (
	NoTunnel Tunnel = iota
	SixToFour
	ISATAP
	Teredo
	IPHTTPS
)

var tunnelNames = [...]string{"none", "6to4", "isatap", "teredo", "iphttps"}

// String returns none, 6to4, isatap, teredo or iphttps.
func (t Tunnel) String() string {
	if int(t) >= len(tunnelNames) {
		return fmt.Sprintf("tunnel %d", uint8(t))
	}
	return tunnelNames[t]
}

// Adapter is what GetAdaptersAddresses says of a link.
type Adapter struct {
	Index       int
	Name        string
	Description string
	IfType      uint32 // IANA's number, 131 for tunnels
	TunnelType  uint32 // IANA's number
	Up          bool
	Addrs       []netip.Addr
}

const ifTypeTunnel = 131

// tunnelTypes are IANA's tunnelType numbers, spec DA-30.
var tunnelTypes = map[uint32]Tunnel{11: SixToFour, 13: ISATAP, 14: Teredo, 15: IPHTTPS}

// words are parts of descriptions and names, for drivers that say no tunnel type.
var words = []struct {
	word string
	kind Tunnel
}{
	{"ip-https", IPHTTPS}, {"iphttps", IPHTTPS}, {"teredo", Teredo}, {"isatap", ISATAP}, {"6to4", SixToFour},
}

// Tunnel tells what kind of tunnel the link is.
func (a Adapter) Tunnel() Tunnel {
	if t, ok := tunnelTypes[a.TunnelType]; ok {
		return t
	}
	if a.IfType != ifTypeTunnel {
		return NoTunnel
	}
	for _, w := range words {
		if strings.Contains(strings.ToLower(a.Description+" "+a.Name), w.word) {
			return w.kind
		}
	}
	return NoTunnel
}

// Carries tells whether DirectAccess may be connected over the link: a tunnel of
// its kinds that is up and has an address that leads somewhere (spec DA-24). It
// may be that another tunnel, or none, is in use: names have to resolve, too.
func (a Adapter) Carries() bool {
	t := a.Tunnel()
	return a.Up && (t == IPHTTPS || t == Teredo || t == SixToFour) &&
		slices.ContainsFunc(a.Addrs, func(ip netip.Addr) bool { return ip.Is6() && ip.IsGlobalUnicast() && !ip.Is4In6() })
}

// Tunnels are the settings of the tunnels, empty and nil when not set (spec
// DA-32; the names of the values are not confirmed by a published text).
type Tunnels struct {
	Teredo, SixToFour, ISATAP string // state, such as Enabled
	TeredoServer              string
	IPHTTPSState              *uint32
	IPHTTPSURL                string
}

func (p *Policy) tunnels(t Tree) {
	r := reader{tree: t, key: tunnelKey, policy: p}
	p.Tunnels = Tunnels{Teredo: r.text("Teredo_State"), SixToFour: r.text("6to4_State"), ISATAP: r.text("ISATAP_State"), TeredoServer: r.text("Teredo_ServerName")}
	r.key = httpsKey
	p.Tunnels.IPHTTPSState, p.Tunnels.IPHTTPSURL = r.number("IPHTTPS_ClientState"), r.text("IPHTTPS_ClientUrl")
}
