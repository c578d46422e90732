// Package ra reads and writes Router Advertisements: the header and the options
// that reach64 needs (PREF64, RDNSS, prefix information, MTU, source link-layer
// address).
//
// The reader is tolerant: one bad option costs only itself, except where RFC 4861
// section 6.1.2 voids the whole message. It follows RFC 4861, RFC 8106 (RDNSS)
// and RFC 8781 (PREF64). It opens no socket, keeps no state and knows no time:
// lifetimes are what the message says, resolver/discover counts them down.
package ra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

// ICMPv6 types, RFC 4861 section 4.
const (
	typeSolicitation  = 133
	typeAdvertisement = 134
)

// Option types: RFC 4861 section 4.6, RFC 8106 section 5.1, RFC 8781 section 4,
// RFC 8910 section 2.3.
const (
	optSourceLL = 1
	optPrefix   = 3
	optMTU      = 5
	optRDNSS    = 25
	optPortal   = 37
	optPref64   = 38
)

// headerLen is the length of a Router Advertisement before its options, bytes.
const headerLen = 16

// Infinite is the lifetime that never ends, 0xffffffff seconds on the wire
// (RFC 4861 section 4.6.2). PREF64 cannot express it.
const Infinite = 0xffffffff * time.Second

// ErrInvalid is the cause when the whole message must be discarded.
var ErrInvalid = errors.New("invalid router advertisement")

// Advertisement is one Router Advertisement.
type Advertisement struct {
	HopLimit       uint8         // for the host's own packets; 0: not said
	Managed, Other bool          // M and O flags: DHCPv6 gives addresses, other data
	RouterLifetime time.Duration // 0: not a default router
	Prefixes       []PrefixInfo
	RDNSS          []RDNSS
	Pref64         []Pref64
	MTU            int    // bytes, 0: not said
	Portal         string // URI of the captive portal's API (RFC 8908), "": not said
	SourceLL       []byte // link-layer address of the router, nil: not said
	Ignored        []Ignored
}

// PrefixInfo is a prefix information option, RFC 4861 section 4.6.2.
type PrefixInfo struct {
	Prefix           netip.Prefix // masked
	OnLink           bool         // L flag
	Autonomous       bool         // A flag: hosts make addresses from it (SLAAC)
	Valid, Preferred time.Duration
}

// RDNSS is a recursive DNS server option, RFC 8106 section 5.1. Link-local
// servers carry no zone: the message does not know its link.
type RDNSS struct {
	Servers  []netip.Addr
	Lifetime time.Duration // 0: the servers are no longer to be used
}

// Pref64 is a PREF64 option, RFC 8781 section 4. Lifetime 0 withdraws the prefix
// of this router.
type Pref64 struct {
	Prefix   nat64.Prefix
	Lifetime time.Duration // a multiple of 8 s, at most 65528 s
}

// Ignored is an option of a known type that could not be used. Options of unknown
// type are skipped without a word, as RFC 4861 section 4.2 asks.
type Ignored struct {
	Type   uint8
	Offset int // of the option, from the first byte of the message
	Why    string
}

// Parse reads a whole ICMPv6 message; the checksum is not looked at. An error
// means that the message must be discarded (spec R8781-4, R8781-11); what was read
// before the damage is returned with it, for reports only.
func Parse(msg []byte) (Advertisement, error) {
	if err := checkHeader(msg); err != nil {
		return Advertisement{}, err
	}
	a := Advertisement{
		HopLimit:       msg[4],
		Managed:        msg[5]&0x80 != 0,
		Other:          msg[5]&0x40 != 0,
		RouterLifetime: time.Duration(binary.BigEndian.Uint16(msg[6:])) * time.Second,
	}
	for at := headerLen; at < len(msg); {
		rest := msg[at:]
		if len(rest) < 2 {
			return a, fmt.Errorf("%w: one stray byte at offset %d", ErrInvalid, at)
		}
		n := int(rest[1]) * 8
		switch {
		case n == 0:
			return a, fmt.Errorf("%w: option %d at offset %d has length 0", ErrInvalid, rest[0], at)
		case n > len(rest):
			return a, fmt.Errorf("%w: option %d at offset %d is %d bytes long, %d are left", ErrInvalid, rest[0], at, n, len(rest))
		}
		for _, why := range a.option(rest[:n]) {
			a.Ignored = append(a.Ignored, Ignored{Type: rest[0], Offset: at, Why: why})
		}
		at += n
	}
	return a, nil
}

func checkHeader(msg []byte) error {
	switch {
	case len(msg) < headerLen:
		return fmt.Errorf("%w: %d bytes, want at least %d", ErrInvalid, len(msg), headerLen)
	case msg[0] != typeAdvertisement:
		return fmt.Errorf("%w: ICMPv6 type %d, want %d", ErrInvalid, msg[0], typeAdvertisement)
	case msg[1] != 0:
		return fmt.Errorf("%w: ICMPv6 code %d, want 0", ErrInvalid, msg[1])
	}
	return nil
}

// option reads one option, whose length field has been checked against its
// bytes. It returns what had to be left out.
func (a *Advertisement) option(b []byte) []string {
	switch b[0] {
	case optSourceLL:
		a.SourceLL = append([]byte(nil), b[2:]...)
	case optMTU:
		if len(b) != 8 {
			return badLength(b, 8)
		}
		if v := binary.BigEndian.Uint32(b[4:]); v < 1280 || v > 1<<17 {
			return []string{fmt.Sprintf("MTU %d is out of range", v)}
		} else {
			a.MTU = int(v)
		}
	case optPrefix:
		return a.prefix(b)
	case optRDNSS:
		return a.rdnss(b)
	case optPortal:
		return a.portal(b)
	case optPref64:
		return a.pref64(b)
	}
	return nil
}

// portal reads the URI, which is filled up with zeros (RFC 8910 section 2.3).
func (a *Advertisement) portal(b []byte) []string {
	uri := strings.TrimRight(string(b[2:]), "\x00")
	u, err := url.Parse(uri)
	switch {
	case uri == "":
		return []string{"an empty URI"}
	case err != nil:
		return []string{err.Error()}
	case u.Scheme == "":
		return []string{fmt.Sprintf("%q is no whole URI", uri)}
	}
	a.Portal = uri
	return nil
}

func badLength(b []byte, want int) []string {
	return []string{fmt.Sprintf("%d bytes long, want %d", len(b), want)}
}

func (a *Advertisement) prefix(b []byte) []string {
	if len(b) != 32 {
		return badLength(b, 32)
	}
	p := netip.PrefixFrom(netip.AddrFrom16([16]byte(b[16:])), int(b[2])).Masked()
	if !p.IsValid() {
		return []string{fmt.Sprintf("prefix length %d, want at most 128", b[2])}
	}
	a.Prefixes = append(a.Prefixes, PrefixInfo{
		Prefix: p, OnLink: b[3]&0x80 != 0, Autonomous: b[3]&0x40 != 0,
		Valid: seconds(b[4:]), Preferred: seconds(b[8:]),
	})
	return nil
}

// rdnss keeps the usable servers of an option; a bad address costs only itself.
func (a *Advertisement) rdnss(b []byte) (ignored []string) {
	if len(b) < 24 || len(b)%16 != 8 {
		return []string{fmt.Sprintf("%d bytes long, want 8 and 16 for each server", len(b))}
	}
	r := RDNSS{Lifetime: seconds(b[4:])}
	for rest := b[8:]; len(rest) > 0; rest = rest[16:] {
		s := netip.AddrFrom16([16]byte(rest[:16]))
		if s.IsUnspecified() || s.IsMulticast() || s.IsLoopback() || s.Is4In6() {
			ignored = append(ignored, fmt.Sprintf("%v cannot be a DNS server", s))
			continue
		}
		r.Servers = append(r.Servers, s)
	}
	if len(r.Servers) > 0 {
		a.RDNSS = append(a.RDNSS, r)
	}
	return ignored
}

// plcBits are the prefix lengths by prefix length code, RFC 8781 section 4.
var plcBits = [...]int{96, 64, 56, 48, 40, 32}

func (a *Advertisement) pref64(b []byte) []string {
	if len(b) != 16 {
		return badLength(b, 16)
	}
	word := binary.BigEndian.Uint16(b[2:])
	plc := int(word & 7)
	if plc >= len(plcBits) {
		return []string{fmt.Sprintf("prefix length code %d, want 0 to 5", plc)}
	}
	var addr [16]byte
	copy(addr[:], b[4:])
	p, err := nat64.New(netip.PrefixFrom(netip.AddrFrom16(addr), plcBits[plc]))
	if err != nil {
		return []string{err.Error()}
	}
	a.Pref64 = append(a.Pref64, Pref64{Prefix: p, Lifetime: time.Duration(word&^7) * time.Second})
	return nil
}

func seconds(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second
}

// Valid makes the checks of RFC 4861 section 6.1.2 that need more than the
// message: link-local source and hop limit 255; then those on the message itself.
// The checksum is the receiving kernel's affair.
func Valid(src netip.Addr, hopLimit int, msg []byte) error {
	if !src.Is6() || !src.IsLinkLocalUnicast() {
		return fmt.Errorf("%w: source %v is not link-local", ErrInvalid, src)
	}
	if hopLimit != 255 {
		return fmt.Errorf("%w: hop limit %d from %v, want 255: it did not come from this link", ErrInvalid, hopLimit, src)
	}
	_, err := Parse(msg)
	return err
}
