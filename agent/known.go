package agent

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/resolver/discover"
)

// systemPrefixes returns a function that asks the system for the prefixes that it
// knows: those of DirectAccess, on the tunnels that are connected. Without a tunnel
// none is used, since the corporate prefix leads nowhere else (spec MSDA-13). An
// error is logged when it is a new one.
func systemPrefixes(log logrus.FieldLogger, read func() (directaccess.Tree, []directaccess.Adapter, error)) func() map[int][]discover.Known {
	var last string
	return func() map[int][]discover.Known {
		tree, adapters, err := read()
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			if err.Error() != last {
				log.WithError(err).Warn("read DirectAccess policy")
			}
			last = err.Error()
			return nil
		}
		last = ""
		var known map[int][]discover.Known
		for _, p := range directaccess.Read(tree).Prefixes(adapters) {
			if p.Link == 0 {
				continue
			}
			if known == nil {
				known = make(map[int][]discover.Known)
			}
			known[p.Link] = append(known[p.Link], discover.Known{Prefix: p.Prefix, Reason: p.Origin})
		}
		return known
	}
}

// systemNameServers returns a function that asks the system's policy which name
// servers a name has to be asked at. A rule without servers exempts the name
// from the rules (spec DA-21).
func systemNameServers(read func() (directaccess.Tree, []directaccess.Adapter, error)) func(name string) []netip.Addr {
	return func(name string) []netip.Addr {
		tree, _, err := read()
		if err != nil {
			return nil // told by systemPrefixes
		}
		m, ok := directaccess.Read(tree).Match(name)
		if !ok {
			return nil
		}
		var out []netip.Addr
		for _, s := range append(slices.Clone(m.Rule.Servers), m.Rule.GenericServers...) {
			if s.Addr.IsValid() { // one known by name would have to be looked up itself
				out = append(out, s.Addr)
			}
		}
		return out
	}
}
