package netmon

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"github.com/reach64/reach64/platform/netstate"
)

// maxServers bounds how many name servers of one link are taken.
const maxServers = 8

// known is what a service, or the files that it leaves, knows of name servers link by
// link. Link 0 and name "" stand for every link.
type known struct {
	index map[int][]netip.Addr
	name  map[string][]netip.Addr
}

// add takes a server of 4 or 16 bytes in; link counts unless it is 0, else name.
func (k *known) add(link int, name string, raw []byte) {
	a, ok := netip.AddrFromSlice(raw)
	a = a.Unmap()
	switch {
	case !ok || a.IsUnspecified() || a.IsMulticast():
	case link == 0 && name != "":
		if k.name == nil {
			k.name = map[string][]netip.Addr{}
		}
		k.name[name] = with(k.name[name], a)
	default:
		if k.index == nil {
			k.index = map[int][]netip.Addr{}
		}
		k.index[link] = with(k.index[link], a)
	}
}

// addText takes a server as text in; one with a port, a name for TLS or another scheme
// is passed over, since it cannot be asked by plain DNS.
func (k *known) addText(name, text string) {
	if a, err := netip.ParseAddr(text); err == nil {
		k.add(0, name, a.WithZone("").AsSlice())
	}
}

func with(list []netip.Addr, a netip.Addr) []netip.Addr {
	if len(list) == maxServers || slices.Contains(list, a) {
		return list
	}
	return append(list, a)
}

// of are the servers that can be asked over a link: link-local ones get its zone,
// those with an IPv4 address need native IPv4 there.
func (k known) of(l netstate.Link) (out []netip.Addr) {
	for _, a := range slices.Concat(k.index[l.Index], k.name[l.Name]) {
		if a.Is4() && !a.IsLoopback() && len(l.Native4()) == 0 {
			continue
		}
		if a.Is6() && a.IsLinkLocalUnicast() {
			a = a.WithZone(l.Name)
		}
		out = with(out, a)
	}
	return out
}

// everywhere are the servers that belong to no link in particular.
func (k known) everywhere() []netip.Addr { return slices.Concat(k.index[0], k.name[""]) }

// parseLinkFile reads the servers out of a state file of systemd-networkd (DNS=) or of
// systemd-resolved (SERVERS=): words, of which some carry a port or a name.
func (k *known) parseLinkFile(link int, text []byte) {
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		if key != "DNS" && key != "SERVERS" {
			continue
		}
		for word := range strings.FieldsSeq(strings.Trim(value, `"`)) {
			if a, err := netip.ParseAddr(word); err == nil {
				k.add(link, "", a.WithZone("").AsSlice())
			}
		}
	}
}

// onlyStubs tells whether a resolv.conf names nobody but this machine itself.
func onlyStubs(servers []netip.Addr) bool {
	return len(servers) > 0 && !slices.ContainsFunc(servers, func(a netip.Addr) bool { return !a.IsLoopback() })
}
