package bundle

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/reach64/reach64/resolver/nat64"
)

// ipv4 replaces an address or network; ok is false when s is none.
func (a *Anonymizer) ipv4(s string) (string, bool) {
	body, length, _ := strings.Cut(s, "/")
	trimmed := strings.TrimRight(body, ".")
	ip, err := netip.ParseAddr(trimmed)
	if err != nil || !ip.Is4() {
		return s, false
	}
	out := a.Addr(ip).String() + body[len(trimmed):]
	if length != "" {
		out += "/" + length
	}
	return out, true
}

// ipv6 replaces an address or network in a text with colons. What stands before it, as
// in eth0:2001:db8::1, is looked at as words, and so is all when there is no address.
func (a *Anonymizer) ipv6(s string) string {
	body, length, sliced := strings.Cut(s, "/")
	front := ""
	for strings.Count(body, ":") > 1 {
		trimmed := strings.TrimRight(body, ".:")
		for _, text := range []string{body, trimmed, trimmed + "::", trimmed + ":"} {
			ip, err := netip.ParseAddr(text)
			if err != nil || !ip.Is6() || len(text) > len(body) {
				continue
			}
			out := a.words(front) + a.addrText(ip, length) + body[len(text):]
			if sliced {
				out += "/" + length
			}
			return out
		}
		at := strings.IndexByte(body, ':') + 1
		front, body = front+body[:at], body[at:]
	}
	return a.words(s)
}

// words makes each word between colons anonymous.
func (a *Anonymizer) words(s string) string {
	parts := strings.Split(s, ":")
	for i, p := range parts {
		if out, ok := a.ipv4(p); ok {
			parts[i] = out
		} else if p != "" {
			parts[i] = a.word(p)
		}
	}
	return strings.Join(parts, ":")
}

// addrText is the pseudonym of an address, or of a NAT64's prefix when the length is
// one's.
func (a *Anonymizer) addrText(ip netip.Addr, length string) string {
	zone := ip.Zone()
	ip = ip.WithZone("")
	for p, to := range a.prefixes {
		if length != "" && p.String() == ip.String()+"/"+length || p.Netip().Addr() == ip {
			return to.Netip().Addr().String()
		}
	}
	out := a.Addr(ip)
	if zone != "" {
		out = out.WithZone(zone)
	}
	return out.String()
}

// Addresses that are the same everywhere.
var (
	everywhere4 = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("224.0.0.0/3")}
	upperHalf = netip.MustParseAddr("128.0.0.0") // as VPNs route it
)

// Addr returns the pseudonym of an address.
func (a *Anonymizer) Addr(ip netip.Addr) netip.Addr {
	switch {
	case !ip.IsValid():
		return ip
	case ip.Is4():
		return a.addr4(ip)
	case ip.Is4In6():
		four := a.addr4(ip.Unmap()).As4()
		b := ip.As16()
		copy(b[12:], four[:])
		return netip.AddrFrom16(b)
	}
	return a.addr6(ip)
}

func (a *Anonymizer) addr4(ip netip.Addr) netip.Addr {
	for _, p := range everywhere4 {
		if p.Contains(ip) {
			return ip
		}
	}
	if ip == upperHalf {
		return ip
	}
	if to, ok := a.hosts4[ip]; ok {
		return to
	}
	net, _ := ip.Prefix(24)
	base, ok := a.nets4[net]
	if !ok {
		second, n := byte(18), 0
		if nat64.IsPrivate(ip) {
			second = 19
		}
		for _, o := range a.nets4 {
			if o.As4()[1] == second {
				n++
			}
		}
		base = netip.AddrFrom4([4]byte{198, second, byte(n % 128), 0})
		a.nets4[net] = base
	}
	b := base.As4()
	if last := ip.As4()[3]; last == 0 || last == 255 {
		b[3] = last // a network, or a broadcast
	} else {
		a.count4[net]++
		b[3] = byte(a.count4[net]%254 + 1)
	}
	to := netip.AddrFrom4(b)
	a.hosts4[ip] = to
	return to
}

// Starts of pseudonyms.
var (
	globalNet = [4]byte{0x3f, 0xff, 0, 1}
	uniqueNet = [4]byte{0xfd, 0xff, 0, 0}
	uniqueAll = netip.MustParsePrefix("fc00::/7")
)

func (a *Anonymizer) addr6(ip netip.Addr) netip.Addr {
	b := ip.As16()
	switch {
	case ip.IsUnspecified(), ip.IsLoopback():
		return ip
	case ip.IsMulticast():
		if b[11] == 1 && b[12] == 0xff { // solicited-node: the end of an address
			n := a.iid([8]byte{0, 0, 0, 0, 0, b[13], b[14], b[15]})
			b[13], b[14], b[15] = 0, byte(n>>8), byte(n)
		}
		return netip.AddrFrom16(b)
	}
	if v4, ok := nat64.WellKnown().Extract(ip); ok {
		return nat64.WellKnown().Embed(a.addr4(v4))
	}
	for p, to := range a.prefixes {
		if v4, ok := p.Extract(ip); ok {
			return to.Embed(a.addr4(v4))
		}
	}
	if !ip.IsLinkLocalUnicast() {
		net, _ := ip.Prefix(64)
		n, ok := a.nets6[net]
		if !ok {
			n = len(a.nets6) + 1
			a.nets6[net] = n
		}
		start := globalNet
		if uniqueAll.Contains(ip) {
			start = uniqueNet
		}
		copy(b[:4], start[:])
		binary.BigEndian.PutUint32(b[4:], uint32(n))
	}
	id := [8]byte(b[8:])
	clear(b[8:])
	if id != ([8]byte{}) {
		binary.BigEndian.PutUint32(b[12:], uint32(a.iid(id)))
	}
	return netip.AddrFrom16(b)
}

// iid numbers interface identifiers, so that one machine is known in every network.
func (a *Anonymizer) iid(id [8]byte) int {
	if a.iids[id] == 0 {
		a.iids[id] = len(a.iids) + 1
	}
	return a.iids[id]
}
