package macpkg

// cksum is the checksum of cksum(1) (POSIX): CRC-32 with polynomial 0x04c11db7,
// most significant bit first, over the data and then its length, complemented.
func cksum(data []byte) uint32 {
	var crc uint32
	for _, b := range data {
		crc = crc<<8 ^ cksumTable[byte(crc>>24)^b]
	}
	for n := len(data); n > 0; n >>= 8 {
		crc = crc<<8 ^ cksumTable[byte(crc>>24)^byte(n)]
	}
	return ^crc
}

var cksumTable = func() (table [256]uint32) {
	for i := range table {
		v := uint32(i) << 24
		for range 8 {
			top := v >> 31
			v <<= 1
			if top == 1 {
				v ^= 0x04c11db7
			}
		}
		table[i] = v
	}
	return table
}()
