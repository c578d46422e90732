package bpf

import (
	"bytes"
	"os"
	"testing"

	"github.com/reach64/reach64/test/packets"
)

// FuzzBesideSIIT gives anything to the programs and to siit: what the programs
// translate, siit translates to the same.
func FuzzBesideSIIT(f *testing.F) {
	if os.Geteuid() != 0 {
		f.Skip("needs root: loads BPF programs")
	}
	forget(f)
	list := []scene{scenes()[7], scenes()[3]} // neutral and /96; /48
	var loaded []*programs
	for _, s := range list {
		loaded = append(loaded, s.load(f, true))
		sides := s.sides()
		for _, p := range [][]byte{
			sides.Four(packets.TCP, 0, 20), sides.Four(packets.UDP, 0, 20), sides.Four(packets.ICMP, 8, 20),
			sides.Six(packets.TCP, 0, 20), sides.Six(packets.UDP, 0, 20), sides.Six(packets.ICMPv6, 129, 20),
		} {
			f.Add(p)
		}
	}
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if len(pkt) < 60 || len(pkt) > 3000 {
			return
		}
		for i, s := range list {
			p, pkt := loaded[i], bytes.Clone(pkt)
			program, six := p.out, pkt[0]>>4 == 6
			if six {
				program = p.uplink
				copy(pkt[24:], s.conf.CLAT6.AsSlice())
			} else {
				copy(pkt[12:], s.conf.CLAT4.AsSlice())
				if head := int(pkt[0]&15) * 4; head >= 20 && head <= len(pkt) {
					packets.Seal4(pkt)
				}
			}
			verdict, got := run(t, program, pkt, six, true)
			if verdict != redirect || bytes.HasPrefix(pkt, got) {
				continue
			}
			want, v := expect(t, s.conf, pkt)
			if want == nil {
				t.Fatalf("%s: it was translated, siit says %v\n% x", s.name, v, pkt)
			}
			if d := compare(want, got); d != "" {
				t.Fatalf("%s (-siit +bpf):\n%s", s.name, d)
			}
		}
	})
}
