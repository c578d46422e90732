package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/capture"
	"github.com/reach64/reach64/tunnel/siit"
)

// stamped is a packet and when it was captured.
type stamped struct {
	at   time.Time
	data []byte
}

// translateAll writes a capture with gopacket, translates it with an IPv6 MTU of
// 1500, and reads what comes out with gopacket.
func translateAll(t *testing.T, in []stamped) ([]line, []stamped) {
	t.Helper()
	var file, out, report bytes.Buffer
	w := pcapgo.NewWriter(&file)
	errs := []error{w.WriteFileHeader(65535, layers.LinkTypeRaw)}
	for _, p := range in {
		errs = append(errs, w.WritePacket(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(p.data), Length: len(p.data)}, p.data))
	}
	r, err := capture.NewReader(&file)
	errs = append(errs, err)
	job := translation{tr: translator(t), in: r, batch: siit.NewBatch(), lines: json.NewEncoder(&report)}
	readErr, err := job.run(t.Context(), &out)
	if err := errors.Join(append(errs, readErr, err)...); err != nil {
		t.Fatal(err)
	}
	var lines []line
	for d := json.NewDecoder(&report); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	or, err := pcapgo.NewReader(&out)
	if err != nil || or.LinkType() != layers.LinkTypeRaw {
		t.Fatalf("output: %v, link type %v", err, or.LinkType())
	}
	var packets []stamped
	for {
		data, ci, err := or.ReadPacketData()
		if err == io.EOF {
			return lines, packets
		}
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, stamped{ci.Timestamp, data})
	}
}

func translator(t *testing.T) *siit.Translator {
	t.Helper()
	tr, err := siit.New(siit.Config{Prefix: nat64.WellKnown(), CLAT4: netip.MustParseAddr("192.0.0.1"),
		CLAT6: netip.MustParseAddr("2001:db8:1:2:c1a7::1"), MTU4: 1480, MTU6: 1500, NonGlobal: nat64.NonGlobalAlways})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// udp4 is an IPv4 packet of UDP from the CLAT, by gopacket.
func udp4(t *testing.T, to string, total int, ttl uint8, flags layers.IPv4Flag) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: ttl, Id: 0x1234, Flags: flags, Protocol: layers.IPProtocolUDP, SrcIP: []byte{192, 0, 0, 1}, DstIP: netip.MustParseAddr(to).AsSlice()}
	udp := &layers.UDP{SrcPort: 5000, DstPort: 53}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload(make([]byte, total-28))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// One packet may give several, all with its time: IPv4 of 1500 bytes that may be
// fragmented (spec section 2.10, the last vector; SIIT-16).
func TestTranslateIntoFragments(t *testing.T) {
	when := time.Unix(1000, 7000).UTC()
	lines, out := translateAll(t, []stamped{{when, udp4(t, "192.0.2.33", 1500, 64, 0)}})
	if d := cmp.Diff([]line{{Direction: "4to6", Verdict: "translated", Reason: "translated", Outputs: 2}}, lines); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if len(out) != 2 {
		t.Fatalf("%d packets came out, want 2", len(out))
	}
	for i, want := range []struct{ payload, fragment uint16 }{{1240, 0x0001}, {256, 0x04d0}} {
		p := out[i]
		if payload, fragment := binary.BigEndian.Uint16(p.data[4:]), binary.BigEndian.Uint16(p.data[42:]); payload != want.payload || fragment != want.fragment || !p.at.Equal(when) {
			t.Errorf("fragment %d: payload %d, fragment word %#04x at %v; want %v at %v", i, payload, fragment, p.at, want, when)
		}
	}
}

// What is too large and may not be fragmented is answered, to its sender
// (SIIT-15: the MTU is the IPv6 one less 20).
func TestTranslateAnswers(t *testing.T) {
	lines, out := translateAll(t, []stamped{{time.Unix(1, 0), udp4(t, "192.0.2.33", 1500, 64, layers.IPv4DontFragment)}})
	if d := cmp.Diff([]line{{Direction: "4to6", Verdict: "answered", Reason: "answered-too-big", Outputs: 1}}, lines); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if len(out) != 1 {
		t.Fatalf("%d packets came out, want 1", len(out))
	}
	// Fragmentation Needed to 192.0.0.1, next-hop MTU 1480.
	if b := out[0].data; !bytes.Equal(b[16:22], []byte{192, 0, 0, 1, 3, 4}) || binary.BigEndian.Uint16(b[26:]) != 1480 {
		t.Errorf("answer %x", b)
	}
}

// The limit of answers goes by the capture's time: 10 at once, 10 a second
// (SIIT-68).
func TestTranslateLimitsAnswers(t *testing.T) {
	dying := udp4(t, "192.0.2.33", 40, 1, 0)
	var in []stamped
	var want []line
	for i := range 15 {
		at, kept := time.Unix(1000, 0), i == 10 || i == 11
		if i >= 12 {
			at = time.Unix(1000, 300_000_000) // room for three more
		}
		in = append(in, stamped{at, dying})
		l := line{Index: i, Direction: "4to6", Verdict: "answered", Reason: "answered-ttl-expired", Outputs: 1}
		if kept {
			l.Outputs, l.Suppressed = 0, true
		}
		want = append(want, l)
	}
	lines, out := translateAll(t, in)
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if len(out) != 13 {
		t.Errorf("%d packets came out, want 13", len(out))
	}
}

// What is not said on the command line: an IPv4 MTU 20 below the IPv6 one, and RFC
// 6052 to the letter under the well-known prefix (spec R6052-9).
func TestTranslateDefaults(t *testing.T) {
	large := udp6(t, 1320) // IPv4 of 1300
	private := udp4(t, "10.1.2.3", 40, 64, 0)
	for _, c := range []struct {
		name   string
		packet []byte
		flags  []string
		want   string
	}{
		{"large, MTU 1500", large, nil, "translated"},
		{"large, IPv6 MTU 1320", large, []string{"--mtu6", "1320"}, "translated"},
		{"large, IPv6 MTU 1319", large, []string{"--mtu6", "1319"}, "answered-too-big"},
		{"large, IPv4 MTU 1299", large, []string{"--mtu4", "1299"}, "answered-too-big"},
		{"private", private, nil, "answered-non-global"},
		{"private, let pass", private, []string{"--wkp-nonglobal"}, "translated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			in, out := filepath.Join(folder, "in"), filepath.Join(folder, "out")
			var file, report bytes.Buffer
			w, err := capture.NewWriter(&file, true)
			if err := errors.Join(err, w.Write(time.Unix(1, 0), c.packet, nil), os.WriteFile(in, file.Bytes(), 0o600)); err != nil {
				t.Fatal(err)
			}
			root := rootCommand()
			root.SetOut(&report)
			root.SetArgs(append([]string{"translate", "--json", "--prefix", "64:ff9b::/96", "--clat4", "192.0.0.1", "--clat6", "2001:db8:1:2:c1a7::1", "--in", in, "--out", out}, c.flags...))
			var l line
			if err := errors.Join(root.ExecuteContext(t.Context()), json.Unmarshal(report.Bytes(), &l)); err != nil {
				t.Fatal(err)
			}
			if l.Reason != c.want {
				t.Errorf("got %+v, want %s", l, c.want)
			}
		})
	}
}

// udp6 is an IPv6 packet of UDP for the CLAT from 8.8.8.8, by gopacket.
func udp6(t *testing.T, total int) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
		SrcIP: netip.MustParseAddr("64:ff9b::8.8.8.8").AsSlice(), DstIP: netip.MustParseAddr("2001:db8:1:2:c1a7::1").AsSlice()}
	udp := &layers.UDP{SrcPort: 53, DstPort: 5000}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload(make([]byte, total-48))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSummary(t *testing.T) {
	var b bytes.Buffer
	job := translation{packets: 1234, outputs: 1230, suppressed: 3, counts: map[[2]string]int{
		{"6to4", "translated"}: 600, {"4to6", "answered-ttl-expired"}: 13, {"4to6", "translated"}: 620, {"none", "dropped-not-ip"}: 1,
	}}
	if err := job.summary(&b, "in.pcap", "out.pcap"); err != nil {
		t.Fatal(err)
	}
	const want = "1234 packets of in.pcap gave 1230 in out.pcap\n" +
		"  4to6      620  translated\n" +
		"  4to6       13  answered-ttl-expired\n" +
		"  6to4      600  translated\n" +
		"  none        1  dropped-not-ip\n" +
		"3 answers were kept back by the rate limit\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("summary (-want +got):\n%s", d)
	}
}

// Nothing is written over until the whole is there.
func TestOutFile(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "out")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		end  func(*outFile) error
		want string
	}{
		{func(o *outFile) error { o.Discard(); return nil }, "old"},
		{(*outFile).Commit, "new"},
	} {
		o, err := createOut(name)
		if err != nil {
			t.Fatal(err)
		}
		_, werr := o.WriteString("new")
		if err := errors.Join(werr, c.end(o)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != c.want {
			t.Errorf("file holds %q %v, want %q", got, err, c.want)
		}
		if names, _ := filepath.Glob(name + "*"); len(names) != 1 {
			t.Errorf("left behind: %v", names)
		}
	}
	after, err := os.Stat(name)
	if err != nil || after.Mode() != before.Mode() {
		t.Errorf("a file for its owner, %v, became %v, %v", before.Mode(), after.Mode(), err)
	}
}

func TestOutDeviceIsNotReplaced(t *testing.T) {
	o, err := createOut(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Discard()
	if o.target != "" {
		t.Errorf("%s would be replaced by %s", o.target, o.Name())
	}
}

// A pipe that gives nothing does not keep a person from stopping the program.
func TestInterruptible(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := (interruptible{ctx, in}).Read(make([]byte, 8)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
