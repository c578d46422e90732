// Package osinfo tells what the operating system does or has already that
// matters to reach64: another CLAT, what DHCP said of IPv4, and which rights this process lacks.
//
// It only looks; agent/reach decides.
package osinfo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reach64/reach64/platform/netstate"
)

// Own is what belongs to reach64 and is therefore no sign of another CLAT.
type Own struct {
	Device int // link index of our TUN, 0 none
}

// Finding is a CLAT that is not ours.
type Finding struct {
	Name     string // what it probably is
	Link     string
	Evidence string
}

// known maps names of devices to the CLATs that use them.
var known = []struct{ prefix, name string }{
	{"clat", "clatd or another CLAT"},
	{"cl-", "systemd-networkd"},
	{"v4-", "an Android-like CLAT"},
	{"464-", "nat46"},
	{"nat64", "tayga"},
	{"tun_nat64", "ChromeOS patchpanel"},
	{"tayga", "tayga"},
	{"tundra", "tundra"},
	{"colatrl", "colatrl"},
	{"jool", "jool"},
	{"ipxlat", "ipxlat"},
}

// ForeignCLAT looks for signs that somebody else's CLAT is active: an address of
// 192.0.0.0/29 on a link that is not ours, a route to it, or an IPv4 default
// route over a device with a known name (spec OS-1, OSC-8, RFC 7335).
func ForeignCLAT(s netstate.Snapshot, own Own) (Finding, bool) {
	for _, l := range s.Links {
		if l.Index == own.Device {
			continue
		}
		for _, a := range l.Addrs {
			if a.CLAT {
				return Finding{unknown, l.Name, fmt.Sprintf("%s translates with the address %s", l.Name, a.Prefix.Addr())}, true
			}
			if netstate.Continuity.Contains(a.Prefix.Addr()) {
				return Finding{guess(l.Name), l.Name, fmt.Sprintf("%s has the address %s", l.Name, a.Prefix.Addr())}, true
			}
		}
	}
	for _, r := range s.Routes {
		l, ok := s.Link(r.Link)
		if !ok || r.Link == own.Device || r.Reject {
			continue
		}
		if r.Dst.Bits() > 0 && netstate.Continuity.Overlaps(r.Dst) && r.Dst.Bits() >= netstate.Continuity.Bits() {
			return Finding{guess(l.Name), l.Name, fmt.Sprintf("a route to %s goes over %s", r.Dst, l.Name)}, true
		}
		if r.Dst.Bits() == 0 && r.Dst.Addr().Is4() && guess(l.Name) != unknown {
			return Finding{guess(l.Name), l.Name, fmt.Sprintf("the IPv4 default route goes over %s", l.Name)}, true
		}
	}
	return Finding{}, false
}

const unknown = "a CLAT of the operating system"

func guess(link string) string {
	i := slices.IndexFunc(known, func(k struct{ prefix, name string }) bool { return strings.HasPrefix(link, k.prefix) })
	if i < 0 {
		return unknown
	}
	return known[i].name
}
