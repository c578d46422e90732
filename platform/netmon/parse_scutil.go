package netmon

import (
	"bufio"
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// scutilDNS is what `scutil --dns` of macOS says of name servers.
type scutilDNS struct {
	global []netip.Addr         // for every name, in order
	links  map[int][]netip.Addr // for what is bound to a link
}

// parseScutil reads it: resolvers of "DNS configuration" that are for all names are
// global, those of "DNS configuration (for scoped queries)" belong to their link.
// Resolvers for one domain (VPNs, Bonjour) are left out. Lines that are not
// understood are skipped; the text has no other language.
func parseScutil(text []byte) scutilDNS {
	out := scutilDNS{links: make(map[int][]netip.Addr)}
	scoped := false
	var r resolver
	take := func() {
		switch {
		case scoped && r.link != 0:
			out.links[r.link] = addNew(out.links[r.link], r.servers)
		case !scoped && r.domain == "":
			out.global = addNew(out.global, r.servers)
		}
		r = resolver{}
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case strings.HasPrefix(line, "DNS configuration"):
			take()
			scoped = strings.Contains(line, "scoped")
		case strings.HasPrefix(line, "resolver #"):
			take()
		default:
			r.set(line)
		}
	}
	take()
	return out
}

// resolver is one of them while its lines are read.
type resolver struct {
	servers []netip.Addr
	domain  string
	link    int
}

func (r *resolver) set(line string) {
	key, value, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case strings.HasPrefix(key, "nameserver["):
		if ip, err := netip.ParseAddr(value); err == nil {
			r.servers = append(r.servers, ip.Unmap())
		}
	case key == "domain":
		r.domain = value
	case key == "if_index": // 6 (en0)
		number, _, _ := strings.Cut(value, " ")
		r.link, _ = strconv.Atoi(number)
	}
}

// addNew adds what is not in the list.
func addNew(list, more []netip.Addr) []netip.Addr {
	for _, ip := range more {
		if !slices.Contains(list, ip) {
			list = append(list, ip)
		}
	}
	return list
}
