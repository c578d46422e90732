package ra

import (
	"encoding/binary"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

// Marshal writes the whole ICMPv6 message with a zero checksum, which the sending
// kernel or stack fills in. Lifetimes are rounded up to what the wire can say and
// capped at its maximum. Ignored is not written, nor is what no option can hold:
// an invalid prefix, more than 127 servers, a URI of more than 2038 bytes.
func (a Advertisement) Marshal() []byte {
	b := make([]byte, headerLen)
	b[0], b[4] = typeAdvertisement, a.HopLimit
	if a.Managed {
		b[5] |= 0x80
	}
	if a.Other {
		b[5] |= 0x40
	}
	binary.BigEndian.PutUint16(b[6:], uint16(wholeSeconds(a.RouterLifetime, 0xffff)))
	b = appendSourceLL(b, a.SourceLL)
	if a.MTU > 0 {
		b = append(b, optMTU, 1, 0, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(a.MTU))
	}
	for _, p := range a.Prefixes {
		b = p.append(b)
	}
	for _, r := range a.RDNSS {
		b = r.append(b)
	}
	b = appendPortal(b, a.Portal)
	for _, p := range a.Pref64 {
		b = p.append(b)
	}
	return b
}

// Solicitation writes a Router Solicitation with a zero checksum. Without a
// link-layer address the option is left out (RFC 4861 section 4.1).
func Solicitation(sourceLL []byte) []byte {
	b := make([]byte, 8)
	b[0] = typeSolicitation
	return appendSourceLL(b, sourceLL)
}

// appendSourceLL pads the option to whole units of 8 bytes.
func appendSourceLL(b, addr []byte) []byte {
	units := (2 + len(addr) + 7) / 8
	if len(addr) == 0 || units > 255 {
		return b
	}
	b = append(b, optSourceLL, byte(units))
	b = append(b, addr...)
	return append(b, make([]byte, units*8-2-len(addr))...)
}

func appendPortal(b []byte, uri string) []byte {
	units := (2 + len(uri) + 7) / 8
	if uri == "" || units > 255 {
		return b
	}
	b = append(b, optPortal, byte(units))
	b = append(b, uri...)
	return append(b, make([]byte, units*8-2-len(uri))...)
}

func (p PrefixInfo) append(b []byte) []byte {
	if !p.Prefix.IsValid() || !p.Prefix.Addr().Is6() {
		return b
	}
	var flags byte
	if p.OnLink {
		flags |= 0x80
	}
	if p.Autonomous {
		flags |= 0x40
	}
	b = append(b, optPrefix, 4, byte(p.Prefix.Bits()), flags)
	b = binary.BigEndian.AppendUint32(b, wholeSeconds(p.Valid, 0xffffffff))
	b = binary.BigEndian.AppendUint32(b, wholeSeconds(p.Preferred, 0xffffffff))
	a := p.Prefix.Masked().Addr().As16()
	return append(append(b, 0, 0, 0, 0), a[:]...)
}

func (r RDNSS) append(b []byte) []byte {
	if len(r.Servers) == 0 || len(r.Servers) > 127 {
		return b
	}
	b = append(b, optRDNSS, byte(1+2*len(r.Servers)), 0, 0)
	b = binary.BigEndian.AppendUint32(b, wholeSeconds(r.Lifetime, 0xffffffff))
	for _, s := range r.Servers {
		a := s.As16()
		b = append(b, a[:]...)
	}
	return b
}

func (p Pref64) append(b []byte) []byte {
	plc, ok := plcOf(p.Prefix)
	if !ok {
		return b
	}
	// Lifetimes that 8 does not divide are rounded up, RFC 8781 section 4.1.
	units := (wholeSeconds(p.Lifetime, 65528) + 7) / 8
	a := p.Prefix.Netip().Addr().As16()
	b = append(b, optPref64, 2)
	b = binary.BigEndian.AppendUint16(b, uint16(units<<3)|plc)
	return append(b, a[:12]...)
}

func plcOf(p nat64.Prefix) (uint16, bool) {
	for plc, bits := range plcBits {
		if p.IsValid() && p.Bits() == bits {
			return uint16(plc), true
		}
	}
	return 0, false
}

// wholeSeconds rounds up; a negative time is 0.
func wholeSeconds(d time.Duration, limit uint32) uint32 {
	s := (max(d, 0) + time.Second - 1) / time.Second
	return uint32(min(s, time.Duration(limit)))
}
