// Package siit translates IP packets between IPv4 and IPv6 as a host's CLAT
// does: RFC 7915 with one explicit mapping of the host's own pair of addresses
// (RFC 7757) and the network's NAT64 prefix for everybody else (RFC 6052).
//
// A Translator is immutable and safe for concurrent use. It never modifies its
// input, never reads past it, never panics on any bytes, and allocates nothing
// once its Batch has grown. Only headers are rewritten: a super-packet of 64 KiB
// with its offload state (tunnel/vnethdr) costs what a small packet costs.
//
// Each input gives one Verdict. Translated packets, and the ICMP errors with
// which the translator answers, are in the Batch; whether an answer may be sent
// is for a Limiter, which takes time as an argument.
//
// Translated are TCP, UDP, ICMP echo, ICMP errors with the packet that they
// quote, and any other transport protocol by its IP header alone. Fragments are
// dropped, each with its reason. An IPv4 packet that may be fragmented (DF=0) and
// that fits the uplink is translated whole, though RFC 7915 section 4 would cut
// it at 1280 bytes. Extensions of ICMP errors (RFC 4884) are left out.
package siit

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/reach64/reach64/resolver/nat64"
)

// Config is what a Translator maps and how large packets may be.
type Config struct {
	Prefix       nat64.Prefix    // the network's NAT64 prefix
	CLAT4, CLAT6 netip.Addr      // the host's own pair
	MTU4         int             // bytes, of the IPv4 side; normally MTU6 - 20
	MTU6         int             // bytes, IPv6 MTU of the uplink, at least 1280
	NonGlobal    nat64.NonGlobal // non-global IPv4 under the well-known prefix (spec R6052-9)
	AlwaysAllow  []netip.Addr    // IPv4 addresses that pass whatever NonGlobal says
	// RouteTo are the IPv4 destinations that the host routes to the translator;
	// empty: all. An ICMP error from elsewhere comes from 192.0.0.8, since a
	// reverse-path filter would drop it (spec SIIT-72).
	RouteTo []netip.Prefix
}

// Translator translates in both directions.
type Translator struct {
	conf    Config
	clat4   [4]byte
	clat6   [16]byte
	neutral bool
}

// New returns a translator, or says what is wrong with c, which it copies.
func New(c Config) (*Translator, error) {
	switch {
	case !c.Prefix.IsValid():
		return nil, fmt.Errorf("make translator: no prefix")
	case !c.CLAT4.Is4():
		return nil, fmt.Errorf("make translator: %v is not an IPv4 address", c.CLAT4)
	case !c.CLAT6.Is6() || c.CLAT6.Is4In6() || c.CLAT6.Zone() != "" || !c.CLAT6.IsGlobalUnicast():
		return nil, fmt.Errorf("make translator: %v is not a global or unique local IPv6 address", c.CLAT6)
	case c.Prefix.Contains(c.CLAT6):
		return nil, fmt.Errorf("make translator: address %v lies in prefix %v", c.CLAT6, c.Prefix)
	case c.MTU6 < 1280 || c.MTU6 > 65535:
		return nil, fmt.Errorf("make translator: IPv6 MTU %d is not from 1280 to 65535", c.MTU6)
	case c.MTU4 < 68 || c.MTU4 > 65535:
		return nil, fmt.Errorf("make translator: IPv4 MTU %d is not from 68 to 65535", c.MTU4)
	}
	c.AlwaysAllow, c.RouteTo = slices.Clone(c.AlwaysAllow), slices.Clone(c.RouteTo)
	t := &Translator{conf: c, clat4: c.CLAT4.As4(), clat6: c.CLAT6.As16()}
	t.neutral = isNeutral(t.clat6, t.clat4, c.Prefix)
	return t, nil
}

// Neutral tells whether the pair of addresses leaves the sum of every
// pseudo-header as it is, so that transport checksums do not change (SIIT-80).
func (t *Translator) Neutral() bool { return t.neutral }

// allowed tells whether an IPv4 address may be reached through the prefix.
func (t *Translator) allowed(v4 netip.Addr) bool {
	return t.conf.NonGlobal.Allows(t.conf.Prefix, v4) || slices.Contains(t.conf.AlwaysAllow, v4)
}

// routed tells whether the host routes this IPv4 address to the translator.
func (t *Translator) routed(v4 netip.Addr) bool {
	if len(t.conf.RouteTo) == 0 {
		return true
	}
	for _, p := range t.conf.RouteTo {
		if p.Contains(v4) {
			return true
		}
	}
	return false
}

// dummy is the IPv4 dummy address, RFC 7600: the source of ICMP errors whose
// sender has no IPv4 address, and of the translator's own.
var dummy = [4]byte{192, 0, 0, 8}
