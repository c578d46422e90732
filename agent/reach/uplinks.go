package reach

import (
	"slices"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// Uplink is a link with a default route, looked at as if it were the only one.
type Uplink struct {
	Link         int
	Name         string
	IPv6, IPv4   bool
	Class        Class
	Prefix       nat64.Prefix // the best NAT64 prefix known there; not valid: none
	First6, Used bool         // the system's way to IPv6; the CLAT's way
}

// Uplinks lists the links that have a default route, the system's first choice first.
// What the probes say is left out, since they do not tell of a link.
func Uplinks(w World, c CLAT) (out []Uplink) {
	first := look(w)
	for _, l := range candidates(w) {
		one := w
		one.Net = only(w.Net, l.Index)
		one.Servers = nil
		f := look(one)
		if !f.has6() && !f.has4() {
			continue
		}
		u := Uplink{Link: l.Index, Name: l.Name, IPv6: f.has6(), IPv4: f.has4(),
			First6: l.Index == first.link6.Index, Used: c != (CLAT{}) && c.Uplink == l.Index}
		one.Captive, one.Foreign = "", ""
		one.DNS64 = w.DNS64 && u.First6 || slices.ContainsFunc(w.Prefixes, func(c pref64.Candidate) bool { return c.Source == pref64.DNS && c.Link == l.Index })
		u.Class = classify(f, one, lost{})
		for _, p := range w.Prefixes {
			if via, ok := f.through(one, p); ok && via.Index == l.Index {
				u.Prefix = p.Prefix
				break
			}
		}
		out = append(out, u)
	}
	return out
}

// candidates are the links with a default route that is not ours, by metric, those of
// IPv6 first.
func candidates(w World) (out []netstate.Link) {
	for _, v6 := range []bool{true, false} {
		skip := []int{w.Own.Device}
		for {
			r, ok := w.Net.Default(v6, skip...)
			if !ok {
				break
			}
			skip = append(skip, r.Link)
			l, ok := w.Net.Link(r.Link)
			if ok && !slices.ContainsFunc(out, func(o netstate.Link) bool { return o.Index == l.Index }) {
				out = append(out, l)
			}
		}
	}
	return out
}

// only is the network state without the default routes of all other links.
func only(s netstate.Snapshot, link int) netstate.Snapshot {
	s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r netstate.Route) bool { return r.Link != link && r.Dst.Bits() <= 1 })
	return s
}
