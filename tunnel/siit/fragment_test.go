package siit

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// The oracle of fragments is reassembly: what comes out, put together by the
// receiver's rules, must be the translation of the whole datagram, which the
// oracle makes.

// fragments4 cuts an IPv4 packet into fragments of at most size bytes of payload.
func fragments4(p []byte, size int, df bool) (out [][]byte) {
	head, body := p[:20], p[20:]
	for at := 0; at < len(body); at += size {
		f := append(bytes.Clone(head), body[at:min(at+size, len(body))]...)
		word := uint16(at / 8)
		if at+size < len(body) {
			word |= 0x2000
		}
		if df {
			word |= 0x4000
		}
		put16(f[2:], uint16(len(f)))
		put16(f[6:], word)
		out = append(out, edit(f, func([]byte) {}))
	}
	return out
}

// fragments6 does the same with an IPv6 packet.
func fragments6(p []byte, size int, ident uint32) (out [][]byte) {
	body := p[40:]
	for at := 0; at < len(body); at += size {
		word := uint16(at)
		if at+size < len(body) {
			word |= 1
		}
		f := append(bytes.Clone(p[:40]), p[6], 0, byte(word>>8), byte(word))
		f = binary.BigEndian.AppendUint32(f, ident)
		f = append(f, body[at:min(at+size, len(body))]...)
		f[6] = 44
		put16(f[4:], uint16(len(f)-40))
		out = append(out, f)
	}
	return out
}

// piece is one fragment of either family, taken apart.
type piece struct {
	at    int
	more  bool
	ident uint32
	proto byte
	body  []byte
}

func take(t testing.TB, p []byte) piece {
	t.Helper()
	if p[0]>>4 == 4 {
		word := binary.BigEndian.Uint16(p[6:])
		if word&0xc000 != 0 {
			t.Errorf("fragment with flags %04x", word)
		}
		return piece{int(word&0x1fff) * 8, word&0x2000 != 0, uint32(binary.BigEndian.Uint16(p[4:])), p[9], p[20:]}
	}
	if p[6] != 44 {
		t.Fatalf("no Fragment Header in % x", p[:48])
	}
	word := binary.BigEndian.Uint16(p[42:])
	if word&6 != 0 || p[41] != 0 {
		t.Errorf("reserved bits in % x", p[40:48])
	}
	return piece{int(word &^ 7), word&1 != 0, binary.BigEndian.Uint32(p[44:]), p[40], p[48:]}
}

// reassemble puts packets that come out in order together, as whole is laid
// out, and checks what each must be.
func reassemble(t testing.TB, packets [][]byte, limit int, ident uint32) []byte {
	t.Helper()
	var body []byte
	var last piece
	for i, p := range packets {
		consistent(t, p)
		if len(p) > limit {
			t.Errorf("fragment %d has %d bytes, limit %d", i, len(p), limit)
		}
		f := take(t, p)
		switch {
		case f.at != len(body):
			t.Fatalf("fragment %d is at %d, want %d", i, f.at, len(body))
		case f.ident != ident:
			t.Fatalf("fragment %d has Identification %x, want %x", i, f.ident, ident)
		case i > 0 && (f.proto != last.proto || !last.more):
			t.Fatalf("fragment %d of protocol %d follows one of protocol %d, more %v", i, f.proto, last.proto, last.more)
		case f.more && len(f.body)%8 != 0:
			t.Fatalf("fragment %d has %d bytes and more follow", i, len(f.body))
		}
		body, last = append(body, f.body...), f
	}
	if last.more {
		t.Fatal("the last fragment says that more follow")
	}
	first := packets[0]
	if first[0]>>4 == 4 {
		out := append(bytes.Clone(first[:20]), body...)
		put16(out[2:], uint16(len(out)))
		return edit(out, func(p []byte) { clear(p[4:8]) })
	}
	out := append(bytes.Clone(first[:40]), body...)
	out[6] = last.proto
	put16(out[4:], uint16(len(body)))
	return out
}

// each translates packets one by one and returns all that comes out.
func each(t testing.TB, c Config, packets [][]byte) (out [][]byte) {
	t.Helper()
	tr, b := translator(t, c), NewBatch()
	for i, p := range packets {
		b.Reset()
		if _, v := tr.Translate(b, vnethdr.Header{}, p); v.Kind() != Translated {
			t.Fatalf("packet %d: %v", i, v)
		}
		for _, p := range b.Packets() {
			out = append(out, whole(p))
		}
	}
	return out
}

// FuzzFragmentsAgainstOracle cuts datagrams anywhere, both ways, through links of
// any MTU.
func FuzzFragmentsAgainstOracle(f *testing.F) { // SIIT-15 to SIIT-21, SIIT-26, SIIT-28a, 7915-22, 7915-23, 7915-31, 7915-34
	for kind := range kinds {
		for _, n := range []int{40, 1232, 1233, 1452, 3000, 9000} {
			f.Add(uint8(kind), uint8(181), uint16(0), uint16(0), uint16(0), uint16(0x1234), bytes.Repeat([]byte{1, 0xfe, 3}, n/3))
			f.Add(uint8(kind), uint8(3), uint16(20), uint16(300), uint16(1000), uint16(0xffff), bytes.Repeat([]byte{0xff}, n))
		}
	}
	f.Fuzz(func(t *testing.T, kind, units uint8, lowest, mtu6, mtu4, ident uint16, payload []byte) {
		payload = payload[:min(len(payload), 12000)]
		size := max(3, int(units)) * 8 // bytes in a fragment; less cannot hold TCP's checksum
		c := fuzzConfigs(len(payload))[int(ident)%3]
		c.MTU6, c.MTU4 = 1280+int(mtu6)%9000, 68+int(mtu4)%9000
		c.LowestMTU6 = 1280 + int(lowest)%2000
		limit := min(c.LowestMTU6, c.MTU6)
		in := edit(sample(t, c, kinds[int(kind)%len(kinds)], 0x2e, 64, 0xc00001bb, payload), func(p []byte) { clear(p[6:8]); put16(p[4:], ident) })
		want := oracleTo6(t, c, in)

		got := each(t, c, [][]byte{in})
		if len(want) <= limit {
			same(t, "4to6, whole", want, got[0])
		} else {
			same(t, "4to6, cut", want, reassemble(t, got, limit, uint32(ident)))
		}
		answer := back(t, want)
		wantBack := oracleTo4(t, c, answer)
		if in[9] != protoICMP && len(in)-20 > size {
			same(t, "4to6, fragments", want, reassemble(t, each(t, c, fragments4(in, size, false)), limit, uint32(ident)))
			back := each(t, c, fragments6(answer, size, 0xabcd0000|uint32(ident)))
			same(t, "6to4, fragments", wantBack, withDF(wantBack, reassemble(t, back, c.MTU4, uint32(ident))))
		}
		if len(wantBack) > c.MTU4 && len(wantBack) <= 1260 {
			back := each(t, c, [][]byte{answer})
			same(t, "6to4, cut", forget(wantBack), forget(reassemble(t, back, c.MTU4, take(t, back[0]).ident)))
		}
	})
}

// withDF gives p the flags of want, which the oracle made from a whole packet,
// where only the size tells.
func withDF(want, p []byte) []byte {
	return edit(bytes.Clone(p), func(p []byte) { copy(p[6:8], want[6:8]) })
}

// The example at the end of spec section 2.10.
func TestVectorOfCutting(t *testing.T) { // SIIT-14, SIIT-16, SIIT-17, SIIT-18, 7915-23
	c := vectorConfig()
	in := edit(sample(t, c, "udp", 0, 64, 1, make([]byte, 1472)), func(p []byte) { clear(p[6:8]); put16(p[4:], 0x1234) })
	out := each(t, c, [][]byte{in})
	var got []string
	for _, p := range out {
		got = append(got, hex.EncodeToString(p[4:7])+" "+hex.EncodeToString(p[40:48]))
	}
	want := []string{"04d82c 1100000100001234", "01002c 110004d000001234"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(out[0]) != 1280 || len(out[1]) != 40+256 {
		t.Errorf("pieces of %d and %d bytes", len(out[0]), len(out[1]))
	}
}

func TestSizesAtWhichPacketsAreCut(t *testing.T) { // SIIT-15, SIIT-16, SIIT-20, 7915-20, 7915-21, 7915-22, 8021-1
	tests := []struct {
		name         string
		lowest, mtu6 int
		size         int // IPv4 Total Length
		df, fragment bool
		want         []int // bytes of the IPv6 packets; nil: answered
		mtu          int   // of the answer
	}{
		{"DF=0, small: no Fragment Header", 0, 1500, 1252, false, false, []int{1272}, 0},
		{"DF=0, 1280 in IPv6: no Fragment Header", 0, 1500, 1260, false, false, []int{1280}, 0},
		{"DF=0, one byte more", 0, 1500, 1261, false, false, []int{1280, 57}, 0},
		{"DF=0, a full packet", 0, 1500, 1480, false, false, []int{1280, 276}, 0},
		{"DF=0, larger than the uplink", 0, 1500, 9000, false, false, []int{1280, 1280, 1280, 1280, 1280, 1280, 1280, 404}, 0},
		{"DF=0, a higher limit", 1400, 1500, 1380, false, false, []int{1400}, 0},
		{"DF=0, one byte above it, whole units", 1405, 1500, 1386, false, false, []int{1400, 62}, 0},
		{"DF=0, the limit is the uplink's MTU at most", 9000, 1500, 1481, false, false, []int{1496, 61}, 0},
		{"DF=1 fits", 0, 1500, 1480, true, false, []int{1500}, 0},
		{"DF=1 does not", 0, 1500, 1481, true, false, nil, 1480},
		{"DF=1 and the smallest uplink", 0, 1280, 1261, true, false, nil, 1260},
		{"fragment, DF=0, fits", 0, 1500, 1252, false, true, []int{1280}, 0},
		{"fragment, DF=0, cut further", 0, 1500, 1260, false, true, []int{1280, 56}, 0},
		{"fragment, DF=1, fits the uplink", 0, 1508, 1476, true, true, []int{1504}, 0},
		{"fragment, DF=1, grows by 28", 0, 1500, 1476, true, true, nil, 1472},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := oracleConfigs()[0]
			c.MTU6, c.MTU4, c.LowestMTU6 = tt.mtu6, 9000, tt.lowest
			n := tt.size - 28
			if tt.fragment {
				n += 3000
			}
			p := sample(t, c, "udp", 0, 64, 1, make([]byte, n))
			edit(p, func(p []byte) { p[6] &^= 0x40 })
			if tt.df {
				edit(p, func(p []byte) { p[6] |= 0x40 })
			}
			if tt.fragment {
				p = fragments4(p, tt.size-20, tt.df)[0]
			}
			b := NewBatch()
			v := translator(t, c).To6(b, vnethdr.Header{}, p)
			if tt.want == nil {
				if v != AnsweredTooBig || int(binary.BigEndian.Uint16(only(t, b)[26:])) != tt.mtu {
					t.Fatalf("verdict %v, % x", v, b.Packets())
				}
				return
			}
			var got []int
			for _, p := range b.Packets() {
				got = append(got, len(whole(p)))
				if h := whole(p)[6]; (h == 44) != (tt.fragment || len(tt.want) > 1) {
					t.Errorf("next header %d", h)
				}
			}
			if d := cmp.Diff(tt.want, got); v != OK || d != "" {
				t.Errorf("%v %s", v, d)
			}
		})
	}
}

func TestSizesAtWhichPacketsAreCut6to4(t *testing.T) { // SIIT-28a, 7915-1, 7915-34
	tests := []struct {
		name       string
		mtu4, size int // size: IPv6 packet
		change     func(p []byte) []byte
		want       []int
		mtu        int
	}{
		{"fits", 1000, 1020, nil, []int{1000}, 0},
		{"does not, and the sender cannot make it smaller", 1000, 1021, nil, []int{996, 25}, 0},
		{"1280 bytes are cut", 1000, 1280, nil, []int{996, 284}, 0},
		{"1281 bytes are the sender's matter", 1000, 1281, nil, nil, 1280},
		{"larger MTU: said to the sender", 1400, 1500, nil, nil, 1420},
		{"the smallest MTU", 68, 140, nil, []int{68, 68, 24}, 0},
		{"an atomic fragment may be cut", 1000, 1400, func(p []byte) []byte { return extension(p, 44, make([]byte, 8)) }, []int{996, 404}, 0},
		{"options before it do not count", 1000, 1280, func(p []byte) []byte { return extension(p, 60, make([]byte, 8)) }, []int{996, 284}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := oracleConfigs()[0]
			c.MTU6, c.MTU4 = 1500, tt.mtu4
			p := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, make([]byte, tt.size-48))))
			if tt.change != nil {
				p = tt.change(p)
			}
			b := NewBatch()
			v := translator(t, c).To4(b, vnethdr.Header{}, p)
			if tt.want == nil {
				if v != AnsweredTooBig || int(binary.BigEndian.Uint32(only(t, b)[44:])) != tt.mtu {
					t.Fatalf("verdict %v, % x", v, b.Packets())
				}
				return
			}
			var got []int
			for _, p := range b.Packets() {
				got = append(got, len(whole(p)))
				consistent(t, whole(p))
			}
			if d := cmp.Diff(tt.want, got); v != OK || d != "" {
				t.Errorf("%v %s", v, d)
			}
		})
	}
}
