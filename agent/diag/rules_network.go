package diag

import (
	"fmt"
	"strings"

	"github.com/reach64/reach64/platform/netstate"
)

// outward are the links that may lead somewhere: not loopback, not our CLAT's.
func (e *Evidence) outward() (out []netstate.Link) {
	for _, l := range e.Net.Links {
		if !l.Loopback && l.Name != e.own() {
			out = append(out, l)
		}
	}
	return out
}

func judgeLinks(e *Evidence) finding {
	if e.NetErr != "" {
		return unknown("the state of the network cannot be read: %s", e.NetErr)
	}
	var up, down []string
	for _, l := range e.outward() {
		if l.Up {
			up = append(up, l.Name)
		} else {
			down = append(down, l.Name)
		}
	}
	switch {
	case len(up) > 0:
		return pass("%s up", are(up))
	case len(down) > 0:
		return fail("Plug the cable in, join the wireless network, or enable the interface ("+strings.Join(down, ", ")+").", "%s down or without carrier", are(down))
	}
	return fail("Look for the network adapter and its driver.", "there is no network interface beside loopback")
}

func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return and(names) + " are"
}

func judgeAddresses(e *Evidence) finding {
	if e.NetErr != "" {
		return unknown("the state of the network cannot be read: %s", e.NetErr)
	}
	var good, tentative, conflict, bare []string
	for _, l := range e.outward() {
		if !l.Up {
			continue
		}
		own := len(good) + len(tentative)
		for _, a := range l.Addrs {
			ip := a.Prefix.Addr()
			switch {
			case a.DADFailed:
				conflict = append(conflict, fmt.Sprintf("%s: another machine on the link has %s (duplicate address detection)", l.Name, ip))
			case ip.IsLinkLocalUnicast() || netstate.Continuity.Contains(ip):
			case a.Tentative:
				tentative = append(tentative, fmt.Sprintf("%s has %s, which is still checked for duplicates", l.Name, a.Prefix))
			default:
				good = append(good, fmt.Sprintf("%s has %s", l.Name, a.Prefix))
			}
		}
		if own == len(good)+len(tentative) {
			bare = append(bare, l.Name+" has no address but its own link-local one")
		}
	}
	const inUse = "Find the other machine (its link address is in the neighbour table of the router), or have this one draw another address: disable and enable the interface."
	switch {
	case len(good) == 0 && len(conflict) > 0:
		return fail(inUse, "%s", conflict[0]).with(conflict[1:]...)
	case len(good) == 0 && len(tentative) > 0:
		return warn("Wait two seconds and run the doctor again.", "%s", tentative[0]).with(tentative[1:]...)
	case len(good) == 0:
		return fail("No router announces an IPv6 prefix on this link, and no DHCP server gives an address: check that this is the right network (cable, VLAN, Wi-Fi), then the router's advertisements.",
			"%s", strings.Join(bare, "\n")).with(heardRouters(e)...).with(e.offers()...)
	case len(conflict) > 0:
		return warn(inUse, "%s", conflict[0]).with(good...)
	}
	return pass("%s", good[0]).with(good[1:]...)
}

// heardRouters says whether a router answered when it was asked to.
func heardRouters(e *Evidence) (out []string) {
	for _, s := range e.Sources {
		if s.Source.String() == "ra" && !s.Heard {
			out = append(out, "router advertisements: "+s.Reason)
		}
	}
	return out
}

// offers says which prefixes routers offer for addresses. Linux takes an address that
// another machine has away without a trace.
func (e *Evidence) offers() (out []string) {
	for _, p := range e.offered {
		out = append(out, fmt.Sprintf("a router offers %s for addresses, and none of it came to stand: another machine may have the address, or autoconfiguration is off here", p))
	}
	return out
}

func judgeRoutes(e *Evidence) finding {
	if e.NetErr != "" {
		return unknown("the state of the network cannot be read: %s", e.NetErr)
	}
	var have []string
	for _, v6 := range []bool{true, false} {
		r, ok := e.Net.Default(v6, e.ownIndex())
		if !ok {
			continue
		}
		l, _ := e.Net.Link(r.Link)
		family := "IPv4"
		if v6 {
			family = "IPv6"
		}
		via := ""
		if r.Gateway.IsValid() {
			via = " via " + r.Gateway.String()
		}
		have = append(have, fmt.Sprintf("%s goes%s over %s", family, via, l.Name))
	}
	if len(have) == 0 {
		return fail("The router announces itself with lifetime 0, or DHCP gives no router: look at the router's advertisements, and for a static route that was removed.",
			"there is an address, but no default route, neither IPv6 nor IPv4")
	}
	return pass("%s", strings.Join(have, "; "))
}

func judgeCaptive(e *Evidence) finding {
	st := e.Service.Status
	const remedy = "Open the address in a browser and sign in to the network; reach64 goes on by itself."
	switch {
	case e.Portal != nil && e.Portal.Captive:
		f := fail(remedy, "%s", e.Portal.Reason)
		if e.Portal.SignIn != "" {
			f = f.with("sign in at " + e.Portal.SignIn)
		}
		return f
	case e.Service.Running && st.Class == "captive" && st.Detail != nil:
		return fail(remedy, "%s", *st.Detail)
	case e.Portal != nil && e.Portal.Known:
		return pass("%s", e.Portal.Reason)
	case e.Portal != nil:
		return unknown("%s", e.Portal.Reason)
	}
	return skip("the network names no portal, and probe.portal_url is not set")
}

func judgeDirectAccess(e *Evidence) finding {
	p := e.Policy
	switch {
	case !p.Supported:
		return skip("this system has neither DirectAccess nor an NRPT")
	case p.Err != "":
		return unknown("the policy cannot be read: %s", p.Err)
	case !p.Configured && len(p.Rules) == 0:
		return skip("not configured by policy")
	case p.Configured && p.Tunnel == "":
		return warn("If the server is in the organization's network, connect DirectAccess (Get-DAConnectionStatus says what is missing).",
			"policy configures DirectAccess, but none of its tunnels is up").with(p.Rules...)
	case p.Prefix != "":
		return pass("connected over %s; policy tells the NAT64 prefix %s", p.Tunnel, p.Prefix).with(p.Rules...)
	case p.Configured:
		return pass("connected over %s", p.Tunnel).with(p.Rules...)
	}
	return pass("%s", p.Rules[0]).with(p.Rules[1:]...)
}
