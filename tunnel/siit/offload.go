package siit

import "github.com/reach64/reach64/tunnel/vnethdr"

// Protocol numbers.
const (
	protoICMP   = 1
	protoIGMP   = 2
	protoTCP    = 6
	protoUDP    = 17
	protoDCCP   = 33
	protoICMPv6 = 58

	protoUDPLite = 136
)

// Next Header values of IPv6 extension headers, RFC 8200 and IANA's list.
const (
	nextHopByHop = 0
	nextRouting  = 43
	nextFragment = 44
	nextAH       = 51
	nextNone     = 59
	nextOptions  = 60
	nextMobility = 135
	nextHIP      = 139
	nextShim6    = 140
	nextTest1    = 253
	nextTest2    = 254
)

// checkField is where the checksum stands in a transport header, -1 for
// protocols that have none that addresses enter.
func checkField(proto uint8) int {
	switch proto {
	case protoTCP:
		return 16
	case protoUDP, protoDCCP, protoUDPLite:
		return 6
	}
	return -1
}

// offload returns the offload state after translation (SIIT-86, SIIT-88). from
// and to are the bytes of IP header before and after; tcpIn and tcpOut are the
// types of a TCP super-packet in both families. It refuses state that does not
// fit: nothing can be left to do in a fragment, whose transport is not whole.
func offload(h vnethdr.Header, proto uint8, frag uint16, from, to int, tcpIn, tcpOut uint8) (vnethdr.Header, bool) {
	if frag != 0 {
		return vnethdr.Header{}, h.Flags&vnethdr.NeedsCsum == 0 && h.GSOType == vnethdr.GSONone
	}
	out := h
	switch kind := h.GSOType &^ vnethdr.GSOECN; {
	case kind == vnethdr.GSONone && h.GSOType == 0:
	case kind == tcpIn && proto == protoTCP:
		out.GSOType = tcpOut | h.GSOType&vnethdr.GSOECN
	case kind == vnethdr.GSOUDPL4 && proto == protoUDP && h.GSOType == kind:
	default:
		return out, false
	}
	partial := h.Flags&vnethdr.NeedsCsum != 0
	if h.GSOType != vnethdr.GSONone && (!partial || h.GSOSize == 0) {
		return out, false // each segment would need a checksum of its own
	}
	if partial {
		if int(h.CsumStart) != from || int(h.CsumOffset) != checkField(proto) {
			return out, false
		}
		out.CsumStart = uint16(to)
	}
	if h.HdrLen != 0 {
		out.HdrLen = uint16(max(0, int(h.HdrLen)-from+to))
	}
	return out, true
}

// segment is the size in bytes of the largest IP packet that this one becomes on
// the wire, with an IP header of ip bytes. It is the packet itself without
// segmentation offload.
func segment(h *vnethdr.Header, proto uint8, ip int, l4 []byte) int {
	if h.GSOType == vnethdr.GSONone {
		return ip + len(l4)
	}
	hdr := 8
	if proto == protoTCP {
		hdr = int(l4[12]>>4) * 4
	}
	return ip + min(hdr+int(h.GSOSize), len(l4))
}
