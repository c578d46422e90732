package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// oneOf returns value, or the first of the words when it is empty.
func (v *validator) oneOf(key, value string, words ...string) string {
	switch {
	case value == "":
		return words[0]
	case slices.Contains(words, value):
		return value
	}
	v.bad(key, "%q is none of %s", value, strings.Join(words, ", "))
	return words[0]
}

func (v *validator) duration(key, value string, def, low, high time.Duration) time.Duration {
	if value == "" {
		return def
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < low || d > high {
		v.bad(key, "%q is not a duration from %v to %v, such as \"90s\"", value, low, high)
		return def
	}
	return d
}

// number reads a whole number between low and high.
func (v *validator) number(key string, value *int, def, low, high int) int {
	switch {
	case value == nil:
		return def
	case *value < low || *value > high:
		v.bad(key, "%d: want %d to %d", *value, low, high)
		return def
	}
	return *value
}

// loopback reads a loopback address, with a port or without; "" is none.
func (v *validator) loopback(key, text string, port uint16) netip.AddrPort {
	if text == "" {
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		a, aerr := netip.ParseAddr(text)
		if aerr != nil {
			v.bad(key, "%q is not an address such as 127.0.0.1 or [::1]:%d", text, port)
			return netip.AddrPort{}
		}
		ap = netip.AddrPortFrom(a, port)
	}
	if !ap.Addr().IsLoopback() || ap.Port() == 0 {
		v.bad(key, "%q is not on the loopback interface: other machines could use it", text)
		return netip.AddrPort{}
	}
	return ap
}

// portalURL reads probe.portal_url. It must be without TLS, since a portal can
// answer in another's place only there.
func (v *validator) portalURL(text string) string {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil) {
		v.bad("probe.portal_url", "%q is not an http address that answers 204, such as http://connectivity.example.com/generate_204", text)
	}
	return text
}

// hopAddrs reads path.hop_addresses: IPv4 addresses that nobody else has.
func (v *validator) hopAddrs(text string) netip.Prefix {
	if text == "" {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() || p.Bits() < 24 || p != p.Masked() || !p.Addr().IsGlobalUnicast() || p.Addr().IsLoopback() {
		v.bad("path.hop_addresses", "%q is not an IPv4 block of at most 256 addresses such as 203.0.113.0/24", text)
		return netip.Prefix{}
	}
	return p
}
