package siit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// super makes a super-packet as a host sends it: one packet of n bytes of
// payload with the pseudo-header's sum in the checksum field.
func super(t testing.TB, c Config, kind string, n, gso int) (vnethdr.Header, []byte) {
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	p := sample(t, c, kind, 2, 64, 0xc00001bb, payload)
	h := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOTCPv4, HdrLen: 40, GSOSize: uint16(gso), CsumStart: 20, CsumOffset: 16}
	proto := byte(protoTCP)
	if kind == "udp" {
		h.GSOType, h.HdrLen, h.CsumOffset, proto = vnethdr.GSOUDPL4, 28, 6, protoUDP
	}
	put16(p[20+h.CsumOffset:], ^inet(p[12:20], []byte{0, proto, byte((len(p) - 20) >> 8), byte(len(p) - 20)}))
	return h, p
}

// cut does in the test what segmentation offload does: it cuts a super-packet of
// either family into segments with complete checksums.
func cut(h vnethdr.Header, p []byte) (out [][]byte) {
	ip := 20
	if p[0]>>4 == 6 {
		ip = 40
	}
	proto, l4 := uint8(protoUDP), 8
	if kind := h.GSOType &^ vnethdr.GSOECN; kind == vnethdr.GSOTCPv4 || kind == vnethdr.GSOTCPv6 {
		proto, l4 = protoTCP, int(p[ip+12]>>4)*4
	}
	head, rest := p[:ip+l4], p[ip+l4:]
	for off := 0; off < len(rest); off += int(h.GSOSize) {
		body := rest[off:min(off+int(h.GSOSize), len(rest))]
		s := append(bytes.Clone(head), body...)
		last := off+len(body) == len(rest)
		if proto == protoTCP {
			binary.BigEndian.PutUint32(s[ip+4:], binary.BigEndian.Uint32(s[ip+4:])+uint32(off))
			if !last {
				s[ip+13] &^= 0x09 // FIN, PSH
			}
		} else {
			binary.BigEndian.PutUint16(s[ip+4:], uint16(8+len(body)))
		}
		finish(s, ip, proto)
		out = append(out, s)
	}
	return out
}

// finish writes the lengths and checksums of one segment.
func finish(s []byte, ip int, proto uint8) {
	at := ip + 16
	if proto == protoUDP {
		at = ip + 6
	}
	clear(s[at : at+2])
	n := len(s) - ip
	addrs := s[8:40]
	if ip == 20 {
		put16(s[2:], uint16(len(s)))
		clear(s[4:6])
		clear(s[10:12])
		put16(s[10:], inet(s[:20]))
		addrs = s[12:20]
	} else {
		put16(s[4:], uint16(n))
	}
	check := inet(addrs, []byte{0, proto, byte(n >> 8), byte(n)}, s[ip:])
	if check == 0 && proto == protoUDP {
		check = 0xffff
	}
	put16(s[at:], check)
}

// A super-packet translated whole and then cut is what its segments are when
// translated one by one (SIIT-86, SIIT-87, SIIT-90), both ways.
func TestSuperPacketIsItsSegments(t *testing.T) {
	for _, c := range oracleConfigs() {
		c.MTU6, c.MTU4 = 1500, 1480
		for _, kind := range []string{"tcp", "udp"} {
			for _, n := range []int{1440, 1441, 4284, 60000} {
				t.Run(fmt.Sprintf("%s %d bytes, neutral %v", kind, n, translator(t, c).Neutral()), func(t *testing.T) {
					tr, b := translator(t, c), NewBatch()
					h, p := super(t, c, kind, n, 1400)
					if v := tr.To6(b, h, p); v != OK {
						t.Fatal(v)
					}
					h6, p6 := b.Packets()[0].Hdr, only(t, b)
					alike(t, tr, tr.To6, cut(h, p), cut(h6, p6))
					// Back: the same super-packet with source and destination exchanged.
					back := bytes.Clone(p6)
					copy(back[8:24], p6[24:40])
					copy(back[24:40], p6[8:24])
					b.Reset()
					if v := tr.To4(b, h6, back); v != OK {
						t.Fatal(v)
					}
					alike(t, tr, tr.To4, cut(h6, back), cut(b.Packets()[0].Hdr, only(t, b)))
				})
			}
		}
	}
}

// alike translates each of in and compares with want.
func alike(t *testing.T, tr *Translator, way func(*Batch, vnethdr.Header, []byte) Verdict, in, want [][]byte) {
	t.Helper()
	if len(in) != len(want) {
		t.Fatalf("%d segments became %d", len(in), len(want))
	}
	b := NewBatch()
	for i := range in {
		b.Reset()
		if v := way(b, vnethdr.Header{}, in[i]); v != OK {
			t.Fatalf("segment %d: %v", i, v)
		}
		got := only(t, b)
		if got[0]>>4 == 4 {
			got, want[i] = forget(got), forget(want[i])
			// DF goes by the size of the segment; offload takes it from the first one.
			got[6], want[i][6] = 0, 0
		}
		if !bytes.Equal(got, want[i]) {
			t.Fatalf("segment %d:\n% x\nwant\n% x", i, got[:60], want[i][:60])
		}
	}
}

// A wrong checksum leaves as wrong as it came (SIIT-36); one that is left to
// offload is never made a complete one (SIIT-87).
func TestChecksumsAreNotRepaired(t *testing.T) { // 7915-36
	for _, c := range oracleConfigs() {
		in := sample(t, c, "tcp", 0, 64, 1, []byte("hello"))
		in[36] ^= 0x55
		b := NewBatch()
		if v := translator(t, c).To6(b, vnethdr.Header{}, in); v != OK {
			t.Fatal(v)
		}
		p := only(t, b)
		if fold(pseudo6(p[8:40], len(p)-40, protoTCP)+sum(p[40:])) == 0xffff {
			t.Error("a wrong checksum came out right")
		}
		h, in := super(t, c, "tcp", 100, 1400)
		h.GSOType, h.GSOSize = vnethdr.GSONone, 0
		b.Reset()
		if v := translator(t, c).To6(b, h, in); v != OK {
			t.Fatal(v)
		}
		p = only(t, b)
		if got, want := binary.BigEndian.Uint16(p[56:]), fold(pseudo6(p[8:40], len(p)-40, protoTCP)); got != want {
			t.Errorf("partial checksum = %04x, want %04x", got, want)
		}
	}
}

// A checksum that the host left to offload is completed for echo, whose message
// changes.
func TestPartialEchoIsCompleted(t *testing.T) {
	c := oracleConfigs()[0]
	in := sample(t, c, "icmp", 0, 64, 0xabcd0001, []byte("ping"))
	clear(in[22:24])
	b := NewBatch()
	h := vnethdr.Header{Flags: vnethdr.NeedsCsum, CsumStart: 20, CsumOffset: 2}
	if v := translator(t, c).To6(b, h, in); v != OK {
		t.Fatal(v)
	}
	p := only(t, b)
	if fold(pseudo6(p[8:40], len(p)-40, protoICMPv6)+sum(p[40:])) != 0xffff || b.Packets()[0].Hdr.Flags != 0 {
		t.Errorf("checksum or flags wrong: %+v", b.Packets()[0].Hdr)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	tr, b := translator(t, c), NewBatch()
	four := map[string][]byte{"tcp": sample(t, c, "tcp", 0, 64, 1, make([]byte, 1400)), "udp": sample(t, c, "udp", 0, 64, 1, make([]byte, 100)),
		"icmp": sample(t, c, "icmp", 0, 64, 1, make([]byte, 56)), "too big": sample(t, c, "udp", 0, 64, 1, make([]byte, 1453))}
	packets := map[string][]byte{}
	for name, p := range four {
		packets["4to6 "+name] = p
		packets["6to4 "+name] = back(t, oracleTo6(t, c, p))
	}
	packets["6to4 error"] = error6(c, router, 2, 0, 1400, oracleTo6(t, c, four["tcp"]))
	packets["4to6 error"] = error4(c, 3, 4, 1400, oracleTo4(t, c, packets["6to4 tcp"]))
	packets["4to6 TTL"] = edit(bytes.Clone(four["udp"]), func(p []byte) { p[8] = 1 })
	packets["6to4 routing header"] = extension(packets["6to4 udp"], 43, []byte{0, 0, 0, 1, 0, 0, 0, 0})
	packets["4to6 no UDP checksum"] = edit(bytes.Clone(four["udp"]), func(p []byte) { p[26], p[27] = 0, 0 })
	packets["dropped"] = packets["6to4 udp"][:50]
	headers := map[string]vnethdr.Header{}
	headers["4to6 super-packet"], packets["4to6 super-packet"] = super(t, c, "tcp", 60000, 1400)
	headers["6to4 super-packet"], packets["6to4 super-packet"] = super6(t, c, "udp", 60000, 1400)
	for name, p := range packets {
		h := headers[name]
		if n := testing.AllocsPerRun(100, func() { b.Reset(); tr.Translate(b, h, p) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Packets that were put into a batch before it grew stay as they were.
func TestBatchGrows(t *testing.T) {
	c := small()
	tr, b := translator(t, c), NewBatch()
	var want [][]byte
	for i := range 100 {
		p := sample(t, c, kinds[i%3], 0, 64, uint32(i), []byte("hello"))
		want = append(want, oracleTo6(t, c, p))
		if v := tr.To6(b, vnethdr.Header{}, p); v != OK {
			t.Fatal(v)
		}
	}
	if len(b.Packets()) != len(want) {
		t.Fatalf("%d packets, want %d", len(b.Packets()), len(want))
	}
	for i, p := range b.Packets() {
		if got := whole(p); !bytes.Equal(got, want[i]) {
			t.Errorf("packet %d is % x, want % x", i, got, want[i])
		}
	}
}

func TestUDPWithoutChecksum(t *testing.T) { // SIIT-31, SIIT-33, 7915-41, 7915-42
	c := small()
	for n := range 64 {
		in := sample(t, c, "udp", 0, 64, 0x13880035, bytes.Repeat([]byte{0xfe}, n))
		want := oracleTo6(t, c, in)
		in[26], in[27] = 0, 0
		b := NewBatch()
		if v := translator(t, c).To6(b, vnethdr.Header{}, in); v != FilledChecksum {
			t.Fatal(v)
		}
		same(t, fmt.Sprintf("%d bytes", n), want, only(t, b))
	}
	// A payload for which the sum comes out as 0, which is sent as ffff.
	in := sample(t, c, "udp", 0, 64, 0x13880035, []byte{0, 0})
	copy(in[28:], oracleTo6(t, c, in)[46:48])
	in[26], in[27] = 0, 0
	b := NewBatch()
	if v := translator(t, c).To6(b, vnethdr.Header{}, in); v != FilledChecksum {
		t.Fatal(v)
	}
	if got := only(t, b)[46:48]; got[0] != 0xff || got[1] != 0xff {
		t.Errorf("checksum % x, want ff ff", got)
	}
	// Bytes behind the datagram do not count.
	in = edit(append(sample(t, c, "udp", 0, 64, 1, []byte("hi")), 1, 2, 3), func(p []byte) { p[3], p[26], p[27] = byte(len(p)), 0, 0 })
	b.Reset()
	if v := translator(t, c).To6(b, vnethdr.Header{}, in); v != FilledChecksum {
		t.Fatal(v)
	}
	p := only(t, b)
	if trimmed := p[:50]; inet(pseudo(trimmed, 40, 17), trimmed[40:]) != 0 || !bytes.Equal(p[50:], []byte{1, 2, 3}) {
		t.Errorf("% x", p)
	}
}

func TestManyWorkersShareATranslator(t *testing.T) { // 7915-3
	c := oracleConfigs()[0]
	tr, in := translator(t, c), sample(t, c, "tcp", 0, 64, 1, []byte("hello"))
	want := oracleTo6(t, c, in)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			b := NewBatch()
			for range 1000 {
				b.Reset()
				if v := tr.To6(b, vnethdr.Header{}, in); v != OK || !bytes.Equal(whole(b.Packets()[0]), want) {
					t.Errorf("verdict %v", v)
					return
				}
			}
		})
	}
	wg.Wait()
}
