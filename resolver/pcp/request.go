package pcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// The sizes of messages in bytes, RFC 6887 sections 7.1, 7.2, 7.3 and 11.1.
const (
	headerLen = 24
	mapLen    = 36
	optionLen = 4 // header of an option
)

// optPrefix64 is PREFIX64, RFC 7225 section 5. Its top bit says that a server
// that does not know it may leave it out.
const optPrefix64 = 129

// Request asks a server for its NAT64 prefixes.
type Request struct {
	Opcode   Opcode
	Client   netip.Addr    // source address of the packet, IPv4 too
	Lifetime time.Duration // of the mapping, whole seconds; ANNOUNCE has none
	Mapping  Mapping       // of a MAP request
	// NoCount leaves out the count of IPv4 prefixes: the option's data is 14 bytes
	// and not 16. RFC 7225 can be read both ways (spec 7225-3).
	NoCount bool
}

// Marshal writes the message. PREFIX64 asks with ::/96, as RFC 7225 section 5
// wants.
func (r Request) Marshal() []byte {
	client := r.Client.WithZone("").As16()
	b := []byte{Version, byte(r.Opcode), 0, 0}
	if r.Opcode == Map {
		b = binary.BigEndian.AppendUint32(b, uint32(r.Lifetime/time.Second))
	} else {
		b = append(b, 0, 0, 0, 0)
	}
	b = append(b, client[:]...)
	if r.Opcode == Map {
		b = append(b, r.Mapping.Nonce[:]...)
		b = append(b, r.Mapping.Protocol, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, r.Mapping.InternalPort)
		b = append(b, 0, 0) // any external port, of any IPv4 address
		any4 := netip.AddrFrom4([4]byte{}).As16()
		b = append(b, any4[:]...)
	}
	data := 16
	if r.NoCount {
		data = 14
	}
	b = append(b, optPrefix64, 0, 0, byte(data), 0, 12)
	return append(b, make([]byte, 14)...) // prefix, then count or padding
}

// AnsweredBy tells why p is no answer to r, nil if it is one (RFC 6887 sections
// 8.3 and 11.4). Where it came from is for the caller to check.
func (r Request) AnsweredBy(p Response) error {
	switch {
	case p.Version != Version: // what an older server puts there is anybody's guess
		return nil
	case p.Opcode != r.Opcode:
		return fmt.Errorf("%w: it is about %s, not %s", ErrInvalid, p.Opcode, r.Opcode)
	case r.Opcode == Map && p.Mapping != r.Mapping:
		return fmt.Errorf("%w: it is about another mapping", ErrInvalid)
	}
	return nil
}
