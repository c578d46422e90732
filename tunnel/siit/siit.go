package siit

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/reach64/reach64/resolver/nat64"
)

// Config is what a Translator maps and how large packets may be. The zero value
// of each field below MTU6 is the default.
type Config struct {
	Prefix       nat64.Prefix // the network's NAT64 prefix
	CLAT4, CLAT6 netip.Addr   // the host's own pair
	MTU4         int          // bytes, of the IPv4 side, 68 to 65535; normally MTU6 - 20
	MTU6         int          // bytes, IPv6 MTU of the uplink, 1280 to 65535

	// LowestMTU6 is RFC 7915's lowest-ipv6-mtu in bytes, 0 for 1280: IPv4
	// packets that may be fragmented (DF=0) are cut to this size.
	LowestMTU6 int

	NonGlobal   nat64.NonGlobal // non-global IPv4 under the well-known prefix (spec R6052-9)
	AlwaysAllow []netip.Addr    // IPv4 addresses that pass whatever NonGlobal says

	// RouteTo are the IPv4 destinations that the host routes to the translator;
	// empty: all. An ICMP error from elsewhere gets a source that the host does
	// route, since a reverse-path filter would drop it (spec SIIT-72).
	RouteTo []netip.Prefix

	// HopAddrs is a pool of IPv4 addresses (RFC 6791) for the sources of ICMP
	// errors that have none of their own or none that is routed: each distance
	// gets another, so that traceroute shows distinct hops. Not valid: all come
	// from the dummy address, 192.0.0.8.
	HopAddrs netip.Prefix

	// NodeID adds the IPv6 address of the sender to such errors, as a Node
	// Identification object (draft-ietf-v6ops-icmpext-xlat-v6only-source).
	NodeID bool

	DropZeroUDP bool // drop IPv4 UDP without checksum instead of computing one (RFC 7915 section 4.5)
	PassZeroUDP bool // let IPv6 UDP without checksum pass (RFC 6935), instead of dropping it
	ClearDSCP   bool // set the six bits of DSCP to 0; ECN stays

	// Silent drops without ICMP what may not be translated, instead of saying
	// that it is prohibited (RFC 7915 sections 4.4 and 5.4).
	Silent bool
}

// Translator translates in both directions. It is immutable and safe for
// concurrent use, each goroutine with a Batch of its own.
type Translator struct {
	conf    Config
	clat4   [4]byte
	clat6   [16]byte
	prefix  [16]byte  // of the address that stands for 0.0.0.0
	whole96 bool      // the IPv4 address is the last four bytes, so that to6 and to4 serve for all
	always  [][4]byte // AlwaysAllow
	lowest  int       // bytes, effective LowestMTU6
	sum4    uint32    // of the host's IPv4 address
	to6     uint16    // what translation to IPv6 changes in the sum of a pseudo-header
	to4     uint16    // the same for IPv4
	hops    [4]byte   // first address of HopAddrs
	hopSize int       // addresses in HopAddrs, 0 for none
	tos     byte      // bits of the Traffic Class that are kept
	neutral bool
}

// New returns a translator, or says what is wrong with c, which it copies.
func New(c Config) (*Translator, error) {
	if c.LowestMTU6 == 0 {
		c.LowestMTU6 = 1280
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("make translator: %w", err)
	}
	c.AlwaysAllow, c.RouteTo = slices.Clone(c.AlwaysAllow), slices.Clone(c.RouteTo)
	t := &Translator{conf: c, clat4: c.CLAT4.As4(), clat6: c.CLAT6.As16(), tos: 0xff}
	t.prefix, t.whole96 = c.Prefix.Netip().Addr().As16(), c.Prefix.Bits() == 96
	for _, a := range c.AlwaysAllow {
		t.always = append(t.always, a.Unmap().As4())
	}
	t.lowest = min(c.LowestMTU6, c.MTU6)
	sum6 := sum(t.clat6[:]) + sum(t.prefix[:])
	t.sum4 = sum(t.clat4[:])
	t.to6, t.to4 = change(t.sum4, sum6), change(sum6, t.sum4)
	t.neutral = isNeutral(t.clat6, t.clat4, c.Prefix)
	if c.HopAddrs.IsValid() {
		t.hops, t.hopSize = c.HopAddrs.Masked().Addr().As4(), 1<<min(8, 32-c.HopAddrs.Bits())
	}
	if c.ClearDSCP {
		t.tos = 3
	}
	return t, nil
}

// check says what is wrong with c.
func (c *Config) check() error {
	switch {
	case !c.Prefix.IsValid():
		return fmt.Errorf("no prefix")
	case !c.CLAT4.Is4():
		return fmt.Errorf("%v is not an IPv4 address", c.CLAT4)
	case !c.CLAT6.Is6() || c.CLAT6.Is4In6() || c.CLAT6.Zone() != "" || !c.CLAT6.IsGlobalUnicast():
		return fmt.Errorf("%v is not a global or unique local IPv6 address", c.CLAT6)
	case c.Prefix.Contains(c.CLAT6):
		return fmt.Errorf("address %v lies in prefix %v", c.CLAT6, c.Prefix)
	case c.MTU6 < 1280 || c.MTU6 > 65535:
		return fmt.Errorf("IPv6 MTU %d is not from 1280 to 65535", c.MTU6)
	case c.MTU4 < 68 || c.MTU4 > 65535:
		return fmt.Errorf("IPv4 MTU %d is not from 68 to 65535", c.MTU4)
	case c.LowestMTU6 < 1280:
		return fmt.Errorf("lowest IPv6 MTU %d is below 1280", c.LowestMTU6)
	case c.HopAddrs.IsValid() && !c.HopAddrs.Addr().Is4():
		return fmt.Errorf("addresses for hops %v are not IPv4", c.HopAddrs)
	}
	for _, a := range c.AlwaysAllow {
		if !a.Unmap().Is4() {
			return fmt.Errorf("address to allow %v is not IPv4", a)
		}
	}
	return nil
}

// Neutral tells whether the pair of addresses leaves the sum of every
// pseudo-header as it is, so that transport checksums do not change (SIIT-80).
func (t *Translator) Neutral() bool { return t.neutral }
