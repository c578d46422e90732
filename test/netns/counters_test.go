package netns

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/platform/packet"
)

// playInject writes the packets of the file args[1], in hex, into device args[0].
func playInject(args []string) error {
	if len(args) != 2 {
		return errors.New("want a device and a file")
	}
	file, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	port, err := packet.Open(args[0])
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(strings.TrimSpace(string(file)), "\n") {
		b, err := hex.DecodeString(line)
		if err != nil {
			return err
		}
		if err := port.WriteFrame(b); err != nil {
			return fmt.Errorf("write %x: %w", b, err)
		}
	}
	return port.Close()
}

// TestStatusCountsEveryReason gives the running service packets that cannot pass,
// of both families; for each, `status --json` counts the reason.
func TestStatusCountsEveryReason(t *testing.T) {
	l := newLab(t, documentation)
	l.embedded("--prefix", ownPrefix)
	l.online()
	s := l.service(documentation, "")
	clat := s.start().up().CLAT
	own4, own6 := netip.MustParseAddr(clat.IPv4).AsSlice(), netip.MustParseAddr(clat.IPv6).AsSlice()
	server := netip.MustParseAddr(documentation).AsSlice()
	four := func(p []byte) []byte {
		return with(p, func(p []byte) { copy(p[12:], own4); copy(p[16:], server) })
	}
	six := func(p []byte) []byte {
		return with(p, func(p []byte) {
			copy(p[8:], netip.MustParsePrefix(ownPrefix).Addr().AsSlice())
			copy(p[20:], server)
			copy(p[24:], own6)
		})
	}
	u4, u6 := four(v4(17, udp(40))), six(v6(17, udp(40)))
	change := func(p []byte, at int, b ...byte) []byte { return with(p, func(p []byte) { copy(p[at:], b) }) }
	broken := change(u4, 1)
	broken[10] ^= 1
	var file strings.Builder
	want := map[string]uint64{}
	for _, p := range []struct {
		reason string
		pkt    []byte
	}{
		{"none-dropped-not-ip", append([]byte{0x50}, u4[1:]...)},
		{"4to6-dropped-malformed", change(u4, 24, 0, 7)},
		{"4to6-dropped-malformed", change(u4, 24, 0xff, 0xff)},
		{"4to6-dropped-malformed", four(v4(6, tcp(0)))[:39]},
		{"4to6-dropped-malformed", change(u4, 2, 0xff, 0xff)},
		{"4to6-dropped-bad-header-checksum", broken},
		{"4to6-dropped-not-ours", change(u4, 12, 10, 9, 9, 9)},
		{"4to6-dropped-martian", change(u4, 16, 192, 0, 0, 5)},
		{"4to6-dropped-bad-options", options4(u4, 148, 9, 0, 0)},
		{"4to6-answered-source-route", options4(u4, 131, 7, 4, 10, 0, 0, 1, 0)},
		{"4to6-answered-ttl-expired", change(u4, 8, 1)},
		{"4to6-answered-protocol", change(u4, 9, 43)},
		{"4to6-dropped-protocol", change(u4, 9, 2)},
		{"4to6-dropped-bad-fragment", change(u4, 6, 0x3f, 0xff)},
		{"4to6-dropped-tiny-first-fragment", piece4(four(v4(6, tcp(100))), 0, 8)},
		{"4to6-dropped-fragmented-icmp", piece4(four(v4(1, echo(8, 1000))), 0, 504)},
		{"4to6-dropped-icmp-type", four(v4(1, echo(13, 12)))},
		{"4to6-dropped-icmp-quote", four(error4(3, 3, 0, nil))},
		{"4to6-dropped-bad-checksum", change(four(error4(3, 3, 0, u4)), 22, 1, 2)},
		{"4to6-dropped-zero-checksum", change(piece4(four(v4(17, udp(1000))), 0, 800), 26, 0, 0)},
		{"6to4-dropped-malformed", change(u6, 4, 0xff, 0xff)},
		{"6to4-dropped-malformed", u6[:30]},
		{"6to4-dropped-not-ours", change(u6, 24, 0x20, 0x01, 0x0d, 0xb9)},
		{"6to4-answered-outside-prefix", change(u6, 8, 0x20, 0x01, 0x0d, 0xb9)},
		{"6to4-dropped-martian", change(u6, 20, 127, 0, 0, 1)},
		{"6to4-dropped-bad-options", ext6(u6, 60, 0, 200, 0, 0, 0, 0, 0, 0)},
		{"6to4-answered-routing-header", ext6(u6, 43, 0, 0, 0, 1, 0, 0, 0, 0)},
		{"6to4-dropped-protocol", change(u6, 6, 59)},
		{"6to4-dropped-zero-checksum", change(u6, 46, 0, 0)},
		{"6to4-dropped-fragmented-icmp", piece6(six(v6(58, echo(129, 1000))), 0, 504)},
	} {
		want[p.reason]++
		fmt.Fprintf(&file, "%x\n", p.pkt)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	l.client.must("env", roleVariable+"=inject", self, clat.Device, l.write("odd", file.String()))
	eventually(t, 10*time.Second, "status counts each reason", func() error {
		after, err := s.status()
		for reason, n := range want {
			if got := after.Counters[reason] - before.Counters[reason]; got < n {
				err = errors.Join(err, fmt.Errorf("%s: %d, want %d", reason, got, n))
			}
		}
		return err
	})
	if after, err := s.status(); err != nil || !carries(after) {
		t.Errorf("afterwards: %v, %s", err, after.text)
	}
}
