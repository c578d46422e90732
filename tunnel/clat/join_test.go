package clat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// made is one packet as siit hands it over, built from its fields.
type made struct {
	six     bool
	udp     bool
	port    uint16 // of the source
	seq     uint32 // TCP
	flags   byte   // TCP; 0 means ACK
	options []byte // TCP, a multiple of four bytes
	window  uint16 // TCP
	tos     byte
	ttl     byte
	hdr     vnethdr.Header // its checksum fields are filled in for NeedsCsum
	payload []byte
}

// packet builds it; the checksum is whole, or the pseudo-header's sum if the
// header says so.
func (m made) packet() siit.Packet {
	var l4 []byte
	l4 = binary.BigEndian.AppendUint16(l4, m.port)
	l4 = append(l4, 1, 187)
	at, proto := 16, byte(6)
	if m.udp {
		at, proto = 6, 17
		l4 = binary.BigEndian.AppendUint16(l4, uint16(8+len(m.payload)))
		l4 = append(l4, 0, 0)
	} else {
		if m.flags == 0 {
			m.flags = 16
		}
		l4 = binary.BigEndian.AppendUint32(l4, m.seq)
		l4 = append(l4, 0, 0, 0, 9, byte(20+len(m.options))/4<<4, m.flags)
		l4 = binary.BigEndian.AppendUint16(l4, m.window)
		l4 = append(l4, 0, 0, 0, 0)
	}
	fixed := len(l4)
	l4 = append(append(l4, m.options...), m.payload...)
	ttl := m.ttl
	if ttl == 0 {
		ttl = 63
	}
	var ip, addrs []byte
	if m.six {
		ip = []byte{0x60 | m.tos>>4, m.tos << 4, 0, 0, byte(len(l4) >> 8), byte(len(l4)), proto, ttl}
		ip = append(ip, unhex("20010db8 00010002 c1a70000 00000001 0064ff9b 00000000 00000000 c0000221")...)
		addrs = ip[8:]
	} else {
		total := 20 + len(l4)
		ip = []byte{0x45, m.tos, byte(total >> 8), byte(total), byte(rand.Uint32()), 7, 0x40, 0, ttl, proto, 0, 0, 192, 0, 2, 33, 192, 0, 0, 1}
		binary.BigEndian.PutUint16(ip[10:], ^plainSum(ip))
		addrs = ip[12:]
	}
	pseudo := append(bytes.Clone(addrs), 0, 0, byte(len(l4)>>8), byte(len(l4)), 0, proto)
	if m.hdr.Flags&vnethdr.NeedsCsum != 0 {
		m.hdr.CsumStart, m.hdr.CsumOffset = uint16(len(ip)), uint16(at)
		binary.BigEndian.PutUint16(l4[at:], plainSum(pseudo))
	} else {
		binary.BigEndian.PutUint16(l4[at:], ^plainSum(append(pseudo, l4...)))
	}
	head := append(ip, l4[:fixed]...)
	return siit.Packet{Hdr: m.hdr, Head: head, Tail: l4[fixed:]}
}

// plainSum is RFC 1071's sum, word by word.
func plainSum(b []byte) uint16 {
	sum := 0
	for i, x := range b {
		sum += int(x) << (8 * (1 - i%2))
		if sum > 0xffff {
			sum -= 0xffff
		}
	}
	return uint16(sum)
}

// cut does what the kernel does with a super-packet: segments with whole checksums
// (Linux net/ipv4/tcp_offload.c, udp_offload.c), as text to compare. Identification
// and the IPv4 header's checksum, which must be right, are left out.
func cut(t *testing.T, h vnethdr.Header, pkt []byte) []string {
	t.Helper()
	ip := 40
	if pkt[0]>>4 == 4 {
		ip = 20
		if plainSum(pkt[:20]) != 0xffff || int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt) {
			t.Errorf("IPv4 header % x of a packet of %d bytes", pkt[:20], len(pkt))
		}
	} else if int(binary.BigEndian.Uint16(pkt[4:])) != len(pkt)-40 {
		t.Errorf("IPv6 header % x of a packet of %d bytes", pkt[:40], len(pkt))
	}
	proto, at := pkt[9], ip+16
	if ip == 40 {
		proto = pkt[6]
	}
	all := ip + 8
	if proto != 17 {
		all = ip + int(pkt[ip+12]>>4)*4
	} else {
		at = ip + 6
		if int(binary.BigEndian.Uint16(pkt[ip+4:])) != len(pkt)-ip {
			t.Errorf("UDP length %d in a packet of %d bytes", binary.BigEndian.Uint16(pkt[ip+4:]), len(pkt))
		}
	}
	body := pkt[all:]
	size := len(body)
	if h.GSOType != vnethdr.GSONone {
		size = int(h.GSOSize)
		if int(h.HdrLen) != all || h.Flags&vnethdr.NeedsCsum == 0 {
			t.Errorf("header %+v of a super-packet, want %d bytes of headers and a partial checksum", h, all)
		}
	}
	if h.Flags&vnethdr.NeedsCsum != 0 {
		if int(h.CsumStart) != ip || int(h.CsumStart+h.CsumOffset) != at {
			t.Errorf("header %+v, want a checksum at %d", h, at)
		}
		addrs := pkt[8:ip]
		if ip == 20 {
			addrs = pkt[12:20]
		}
		l4 := len(pkt) - ip
		if want := plainSum(append(bytes.Clone(addrs), 0, 0, byte(l4>>8), byte(l4), 0, proto)); binary.BigEndian.Uint16(pkt[at:]) != want {
			t.Errorf("checksum field %x, want the pseudo-header's sum %04x", pkt[at:at+2], want)
		}
	}
	var list []string
	for off := 0; off < len(body) || off == 0; off += size {
		piece := body[off:min(off+size, len(body))]
		text := fmt.Sprintf("ip %d tos %x ", ip, pkt[:2])
		if ip == 20 {
			text += fmt.Sprintf("%x %x", pkt[6:10], pkt[12:20])
		} else {
			text += fmt.Sprintf("%x", pkt[6:40])
		}
		text += fmt.Sprintf(" ports %x", pkt[ip:ip+4])
		if proto == 6 {
			flags := pkt[ip+13]
			if off+size < len(body) {
				flags &^= 8 // PSH is the last one's
			}
			text += fmt.Sprintf(" seq %d %x flags %x %x options %x", binary.BigEndian.Uint32(pkt[ip+4:])+uint32(off), pkt[ip+8:ip+13], flags, pkt[ip+14:ip+16], pkt[ip+20:all])
		}
		list = append(list, fmt.Sprintf("%s payload %x", text, piece))
		if len(body) == 0 {
			break
		}
	}
	return list
}

// send runs packets through a list and returns what is written.
func send(udp bool, packets []made) (hdrs []vnethdr.Header, out [][]byte) {
	s := sendList{udp: udp}
	s.reset()
	for _, m := range packets {
		s.add(m.packet())
	}
	for i := range s.packets {
		h, parts := s.packet(i)
		hdrs, out = append(hdrs, h), append(out, bytes.Join(parts, nil))
	}
	return hdrs, out
}

var (
	partial  = vnethdr.Header{Flags: vnethdr.NeedsCsum}
	verified = vnethdr.Header{Flags: vnethdr.DataValid}
)

func bytesOf(n int) []byte { return bytes.Repeat([]byte{0xab, 1, 2}, n)[:n] }

// datagram and segment are the packets that most cases vary.
func datagram(size int) made { return made{six: true, udp: true, hdr: partial, payload: bytesOf(size)} }

func segment(seq uint32, size int) made {
	return made{six: true, seq: seq, hdr: partial, payload: bytesOf(size), options: unhex("0101080a 00000001 00000002")}
}

func with(m made, change func(*made)) made {
	change(&m)
	return m
}

func TestSegmentsOfAFlowAreJoined(t *testing.T) {
	super := func(m made) made {
		m.hdr.GSOType, m.hdr.GSOSize, m.hdr.HdrLen = vnethdr.GSOTCPv6, 100, 72
		return m
	}
	tests := []struct {
		name    string
		packets []made
		want    []int // bytes of payload of what is written
	}{
		{"one alone", []made{datagram(64)}, []int{64}},
		{"two datagrams", []made{datagram(64), datagram(64)}, []int{128}},
		{"the last one shorter", []made{datagram(64), datagram(10), datagram(10)}, []int{74, 10}},
		{"one longer", []made{datagram(64), datagram(65)}, []int{64, 65}},
		{"two flows in turn", []made{datagram(8), with(datagram(9), func(m *made) { m.port = 1 }), datagram(8), with(datagram(9), func(m *made) { m.port = 1 })}, []int{16, 18}},
		{"other class of traffic", []made{datagram(8), with(datagram(8), func(m *made) { m.tos = 0xb8 })}, []int{8, 8}},
		{"congestion was met", []made{datagram(8), with(datagram(8), func(m *made) { m.tos = 3 })}, []int{8, 8}},
		{"other hop limit", []made{datagram(8), with(datagram(8), func(m *made) { m.ttl = 62 })}, []int{8, 8}},
		{"other family", []made{datagram(8), with(datagram(8), func(m *made) { m.six = false })}, []int{8, 8}},
		{"an unchecked checksum", []made{datagram(8), with(datagram(8), func(m *made) { m.hdr = vnethdr.Header{} })}, []int{8, 8}},
		{"checked by the device", []made{with(datagram(8), func(m *made) { m.hdr = verified }), datagram(8)}, []int{16}},
		{"empty datagrams", []made{datagram(0), datagram(0)}, []int{0, 0}},
		{"what does not join parts what would", []made{datagram(8), datagram(9), datagram(8)}, []int{8, 17}},
		{"segments", []made{segment(1, 100), segment(101, 100), segment(201, 50)}, []int{250}},
		{"segments over the end of the sequence space", []made{segment(0xffffffff, 100), segment(99, 100)}, []int{200}},
		{"a gap", []made{segment(1, 100), segment(102, 100)}, []int{100, 100}},
		{"one twice", []made{segment(1, 100), segment(1, 100)}, []int{100, 100}},
		{"pushed", []made{segment(1, 100), with(segment(101, 100), func(m *made) { m.flags = 24 }), segment(201, 100)}, []int{200, 100}},
		{"the end of a connection", []made{segment(1, 100), with(segment(101, 100), func(m *made) { m.flags = 17 })}, []int{100, 100}},
		{"acknowledgements", []made{segment(1, 0), segment(1, 0)}, []int{0, 0}},
		{"another window", []made{segment(1, 100), with(segment(101, 100), func(m *made) { m.window = 1 })}, []int{100, 100}},
		{"another timestamp", []made{segment(1, 100), with(segment(101, 100), func(m *made) { m.options = unhex("0101080a 00000001 00000003") })}, []int{100, 100}},
		{"super-packets", []made{super(segment(1, 300)), super(segment(301, 200)), segment(501, 100), segment(601, 20)}, []int{620}},
		{"a super-packet with a short end", []made{super(segment(1, 250)), segment(251, 100)}, []int{250, 100}},
		{"a super-packet of smaller segments", []made{segment(1, 200), super(segment(201, 200))}, []int{200, 200}},
		{"more than a packet holds", []made{super(segment(1, 40000)), super(segment(40001, 30000))}, []int{40000, 30000}},
	}
	for _, tt := range tests {
		for _, six := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, IPv6 %v", tt.name, six), func(t *testing.T) {
				var packets []made
				var want []string
				for _, m := range tt.packets {
					if m.six = m.six == six; m.hdr.GSOType != 0 && !six {
						m.hdr.GSOType, m.hdr.HdrLen = vnethdr.GSOTCPv4, 52
					}
					packets = append(packets, m)
				}
				for _, m := range packets {
					p := m.packet()
					want = append(want, cut(t, p.Hdr, append(p.Head, p.Tail...))...)
				}
				hdrs, out := send(true, packets)
				var sizes []int
				var got []string
				for i := range out {
					pieces := cut(t, hdrs[i], out[i])
					got = append(got, pieces...)
					sizes = append(sizes, payloadOf(out[i]))
				}
				if fmt.Sprint(sizes) != fmt.Sprint(tt.want) {
					t.Errorf("%v bytes of payload are written, want %v", sizes, tt.want)
				}
				if tt.name != "two flows in turn" && fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("segments\n%q, want\n%q", got, want)
				}
			})
		}
	}
}

func payloadOf(pkt []byte) int {
	ip, proto := 40, pkt[6]
	if pkt[0]>>4 == 4 {
		ip, proto = 20, pkt[9]
	}
	if proto == 17 {
		return len(pkt) - ip - 8
	}
	return len(pkt) - ip - int(pkt[ip+12]>>4)*4
}

func TestDatagramsStayWhereTheKernelCannotCutThem(t *testing.T) {
	if _, out := send(false, []made{datagram(64), datagram(64)}); len(out) != 2 {
		t.Errorf("%d packets, want 2", len(out))
	}
}

func TestJoinedPacketsHaveAnEnd(t *testing.T) {
	var packets []made
	for range 200 {
		packets = append(packets, datagram(12))
	}
	hdrs, out := send(true, packets)
	for i, p := range out {
		if n := payloadOf(p) / 12; n > 64 || hdrs[i].GSOType != vnethdr.GSOUDPL4 {
			t.Errorf("packet %d: %d datagrams, header %+v", i, n, hdrs[i])
		}
	}
	if len(out) != 4 {
		t.Errorf("%d packets, want 4", len(out))
	}
}

// TestEverySegmentComesOutAsItWas: whatever is joined, the kernel cuts it into the
// packets that came, in the order of each flow.
func TestEverySegmentComesOutAsItWas(t *testing.T) {
	for round := range uint64(300) {
		r := rand.New(rand.NewPCG(round, 64))
		next := map[uint16]uint32{}
		var packets []made
		for range 1 + r.IntN(128) {
			m := made{six: r.IntN(2) == 0, udp: r.IntN(2) == 0, port: uint16(r.IntN(4)), payload: bytesOf(r.IntN(3) * 50), hdr: partial}
			m.seq = next[m.port]
			next[m.port] += uint32(len(m.payload)) + uint32(r.IntN(8)/7)
			if r.IntN(10) == 0 {
				m.flags = byte(r.IntN(64))
			}
			if r.IntN(10) == 0 {
				m.hdr = [...]vnethdr.Header{{}, verified}[r.IntN(2)]
			}
			if r.IntN(10) == 0 {
				m.tos, m.ttl = byte(r.IntN(4)), 60+byte(r.IntN(4))
			}
			packets = append(packets, m)
		}
		key := func(p []byte) string { // family, protocol, ports
			if p[0]>>4 == 4 {
				return fmt.Sprintf("4 %d %x", p[9], p[20:24])
			}
			return fmt.Sprintf("6 %d %x", p[6], p[40:44])
		}
		want, got := map[string][]string{}, map[string][]string{}
		for _, m := range packets {
			p := m.packet()
			b := append(p.Head, p.Tail...)
			want[key(b)] = append(want[key(b)], cut(t, p.Hdr, b)...)
		}
		hdrs, out := send(true, packets)
		for i, b := range out {
			got[key(b)] = append(got[key(b)], cut(t, hdrs[i], b)...)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d: %d packets, of which %d were written: the segments differ", round, len(packets), len(out))
		}
	}
}
