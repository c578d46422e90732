package netns

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/platform/packet"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// The pair of addresses, the prefix and the other host of the comparison.
const (
	diffPrefix = "2001:db8:64::/96"
	diffCLAT4  = "192.0.2.5"
	diffCLAT6  = "2001:db8:1:2:464:0:c1a7:5"
	diffMTU    = 1500 // tayga has one device, and so one MTU, for both families
)

// TestBesideTayga gives the same packets to tayga, which its author did not write
// by our reading of the RFCs, and to package siit. Each difference is in the
// table of tayga_differences_test.go with the section that decides; one that is
// not there fails the test, and so does one that is there and does not show.
func TestBesideTayga(t *testing.T) {
	need(t, "tayga")
	l := bareLab(t)
	s := l.space("diff")
	conf := l.write("tayga.conf", "tun-device nat64\nipv4-addr 192.0.2.254\nipv6-addr 2001:db8:ffff::64\nprefix "+diffPrefix+
		"\nmap "+diffCLAT4+" "+diffCLAT6+"\ndata-dir "+l.tmp+"\n")
	s.must("tayga", "--config", conf, "--mktun")
	s.ip("link set nat64 addrgenmode none\n link set nat64 up")
	s.start("tayga", "tayga", "--config", conf, "-d")
	packets := corpus()
	his := replay(t, s, packets)
	mine := translate(t, packets)
	found := map[string]int{} // how many packets each row of the table explains
	for _, p := range packets {
		a, b := describe(his[p.name], false), describe(mine[p.name].packets, false)
		if !slices.Equal(describe(his[p.name], true), describe(mine[p.name].packets, true)) && (slices.Equal(a, b) || p.name[0] == '6') {
			found[dontFragment.name]++
		}
		if slices.Equal(a, b) {
			continue
		}
		if i := slices.IndexFunc(differences, func(d difference) bool { ok, _ := path.Match(d.name, p.name); return ok }); i >= 0 {
			found[differences[i].name]++
			continue
		}
		t.Errorf("%s: not in the table\n in    %x\n tayga %s\n siit  %s (%s)", p.name, p.bytes, text(a), text(b), mine[p.name].verdict)
	}
	sum := 0
	for _, d := range append([]difference{dontFragment}, differences...) {
		if found[d.name] == 0 {
			t.Errorf("%s: is in the table of differences, but tayga and siit agree", d.name)
		}
		if d != dontFragment {
			sum += found[d.name]
		}
		t.Logf("%3d  %-6s %s: %s", found[d.name], d.right, d.name, d.why)
	}
	t.Logf("%d packets, %d translated alike but for DF, %d not", len(packets), len(packets)-sum, sum)
}

// outcome is what siit made of a packet.
type outcome struct {
	verdict siit.Verdict
	packets [][]byte
}

func translate(t *testing.T, packets []sample) map[string]outcome {
	t.Helper()
	tr, err := siit.New(siit.Config{Prefix: nat64.MustParse(diffPrefix), CLAT4: netip.MustParseAddr(diffCLAT4), CLAT6: netip.MustParseAddr(diffCLAT6),
		MTU4: diffMTU, MTU6: diffMTU})
	if err != nil {
		t.Fatal(err)
	}
	out, b := map[string]outcome{}, siit.NewBatch()
	for _, p := range packets {
		b.Reset()
		_, v := tr.Translate(b, vnethdr.Header{}, p.bytes)
		o := outcome{verdict: v}
		for _, q := range b.Packets() {
			o.packets = append(o.packets, append(bytes.Clone(q.Head), q.Tail...))
		}
		out[p.name] = o
	}
	return out
}

// replay puts the packets into tayga's device, one after the other, and collects
// what comes out. This test binary does it inside the namespace.
func replay(t *testing.T, s *space, packets []sample) map[string][][]byte {
	t.Helper()
	var in strings.Builder
	for _, p := range packets {
		fmt.Fprintf(&in, "%x\n", p.bytes)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := s.must("env", roleVariable+"=replay", self, s.l.write("packets", in.String()))
	out, i := map[string][][]byte{}, -1
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if lines.Text() == "next" {
			i++
			continue
		}
		b, err := hex.DecodeString(lines.Text())
		if err != nil || i < 0 || i >= len(packets) {
			t.Fatalf("line %q of the replay", lines.Text())
		}
		out[packets[i].name] = append(out[packets[i].name], b)
	}
	if i != len(packets)-1 {
		t.Fatalf("%d of %d packets were replayed", i+1, len(packets))
	}
	return out
}

// markerLimit is how long tayga may take for one packet and its marker.
const markerLimit = 5 * time.Second

// marker is a packet that every translator passes. tayga deals with one packet
// after the other, so that all it makes of a packet has come when the marker
// sent behind that comes.
func marker(i int) (pkt, payload []byte) {
	payload = fmt.Appendf(nil, "marker %06d", i)
	body := udp(len(payload))
	copy(body[8:], payload)
	return sum4(v4(17, body), 6), payload
}

// playReplay writes the packets of the file args[0], in hex, into the device
// nat64 and prints what comes out of it.
func playReplay(args []string) error {
	if len(args) != 1 {
		return errors.New("want a file")
	}
	file, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	port, err := packet.Open("nat64")
	if err != nil {
		return err
	}
	came := make(chan []byte, 64) // by the reader; more is not expected of one packet
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := port.ReadFrame(buf)
			if err != nil {
				close(came)
				return
			}
			came <- bytes.Clone(buf[:n])
		}
	}()
	for i, line := range strings.Split(strings.TrimSpace(string(file)), "\n") {
		b, err := hex.DecodeString(line)
		if err != nil {
			return err
		}
		fmt.Println("next")
		pkt, payload := marker(i)
		if err := errors.Join(port.WriteFrame(b), port.WriteFrame(pkt)); err != nil {
			return fmt.Errorf("write %x: %w", b, err)
		}
		limit := time.After(markerLimit)
		for waiting := true; waiting; {
			select {
			case p := <-came:
				if waiting = !bytes.HasSuffix(p, payload); waiting {
					fmt.Printf("%x\n", p)
				}
			case <-limit:
				return fmt.Errorf("nothing came of the marker behind %x", b)
			}
		}
	}
	return port.Close()
}

// describe puts packets into a form in which two translators that both obey the
// RFCs give the same: without what is left to each, which is the IPv4
// Identification of packets that have none in IPv6 with the checksums that follow
// from it, and the addresses and Hop Limits of the translators' own errors. df
// keeps the flag of dontFragment.
func describe(packets [][]byte, df bool) []string {
	var out []string
	for _, p := range packets {
		p = bytes.Clone(p)
		if own(p) {
			out = append(out, "answer "+answerText(p))
			continue
		}
		if p[0]>>4 == 4 {
			normal4(p, df)
			if p[9] == 1 && len(p) >= 48 && (p[20] == 3 || p[20] == 11 || p[20] == 12) {
				clear(p[22:24])
				normal4(p[28:], df)
			}
		}
		out = append(out, hex.EncodeToString(p))
	}
	sort.Strings(out)
	return out
}

// normal4 clears the Identification of a packet that is no fragment, and the
// header's checksum.
func normal4(p []byte, df bool) {
	if !df && binary16(p[2:]) <= 1260 {
		p[6] &^= 0x40
	}
	if p[6]&0x3f == 0 && p[7] == 0 {
		clear(p[4:6])
	}
	clear(p[10:12])
}

func binary16(b []byte) int { return int(b[0])<<8 | int(b[1]) }

// own tells whether a packet is an error of the translator itself: in the family
// of the packet that it answers, and so from neither the pair nor the prefix.
func own(p []byte) bool {
	switch {
	case p[0]>>4 == 4:
		src := netip.AddrFrom4([4]byte(p[12:16])).String()
		return p[9] == 1 && (src == "192.0.2.254" || src == "192.0.0.8" && netip.AddrFrom4([4]byte(p[16:20])).String() == diffCLAT4 && p[8] == 64)
	default:
		src := netip.AddrFrom16([16]byte(p[8:24])).String()
		return p[6] == 58 && (src == "2001:db8:ffff::64" || src == diffCLAT6 && p[7] == 64)
	}
}

// answerText is type, code and the word behind the checksum of an ICMP error.
func answerText(p []byte) string {
	at := 20
	if p[0]>>4 == 6 {
		at = 40
	}
	return fmt.Sprintf("%d/%d %x", p[at], p[at+1], p[at+4:at+8])
}

func text(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, "\n       ")
}
