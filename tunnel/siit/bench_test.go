package siit

import (
	"fmt"
	"testing"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// traffic is one kind of packet to measure, in both families.
type traffic struct {
	name string
	size int // bytes of payload
	h4   vnethdr.Header
	four []byte
	h6   vnethdr.Header
	six  []byte
}

func traffics(b testing.TB, c Config) (out []traffic) {
	for _, kind := range []string{"tcp", "udp"} {
		for _, n := range []int{64, 1400, 64000} {
			tr := traffic{name: kind, size: n}
			if n > 1400 {
				tr.h4, tr.four = super(b, c, kind, n, 1400)
				tr.h6, tr.six = super6(b, c, kind, n, 1400)
			} else {
				tr.four = sample(b, c, kind, 0, 64, 0xc00001bb, make([]byte, n))
				tr.six = back(b, oracleTo6(b, c, tr.four))
			}
			out = append(out, tr)
		}
	}
	for _, n := range []int{64, 500} { // of the quoted packet; a larger quote is cut
		six := oracleTo6(b, c, sample(b, c, "tcp", 0, 64, 1, make([]byte, n)))
		out = append(out, traffic{name: "icmp-error", size: n,
			four: error4(c, 3, 3, 0, oracleTo4(b, c, back(b, six))), six: error6(c, router, 3, 0, 0, six)})
	}
	return out
}

// BenchmarkTranslate measures what translation costs a packet and a byte of
// payload, beside a copy of the packet in the same run: memmoves is how many such
// copies that is.
func BenchmarkTranslate(b *testing.B) {
	c := small()
	tr, out := translator(b, c), NewBatch()
	for _, p := range traffics(b, c) {
		var move float64 // ns
		run := func(way string, f func()) {
			b.Run(fmt.Sprintf("%s/%d/%s", p.name, p.size, way), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
				ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(ns/float64(p.size), "ns/B")
				if way == "memmove" {
					move = ns
				} else if move > 0 {
					b.ReportMetric(ns/move, "memmoves")
				}
			})
		}
		dst := make([]byte, len(p.four))
		run("memmove", func() { copy(dst, p.four) })
		run("4to6", func() { out.Reset(); tr.To6(out, p.h4, p.four) })
		run("6to4", func() { out.Reset(); tr.To4(out, p.h6, p.six) })
	}
}

// What is measured is what is translated, without allocation, in every kind.
func TestNoKindOfPacketAllocates(t *testing.T) {
	c := small()
	tr, out := translator(t, c), NewBatch()
	check := func(name string, f func() Verdict) {
		if v := f(); v.Kind() != Translated {
			t.Fatalf("%s: %v", name, v)
		}
		if n := testing.AllocsPerRun(100, func() { f() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	for _, p := range traffics(t, c) {
		check("4to6 "+p.name, func() Verdict { out.Reset(); return tr.To6(out, p.h4, p.four) })
		check("6to4 "+p.name, func() Verdict { out.Reset(); return tr.To4(out, p.h6, p.six) })
	}
	big := edit(sample(t, c, "udp", 0, 64, 1, make([]byte, 9000)), func(p []byte) { clear(p[6:8]) })
	check("cutting", func() Verdict { out.Reset(); return tr.To6(out, vnethdr.Header{}, big) })
	h, p := super(t, c, "tcp", 60000, 1400)
	edit(p, func(p []byte) { clear(p[6:8]) })
	check("segments", func() Verdict { out.Reset(); return tr.To6(out, h, p) })
}
