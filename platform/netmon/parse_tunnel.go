package netmon

import (
	"slices"
	"strings"
)

// vpnDrivers are words, in small letters, of the descriptions of adapters that VPNs for
// Windows bring and that look like Ethernet. They come from the drivers and have one
// language.
var vpnDrivers = []string{
	"vpn", // F5, SonicWall, SoftEther, Array, Fortinet's SSL VPN
	"tap-", "anyconnect", "cisco secure client", "pangp", "fortinet", "juniper", "pulse secure",
	"check point virtual", "citrix virtual", "zscaler", "hamachi", "zerotier",
}

// tunnelOfWindows tells whether a link leads into a tunnel such as a VPN's: by its
// interface type, or by its driver. Mobile broadband is an uplink.
func tunnelOfWindows(ifType uint32, description string) bool {
	switch ifType {
	case ifTypePPP, ifTypeVirtual, ifTypeTunnel:
		return true
	case ifTypeEthernet:
		text := strings.ToLower(description)
		return slices.ContainsFunc(vpnDrivers, func(w string) bool { return strings.Contains(text, w) })
	}
	return false
}

// vpnLinks are how the names of links of macOS begin that have link-layer addresses and
// are a VPN's: Tunnelblick's, and ZeroTier's.
var vpnLinks = []string{"tap", "feth", "zt"}

// tunnelOfMac tells whether a link leads into a tunnel such as a VPN's. Those of the
// system (utun, ipsec, ppp) are links between two points without addresses of their own.
func tunnelOfMac(name string, ethernet, pointToPoint bool) bool {
	if !ethernet {
		return pointToPoint
	}
	return slices.ContainsFunc(vpnLinks, func(p string) bool {
		number, ok := strings.CutPrefix(name, p)
		return ok && number != "" && strings.Trim(number, "0123456789") == ""
	})
}
