package siit

import (
	"encoding/binary"
	"math/bits"
)

// sum adds the 16-bit words of b, the last one padded with zero, not folded to
// 16 bits.
func sum(b []byte) uint32 {
	var acc, carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		acc += carry // cannot overflow: a sum that carried is not all ones
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	rest := uint64(0)
	if len(b) >= 4 {
		rest += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		rest += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		rest += uint64(b[0]) << 8
	}
	return uint32(fold64(acc>>32 + acc&0xffffffff + rest))
}

// headerSum is the sum of an IPv4 header of 20 bytes or more, folded; 0xffff when
// its checksum is right.
func headerSum(b []byte) uint16 {
	acc := uint64(binary.BigEndian.Uint32(b[16:20]))
	x, y := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	acc += x>>32 + x&0xffffffff + y>>32 + y&0xffffffff
	if len(b) > 20 {
		acc += uint64(sum(b[20:]))
	}
	return fold64(acc)
}

// fold64 brings a sum of at most 48 bits to 16 bits with end-around carry.
func fold64(v uint64) uint16 {
	v = v>>32 + v&0xffffffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	return uint16(v)
}

// fold brings a sum of words to 16 bits with end-around carry.
func fold(v uint32) uint16 {
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	return uint16(v)
}

// change is what replacing words that sum up to before by words that sum up to
// after adds to a sum: ~m + m' in RFC 1624 equation 3.
func change(before, after uint32) uint16 {
	return fold(uint32(^fold(before)) + uint32(fold(after)))
}

// update is RFC 1624 equation 3: the checksum after a change. A wrong checksum
// stays as wrong as it was (SIIT-36).
func update(check, change uint16) uint16 {
	return ^fold(uint32(^check) + uint32(change))
}

// updatePartial does the same for a field that holds the sum of the
// pseudo-header alone, not complemented (SIIT-87).
func updatePartial(field, change uint16) uint16 {
	return fold(uint32(field) + uint32(change))
}

// pseudo6 sums the IPv6 pseudo-header, RFC 8200 section 8.1. addrs are source
// and destination, 32 bytes.
func pseudo6(addrs []byte, length int, next uint8) uint32 {
	return sum(addrs) + uint32(length>>16) + uint32(length&0xffff) + uint32(next)
}

// change6 is what translation to IPv6 changes in the sum of a pseudo-header,
// given the addresses of a packet in both families. Where the whole other host's
// address stands on even bytes in both, only the constant part counts (1624-3).
func (t *Translator) change6(four, six []byte) uint16 {
	if t.whole96 {
		return t.to6
	}
	return change(sum(four[:8]), sum(six[:32]))
}

// change4 is the same the other way round.
func (t *Translator) change4(four, six []byte) uint16 {
	if t.whole96 {
		return t.to4
	}
	return change(sum(six[:32]), sum(four[:8]))
}
