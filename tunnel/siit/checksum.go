package siit

import "encoding/binary"

// sum adds the 16-bit words of b, the last one padded with zero, not folded to
// 16 bits. It is good for more than 64 KiB.
func sum(b []byte) uint32 {
	var acc uint64
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		acc += v>>32 + v&0xffffffff
		b = b[8:]
	}
	if len(b) >= 4 {
		acc += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		acc += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint64(b[0]) << 8
	}
	for acc>>16 != 0 {
		acc = acc>>16 + acc&0xffff
	}
	return uint32(acc)
}

// fold brings a sum of words to 16 bits with end-around carry.
func fold(v uint32) uint16 {
	for v>>16 != 0 {
		v = v>>16 + v&0xffff
	}
	return uint16(v)
}

// update is RFC 1624 equation 3: the checksum after words that sum up to before
// were replaced by words that sum up to after. A wrong checksum stays as wrong
// as it was (SIIT-36).
func update(check uint16, before, after uint32) uint16 {
	return ^fold(uint32(^check) + uint32(^fold(before)) + uint32(fold(after)))
}

// updatePartial does the same for a field that holds the sum of the
// pseudo-header alone, not complemented (SIIT-87).
func updatePartial(field uint16, before, after uint32) uint16 {
	return fold(uint32(field) + uint32(^fold(before)) + uint32(fold(after)))
}

// pseudo6 sums the IPv6 pseudo-header, RFC 8200 section 8.1. addrs are source
// and destination, 32 bytes.
func pseudo6(addrs []byte, length int, next uint8) uint32 {
	return sum(addrs) + uint32(length>>16) + uint32(length&0xffff) + uint32(next)
}
