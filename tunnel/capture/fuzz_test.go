package capture_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/reach64/reach64/tunnel/capture"
)

// FuzzReader reads any bytes as a capture: no panic, no packet that the file
// cannot hold, an error with its place, and the packets that gopacket's
// reader sees too.
func FuzzReader(f *testing.F) {
	a, b := []byte("abcd"), unhex(f, "020000000001 020000000002 8100 0064 0800 45000014")
	f.Add(little().pcap(0xa1b2c3d4, 101).record(1000, 7, a).record(1001, 0, nil).b)
	f.Add(big().pcap(0xa1b23c4d, 1).record(1000, 7, b).u32(1, 2, 4, 1500).raw(a).b)
	f.Add(little().section().link(1, 0, 9, 0, 1, 0, 9, 0, 0, 0).link(101, 4).enhanced(1, 1<<40, a).enhanced(0, 7, b).b)
	f.Add(big().section().link(113, 4, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 3, 232).block(3, func(f *file) { f.u32(5).raw(a) }).
		block(2, func(f *file) { f.u16(0, 9).u32(0, 8, 5, 5).raw([]byte("efghi")) }).b)
	f.Add(little().section().link(101, 0, 9, 0, 1, 0, 0xa0, 0, 0, 0).block(5, func(f *file) { f.u32(0, 0, 0) }).
		section().link(0, 0).enhanced(0, 9, append([]byte{2, 0, 0, 0}, a...)).b)
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := capture.NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		other := another(file)
		for i := 0; ; i++ {
			p, err := r.Next()
			var e *capture.Error
			if errors.As(err, &e) {
				if e.Index != i || e.Offset < 0 || e.Offset > int64(len(file)) {
					t.Fatalf("%v: after %d packets of %d bytes", e, i, len(file))
				}
				return
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("error %v is no *capture.Error", err)
			}
			if len(p.Data) > len(file) || i > len(file)/12 {
				t.Fatalf("packet %d of %d bytes in a file of %d", i, len(p.Data), len(file))
			}
			if ip, ok := p.Link.IP(p.Data); ok && (len(ip) == 0 || len(ip) > len(p.Data) || !bytes.HasSuffix(p.Data, ip)) {
				t.Fatalf("IP packet %x is not in frame %x", ip, p.Data)
			}
			if other == nil {
				continue
			}
			data, ci, err := other.ReadPacketData()
			if err != nil {
				other = nil // it refuses more: what is longer than the frame was, and options
				continue
			}
			same(t, other, p, data, ci)
		}
	})
}

// another is gopacket's reader of the same file, nil if it does not want it.
func another(file []byte) gopacket.PacketDataSource {
	if c, err := pcapgo.NewReader(bytes.NewReader(file)); err == nil {
		return c
	}
	n, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return nil
	}
	return n
}

func same(t *testing.T, other gopacket.PacketDataSource, p capture.Packet, data []byte, ci gopacket.CaptureInfo) {
	t.Helper()
	if !bytes.Equal(p.Data, data) || p.Length != ci.Length && ci.Length < 1<<31 {
		t.Fatalf("packet %x of length %d, gopacket reads %x of %d", p.Data, p.Length, data, ci.Length)
	}
	d := p.Time.Sub(ci.Timestamp)
	n, isNG := other.(*pcapgo.NgReader)
	switch {
	case !isNG:
		// gopacket counts the fraction of a second in 32 bits of nanoseconds.
		if d%(1<<32) != 0 {
			t.Fatalf("time %v, gopacket reads %v", p.Time, ci.Timestamp)
		}
		return
	case ci.AncillaryData[0] != layers.LinkType(p.Link):
		t.Fatalf("link type %v, gopacket reads %v", p.Link, ci.AncillaryData[0])
	case p.Time.IsZero() != ci.Timestamp.IsZero():
		t.Fatalf("time %v, gopacket reads %v", p.Time, ci.Timestamp)
	}
	link, err := n.Interface(ci.InterfaceIndex)
	if err != nil {
		t.Fatal(err)
	}
	// gopacket is rough when the resolution is not a power of 10, and takes whole
	// seconds for microseconds.
	offset := int64(link.TimestampOffset)
	seconds := link.TimestampResolution == 6 && p.Time.Unix()-offset == ci.Timestamp.UnixMicro()-offset*1e6
	if !p.Time.IsZero() && d.Abs() >= time.Second && !seconds {
		t.Fatalf("time %v, gopacket reads %v", p.Time, ci.Timestamp)
	}
}
