// Package bpf carries packets between the uplink and the TUN device inside the
// Linux kernel, without a raw socket and with super-packets left whole: to and from
// a translator in user space, which sees what belongs to it and no more, or
// translated on the way.
//
// Two BPF programs steer. On the uplink's ingress, IPv6 for the CLAT address is
// redirected to the TUN's reader when it comes from a NAT64 prefix or is an
// ICMPv6 error (RFC 4443 section 2.1); neighbour discovery (RFC 4861, MLD) and
// everything else stays with the kernel. On the TUN's ingress, IPv6 that the
// reader writes from the CLAT address leaves through the uplink; IPv6 from any
// other source, or to link-local or multicast, is dropped. Forwarding stays off.
//
// With Config.Translate the first of them also turns IPv6 into IPv4 and puts it
// into the TUN's ingress, and a third one, on the TUN's egress, turns what the host
// sends into IPv6 for the uplink: whole TCP, UDP and ICMP echo packets, exactly as
// tunnel/siit would (RFC 7915). Fragments, options, extension headers, ICMP errors,
// UDP without checksum, other protocols and all that is to be answered or dropped
// goes to the TUN's reader as without. A packet that went to the reader is followed
// there by those of the same peer and protocol until they pause, so that none is
// overtaken.
//
// The package does not make devices, or give addresses and routes:
// the CLAT address must be on the uplink, since the kernel answers neighbour
// solicitations for it. Elsewhere than on Linux everything returns
// platform.Unsupported.
package bpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/siit"
)

// MaxPrefixes is how many NAT64 prefixes one Steering can tell apart.
const MaxPrefixes = 4

// Mode is how programs are attached.
type Mode uint8

// The modes. TCX is kernel 6.6 and later: it stands beside other programs and
// goes with the process, however that ends. What Clsact attaches outlives a
// killed process; CleanClsact removes it.
const (
	Auto   Mode = iota // TCX where the kernel has it, else Clsact
	TCX                // BPF links
	Clsact             // filters on a clsact qdisc
)

// String returns "auto", "tcx" or "clsact".
func (m Mode) String() string {
	switch m {
	case Auto:
		return "auto"
	case TCX:
		return "tcx"
	case Clsact:
		return "clsact"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// Config is what to steer. Indexes are those of the network namespace of the
// thread that calls Attach.
type Config struct {
	TUN      int        // interface index of the TUN device
	Uplink   int        // interface index of the uplink
	Ethernet bool       // the uplink's packets begin with an Ethernet header; false: raw IP
	CLAT6    netip.Addr // the CLAT's IPv6 address, on the uplink as a /128
	Prefixes []nat64.Prefix
	Mode     Mode

	// NextHop is the router to the prefixes on an Ethernet uplink. Invalid: the kernel
	// looks for a route for every packet, which takes it half a microsecond.
	NextHop netip.Addr

	// Translate is what the programs translate by themselves; its CLAT6 and Prefix
	// are those above. Nil: nothing, all goes to the TUN's reader.
	Translate *siit.Config
}

// errConfig is the cause of what validate refuses.
var errConfig = errors.New("steering configuration is wrong")

// validate refuses what would steer the wrong packets.
func (c Config) validate() error {
	switch {
	case c.TUN <= 0 || c.Uplink <= 0 || c.TUN == c.Uplink:
		return fmt.Errorf("%w: interface indexes %d (TUN) and %d (uplink) must be two different devices", errConfig, c.TUN, c.Uplink)
	case !c.CLAT6.Is6() || c.CLAT6.Is4In6() || c.CLAT6.Zone() != "" || c.CLAT6.IsUnspecified() ||
		c.CLAT6.IsMulticast() || c.CLAT6.IsLinkLocalUnicast() || c.CLAT6.IsLoopback():
		return fmt.Errorf("%w: CLAT address %v is not a global IPv6 address", errConfig, c.CLAT6)
	case len(c.Prefixes) == 0 || len(c.Prefixes) > MaxPrefixes:
		return fmt.Errorf("%w: %d prefixes, want 1 to %d", errConfig, len(c.Prefixes), MaxPrefixes)
	case c.NextHop.IsValid() && (!c.NextHop.Is6() || c.NextHop.Is4In6() || c.NextHop.Zone() != "" || c.NextHop.IsUnspecified() || c.NextHop.IsMulticast()):
		return fmt.Errorf("%w: next hop %v is not an IPv6 router's address", errConfig, c.NextHop)
	case c.Mode > Clsact:
		return fmt.Errorf("%w: %v is not a mode", errConfig, c.Mode)
	}
	for _, p := range c.Prefixes {
		if !p.IsValid() {
			return fmt.Errorf("%w: a prefix is empty", errConfig)
		}
	}
	if t := c.Translate; t != nil {
		if len(c.Prefixes) != 1 || t.Prefix != c.Prefixes[0] || t.CLAT6 != c.CLAT6 {
			return fmt.Errorf("%w: to translate between %v and %v, steer for these", errConfig, t.CLAT6, t.Prefix)
		}
		if _, err := siit.New(*t); err != nil {
			return fmt.Errorf("%w: %w", errConfig, err)
		}
	}
	return nil
}

// Attach loads the programs and attaches all, or none of them. One Steering
// per uplink: close the old one first.
//
// Without the capabilities the error is a *platform.PermissionError that names
// them; errors.ErrUnsupported is the cause on a kernel that is too old (5.10 is
// enough for clsact, 6.6 for tcx).
func Attach(c Config) (*Steering, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("attach steering: %w", err)
	}
	return attach(c)
}

// Mode returns what was chosen: "tcx" or "clsact".
func (s *Steering) Mode() string { return s.mode.String() }

// Change goes over to another configuration of the same devices, without a moment in
// which packets are not carried. Counters go on. On error the old one stays. Without
// a difference nothing is done.
func (s *Steering) Change(c Config) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("change steering: %w", err)
	}
	return s.change(c)
}

// Counters returns the packets counted since Attach, by verdict: those of steering,
// and with translation "4to6-translated", "4to6-bytes" (of IPv4) and for what was
// left to the reader "4to6-left-REASON"; the same for "6to4". Super-packets count
// once.
func (s *Steering) Counters() (map[string]uint64, error) { return s.counters() }

// Close detaches both programs. A device that is gone by now is no error.
// Further calls do nothing.
func (s *Steering) Close() error { return s.close() }

// CleanClsact removes from the interface called link the clsact filters that a
// killed reach64 left there, and the clsact qdisc if reach64 made it and nothing
// else uses it. Filters of others and of a living reach64 stay. A link that
// does not exist is no error. With tcx there is nothing to clean.
func CleanClsact(link string) error { return cleanClsact(link) }

// Check tells whether this process could attach: nil, a
// *platform.PermissionError that names the capability that is missing, or an
// error whose cause is errors.ErrUnsupported. It loads the programs and drops
// them again (about 10 ms); nothing is attached.
func Check() error { return check() }
