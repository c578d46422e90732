package reach

import (
	"fmt"

	"github.com/reach64/reach64/resolver/pref64"
)

// classify names the network.
func classify(f facts, w World, lost lost) Class {
	switch {
	case w.Captive != "" && !w.AnyAnswer() && (f.has6() || f.has4()):
		return ClassCaptive
	case w.DNSSilent != "" && allLost(w) && (f.has6() || f.has4()):
		return ClassBrokenDNS
	case f.has4() && lost.v4:
		return ClassBrokenIPv4
	case f.has4() && f.has6():
		return ClassDualStack
	case f.has4():
		return ClassV4Only
	case w.Foreign != "" && lost.v4:
		return ClassBrokenCLAT
	case w.Foreign != "":
		return ClassNativeCLAT
	case !f.has6():
		return ClassOffline
	case nativeServer(f, w):
		return ClassV6OnlyNativeServer
	case lost.v6:
		return ClassBrokenIPv6
	}
	return nat64Class(f, w)
}

// nat64Class names a network that has only IPv6, by its NAT64.
func nat64Class(f facts, w World) Class {
	beside, second, inside := false, false, f.inside(w)
	for _, c := range w.Prefixes {
		l, here := f.through(w, c)
		switch {
		case here && inside && (l.Index == f.link6.Index || f.second(l)) && c.Source != pref64.Policy: // not for the servers
			continue
		case here && f.second(l):
			second = true
		case here && l.Index != f.link6.Index:
			beside = true
		case here && w.Mostly != "":
			return ClassIPv6Mostly
		case here && w.DNS64:
			return ClassV6OnlyNAT64DNS64
		case here:
			return ClassV6OnlyNAT64
		}
	}
	switch {
	case beside:
		return ClassDirectAccess
	case second && !w.Searching:
		return ClassV6OnlyNAT64 // there is one, though not by way of the first uplink
	case w.Unproven != "":
		return ClassV6OnlyNAT64 // there is one, whoever it belongs to
	case w.Searching:
		return ClassUnknown
	case w.DNSSilent != "":
		return ClassBrokenDNS
	case w.Unclear != "":
		return ClassUnknown // an error is no proof that there is none (spec R7050-6)
	}
	return ClassV6OnlyNoNAT64
}

// nativeServer tells whether every configured server answers over an IPv6
// address of its own.
func nativeServer(f facts, w World) bool {
	for _, s := range w.Servers {
		if !s.Probed[PathNative] {
			return false
		}
	}
	return len(w.Servers) > 0 && f.has6()
}

// allLost tells whether no address of any server is known.
func allLost(w World) bool {
	for _, s := range w.Servers {
		if !s.Lost {
			return false
		}
	}
	return len(w.Servers) > 0
}

// route says over which path the servers are reached and gives the reason that
// matters most to a person.
func route(class Class, clat CLAT, why Reason, detail string, w World) (Path, Reason, string) {
	switch class {
	case ClassOffline: // whatever was reached a moment ago
		return PathNone, why, detail
	case ClassCaptive:
		return PathNone, ReasonCaptive, w.Captive
	case ClassBrokenIPv6:
		return PathNone, ReasonBrokenIPv6, w.DNSSilent
	case ClassBrokenDNS:
		if !w.AnyAnswer() {
			return PathNone, ReasonBrokenDNS, w.DNSSilent
		}
	case ClassV4Only, ClassDualStack:
		return PathNative, why, detail
	case ClassNativeCLAT:
		if anyProbed(w, PathNative) {
			return PathNative, why, detail
		}
		return PathNone, why, detail
	case ClassV6OnlyNativeServer:
		return PathNative, ReasonNativeServer, ""
	}
	broken4 := class == ClassBrokenIPv4 || class == ClassBrokenCLAT
	switch {
	case clat != (CLAT{}) && why == "" && w.Own.Ready:
		why := throughCLAT(w, clat.Path())
		if clat.Relay && why == ReasonCLATUp {
			why = ReasonRelayUp
		}
		return clat.Path(), why, ""
	case broken4 && anyProbed(w, PathNative): // by IPv6, then
		return PathNative, ReasonNativeServer, detail
	case anyProbed(w, PathSynthesized):
		if why == "" {
			why = ReasonCLATStarting
		}
		return PathSynthesized, why, detail
	case clat != (CLAT{}) && why == "":
		return PathNone, ReasonCLATStarting, ""
	}
	return PathNone, why, detail
}

func anyProbed(w World, p Path) bool {
	for _, s := range w.Servers {
		if s.Probed[p] {
			return true
		}
	}
	return false
}

// AnyAnswer tells whether a server answers over any path at all.
func (w World) AnyAnswer() bool {
	for _, s := range w.Servers {
		if s.Native4 == Answers {
			return true
		}
		for _, ok := range s.Probed {
			if ok {
				return true
			}
		}
	}
	return false
}

// throughCLAT says how the servers are reached over path, the CLAT's, while it is
// up. A server that was not probed yet does not count.
func throughCLAT(w World, path Path) Reason {
	reached, failed := 0, 0
	for _, s := range w.Servers {
		ok, probed := s.Probed[path]
		switch {
		case ok:
			reached++
		case probed || s.Lost:
			failed++
		}
	}
	switch {
	case failed > 0 && reached == 0:
		return ReasonServerSilent
	case failed > 0:
		return ReasonSomeSilent
	}
	return ReasonCLATUp
}

// native says over which link native IPv4 goes, for a person.
func native(f facts) string {
	if f.link4.Tunnel {
		return fmt.Sprintf("IPv4 default route on %s, a tunnel such as a VPN's", f.link4.Name)
	}
	return fmt.Sprintf("IPv4 default route on %s", f.link4.Name)
}
