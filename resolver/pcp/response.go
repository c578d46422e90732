package pcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

// Parse reads a response. An error means that the message must be ignored (RFC
// 6887 section 8.3); what was read before the damage comes with it, for reports
// only.
func Parse(b []byte) (Response, error) {
	switch {
	case len(b) < 4:
		return Response{}, fmt.Errorf("%w: %d bytes, want at least %d", ErrInvalid, len(b), headerLen)
	case b[1]&0x80 == 0:
		return Response{}, fmt.Errorf("%w: it is a request", ErrInvalid)
	}
	r := Response{Version: b[0], Opcode: Opcode(b[1] & 0x7f), Result: Result(b[3])}
	if r.Version != Version {
		return otherVersion(r, b)
	}
	switch {
	case len(b) < headerLen || len(b) > MaxMessage || len(b)%4 != 0:
		return r, fmt.Errorf("%w: %d bytes, want %d to %d, a multiple of 4", ErrInvalid, len(b), headerLen, MaxMessage)
	case r.Opcode == Map && len(b) < headerLen+mapLen:
		return r, fmt.Errorf("%w: MAP of %d bytes, want at least %d", ErrInvalid, len(b), headerLen+mapLen)
	}
	r.Lifetime, r.Epoch = seconds(b[4:]), binary.BigEndian.Uint32(b[8:])
	at := headerLen
	if r.Opcode == Map {
		r.Mapping = Mapping{Nonce: [12]byte(b[at:]), Protocol: b[at+12], InternalPort: binary.BigEndian.Uint16(b[at+16:])}
		at += mapLen
	}
	if r.Result != Success {
		return r, nil // the options are the request's own (spec 6887-3)
	}
	return r, r.options(b, at)
}

// otherVersion reads what a server says that does not speak this version: a
// NAT-PMP one answers with 8 bytes and version 0 (RFC 6887 section 9, RFC 6886
// section 3.5).
func otherVersion(r Response, b []byte) (Response, error) {
	if r.Result != UnsuppVersion {
		return r, fmt.Errorf("%w: version %d, want %d", ErrInvalid, r.Version, Version)
	}
	if r.Version > 0 && len(b) >= headerLen {
		r.Lifetime = seconds(b[4:])
	}
	return r, nil
}

// options reads the options from offset at on.
func (r *Response) options(b []byte, at int) error {
	for at < len(b) {
		rest := b[at:] // at least 4 bytes: all lengths are multiples of 4
		n := int(binary.BigEndian.Uint16(rest[2:]))
		padded := optionLen + (n+3)&^3
		if padded > len(rest) {
			return fmt.Errorf("%w: option %d at offset %d has %d bytes of data, %d are left", ErrInvalid, rest[0], at, n, len(rest)-optionLen)
		}
		if rest[0] == optPrefix64 {
			p, bad := parsePrefix64(rest[optionLen : optionLen+n])
			for _, why := range bad {
				r.Ignored = append(r.Ignored, Ignored{Code: rest[0], Offset: at, Why: why})
			}
			if p.Prefix.IsValid() {
				r.Prefixes = append(r.Prefixes, p)
			}
		}
		at += padded
	}
	return nil
}

// lengths are the legal lengths of a prefix in bytes, RFC 7225 section 5.
var lengths = []int{4, 5, 6, 7, 8, 12}

// The parts of PREFIX64's data in bytes: length, prefix with suffix, count; and
// an entry of the list.
const (
	prefixAt = 2
	countAt  = 14
	listAt   = 16
	entryLen = 6
)

// parsePrefix64 reads the data of one option, and returns what of it had to be
// left out. Without a valid prefix all of it is.
func parsePrefix64(data []byte) (p Prefix64, ignored []string) {
	bad := func(format string, args ...any) (Prefix64, []string) {
		return Prefix64{}, append(ignored, fmt.Sprintf(format, args...))
	}
	if len(data) < countAt {
		return bad("%d bytes of data, want at least %d", len(data), countAt)
	}
	n := int(binary.BigEndian.Uint16(data))
	if !slices.Contains(lengths, n) {
		return bad("prefix of %d bytes, want 4, 5, 6, 7, 8 or 12", n)
	}
	var addr [16]byte
	copy(addr[:], data[prefixAt:prefixAt+n])
	prefix, err := nat64.New(netip.PrefixFrom(netip.AddrFrom16(addr), 8*n))
	if err != nil {
		return bad("%v", err)
	}
	if suffix := data[prefixAt+n : countAt]; slices.ContainsFunc(suffix, func(c byte) bool { return c != 0 }) {
		return bad("suffix %x of %s is not zero, which is not supported", suffix, prefix)
	}
	list, ignored, err := parseList(data[countAt:])
	if err != nil {
		return bad("%s: %v", prefix, err)
	}
	return Prefix64{Prefix: prefix, IPv4: list}, ignored
}

// parseList reads the optional list of IPv4 prefixes: nothing, or a count and
// that many entries. A bad entry costs itself (RFC 7225 section 5); when none is
// left, nobody knows what the prefix is for.
func parseList(b []byte) (list []netip.Prefix, ignored []string, err error) {
	if len(b) == 0 {
		return nil, nil, nil
	}
	if len(b) < listAt-countAt {
		return nil, nil, fmt.Errorf("count of IPv4 prefixes is cut off")
	}
	n := int(binary.BigEndian.Uint16(b))
	entries := b[listAt-countAt:]
	if n*entryLen > len(entries) {
		return nil, nil, fmt.Errorf("%d IPv4 prefixes do not fit into %d bytes", n, len(entries))
	}
	for ; n > 0; n, entries = n-1, entries[entryLen:] {
		bits := binary.BigEndian.Uint16(entries)
		addr := netip.AddrFrom4([4]byte(entries[2:]))
		if bits > 32 {
			ignored = append(ignored, fmt.Sprintf("IPv4 prefix %v with length %d, want at most 32", addr, bits))
			continue
		}
		if p := netip.PrefixFrom(addr, int(bits)).Masked(); !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if len(list) == 0 && len(ignored) > 0 {
		return nil, ignored, fmt.Errorf("no usable IPv4 prefix in its list")
	}
	return list, ignored, nil
}

func seconds(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second
}
