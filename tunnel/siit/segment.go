package siit

import (
	"encoding/binary"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// segments cuts a super-packet in software, as the kernel would (SIIT-91), and
// translates each segment. It is for what cannot stay one: longer than IPv4 can
// say, or of segments that have to be fragmented in turn. ip is the bytes of IP
// header with its extensions; the offload state was found to fit.
func (t *Translator) segments(out *Batch, h vnethdr.Header, pkt []byte, ip int, proto uint8) Verdict {
	l4 := 8
	if proto == protoTCP {
		l4 = int(pkt[ip+12]>>4) * 4
	}
	head, rest := pkt[:ip+l4], pkt[ip+l4:]
	for i, at := 0, 0; i == 0 || at < len(rest); i++ {
		body := rest[at:min(at+int(h.GSOSize), len(rest))]
		s := out.head(len(head) + len(body))
		copy(s, head)
		copy(s[len(head):], body)
		lengths(s, ip, i)
		first, last := i == 0, at+len(body) == len(rest)
		if proto == protoTCP {
			binary.BigEndian.PutUint32(s[ip+4:], binary.BigEndian.Uint32(s[ip+4:])+uint32(at))
			if !last {
				s[ip+13] &^= flagFIN | flagPSH
			}
			if !first {
				s[ip+13] &^= flagCWR
			}
		} else {
			binary.BigEndian.PutUint16(s[ip+4:], uint16(len(s)-ip))
		}
		complete(s[ip:], proto, len(pkt)-ip)
		if _, v := t.Translate(out, vnethdr.Header{}, s); v.Kind() != Translated {
			return v
		}
		at += len(body)
	}
	return OK
}

// Flags of TCP that not every segment carries.
const flagFIN, flagPSH, flagCWR = 0x01, 0x08, 0x80

// lengths writes what the IP header of the ith segment says of itself.
func lengths(s []byte, ip, i int) {
	if s[0]>>4 == 6 {
		binary.BigEndian.PutUint16(s[4:], uint16(len(s)-40))
		return
	}
	binary.BigEndian.PutUint16(s[2:], uint16(len(s)))
	binary.BigEndian.PutUint16(s[4:], binary.BigEndian.Uint16(s[4:])+uint16(i))
	s[10], s[11] = 0, 0
	binary.BigEndian.PutUint16(s[10:], ^headerSum(s[:ip]))
}

// complete makes a partial checksum whole: the field holds the sum of the
// pseudo-header with the length of the super-packet.
func complete(l4 []byte, proto uint8, length int) {
	field := l4[checkField(proto):]
	whole := uint32(length>>16) + uint32(length&0xffff)
	binary.BigEndian.PutUint16(field, updatePartial(binary.BigEndian.Uint16(field), change(whole, uint32(len(l4)))))
	binary.BigEndian.PutUint16(field, noZero(^fold(sum(l4)), proto))
}
