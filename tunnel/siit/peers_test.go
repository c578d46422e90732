package siit

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Defects that were found in other translators, each with a test that this one
// does not have it. The comments name what the user of such a translator sees.

// A mask of 0x70 loses the top bit of the DSCP: EF and CS4 to CS7 become others.
func TestPeerDefectTopDSCPBitLost(t *testing.T) { // SIIT-10, SIIT-24
	c := small()
	for _, tos := range []uint8{0x80, 0xa0, 0xb8, 0xc0, 0xe0, 0xff} {
		in := sample(t, c, "udp", tos, 64, 1, nil)
		six := each(t, c, [][]byte{in})[0]
		four := each(t, c, [][]byte{back(t, six)})[0]
		if got := six[0]<<4 | six[1]>>4; got != tos || four[1] != tos {
			t.Errorf("TOS %02x became %02x and %02x", tos, got, four[1])
		}
	}
}

// Packet Too Big taken for an unknown type: TCP opens, TLS stalls.
func TestPeerDefectPacketTooBigDropped(t *testing.T) { // SIIT-41, SIIT-51
	c := small()
	for _, src := range []string{router, "2001:db8:64:ff9b::c000:221"} {
		in := error6(c, src, 2, 0, 1400, oracleTo6(t, c, sample(t, c, "tcp", 0, 64, 1, make([]byte, 1000))))
		out := each(t, c, [][]byte{in})[0]
		if out[20] != 3 || out[21] != 4 || binary.BigEndian.Uint16(out[26:]) != 1380 {
			t.Errorf("from %s: % x", src, out[20:28])
		}
	}
}

// The quoted packet left in the other family: the host finds no socket for it.
func TestPeerDefectQuotedPacketNotTranslated(t *testing.T) { // SIIT-55, SIIT-56, 7915-70
	c := small()
	sent := sample(t, c, "tcp", 0, 64, 0x01bb0050, []byte("data"))
	six := oracleTo6(t, c, sent)
	if out := each(t, c, [][]byte{error6(c, router, 1, 4, 0, six)})[0]; !bytes.Equal(out[28+12:], sent[12:]) {
		t.Errorf("6to4: % x", out[28:])
	}
	arrived := back(t, six)
	out := each(t, c, [][]byte{error4(c, 3, 3, 0, oracleTo4(t, c, arrived))})[0]
	if !bytes.Equal(out[48+8:], arrived[8:]) || out[48]>>4 != 6 {
		t.Errorf("4to6: % x", out[48:])
	}
}

// Errors of routers that have IPv6 alone dropped for their source, or given an
// IPv4 address cut out of it: traceroute shows stars, or strangers.
func TestPeerDefectErrorsOfNativeRoutersDropped(t *testing.T) { // SIIT-70, 6791-2
	c := small()
	six := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))
	for typ, word := range map[uint8]uint32{1: 0, 2: 1400, 3: 0, 4: 7} {
		out := each(t, c, [][]byte{error6(c, router, typ, 0, word, six)})[0]
		if [4]byte(out[12:]) != [4]byte{192, 0, 0, 8} {
			t.Errorf("type %d from % d", typ, out[12:16])
		}
	}
}

// Options stripped with a source route among them: the packet goes where its
// sender did not send it.
func TestPeerDefectSourceRoutePassed(t *testing.T) { // SIIT-11, 7915-12
	c := small()
	for _, typ := range []byte{131, 137} {
		in := options(sample(t, c, "udp", 0, 64, 1, nil), []byte{1, typ, 7, 4, 10, 0, 0, 1})
		b := NewBatch()
		if v := translator(t, c).To6(b, vnethdr.Header{}, in); v != AnsweredSourceRoute || only(t, b)[21] != 5 {
			t.Errorf("option %d: %v", typ, v)
		}
	}
}

// TTL copied: a routing loop through the translator never ends.
func TestPeerDefectTTLNotLowered(t *testing.T) { // SIIT-3, SIIT-4, 7915-1
	c := small()
	for ttl := 2; ttl < 256; ttl++ {
		six := each(t, c, [][]byte{sample(t, c, "tcp", 0, uint8(ttl), 1, nil)})[0]
		answer := back(t, six)
		answer[7] = uint8(ttl)
		if four := each(t, c, [][]byte{answer})[0]; int(six[7]) != ttl-1 || int(four[8]) != ttl-1 {
			t.Errorf("TTL %d became %d and %d", ttl, six[7], four[8])
		}
	}
}

// UDP without checksum dropped, or sent on with none, which no IPv6 host takes:
// old DNS and VPN programs hang.
func TestPeerDefectZeroChecksum(t *testing.T) { // SIIT-31, 7915-41
	c := small()
	in := sample(t, c, "udp", 0, 64, 1, []byte("no checksum"))
	want := oracleTo6(t, c, in)
	in[26], in[27] = 0, 0
	same(t, "4to6", want, each(t, c, [][]byte{in})[0])
}

// Fragments dropped: a datagram of more than 1472 bytes never arrives.
func TestPeerDefectFragmentsDropped(t *testing.T) { // SIIT-15, SIIT-26
	c := small()
	in := edit(sample(t, c, "udp", 0, 64, 1, make([]byte, 4000)), func(p []byte) { clear(p[6:8]) })
	want := oracleTo6(t, c, in)
	same(t, "4to6", want, reassemble(t, each(t, c, fragments4(in, 1480, false)), 1280, 7))
	answer := back(t, want)
	four := oracleTo4(t, c, answer)
	same(t, "6to4", four, withDF(four, reassemble(t, each(t, c, fragments6(answer, 1432, 9)), 1480, 9)))
}

// Packets with IPv4 options dropped.
func TestPeerDefectOptionsDropped(t *testing.T) { // SIIT-11, 7915-12
	c := small()
	plain := sample(t, c, "udp", 0, 64, 1, []byte("router alert"))
	same(t, "4to6", oracleTo6(t, c, plain), each(t, c, [][]byte{options(plain, []byte{148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0})})[0])
}

// Packets with extension headers dropped, or their bytes left in front of the
// transport.
func TestPeerDefectExtensionHeadersDropped(t *testing.T) { // SIIT-27, 6145-1
	c := small()
	answer := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, []byte("hop by hop"))))
	in := extension(extension(extension(answer, 43, make([]byte, 8)), 60, append([]byte{0, 1}, make([]byte, 14)...)), 0, make([]byte, 8))
	same(t, "6to4", forget(oracleTo4(t, c, answer)), forget(each(t, c, [][]byte{in})[0]))
}

// The Fragment Header that older translators put into every packet with DF=0.
func TestPeerDefectAtomicFragments(t *testing.T) { // 8021-1, 7915-20, 6145-1
	c := small()
	in := edit(sample(t, c, "udp", 0, 64, 1, nil), func(p []byte) { p[6] = 0 })
	if out := each(t, c, [][]byte{in})[0]; out[6] != protoUDP {
		t.Errorf("next header %d", out[6])
	}
}

// A Packet Too Big below 1280 passed on: any router shrinks every packet.
func TestPeerDefectTinyPacketTooBig(t *testing.T) { // 7915-62, SECU-5
	c := small()
	six := oracleTo6(t, c, sample(t, c, "tcp", 0, 64, 1, make([]byte, 500)))
	if out := each(t, c, [][]byte{error6(c, router, 2, 0, 100, six)})[0]; binary.BigEndian.Uint16(out[26:]) != 1260 {
		t.Errorf("MTU %d, want 1260", binary.BigEndian.Uint16(out[26:]))
	}
}

// A long super-packet cut short when it became IPv4.
func TestPeerDefectLongSuperPacketTruncated(t *testing.T) { // SIIT-86, SIIT-89
	c := small()
	h, p := super6(t, c, "tcp", 65000, 1400)
	b := NewBatch()
	if v := translator(t, c).To4(b, h, p); v != OK || len(only(t, b)) != len(p)-20 {
		t.Errorf("%v, %d bytes of %d", v, len(only(t, b)), len(p))
	}
}

// The translator's own IPv4 address seen through the prefix taken for a peer's.
func TestPeerDefectOwnAddressThroughThePrefix(t *testing.T) { // SIIT-8, 7757-4, SECU-3, SEC-10
	c := small()
	p := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil)))
	copy(p[20:], c.CLAT4.AsSlice())
	silent(t, c, p, Martian)
	silent(t, c, edit(sample(t, c, "udp", 0, 64, 1, nil), func(p []byte) { copy(p[16:], p[12:16]) }), Martian)
}
