package capture_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/reach64/reach64/tunnel/capture"
)

func writeNG(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := capture.NewNGWriter(&b, "reach64 test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clat0", "eth0"} {
		if _, err := w.Interface(name, "about "+name); err != nil {
			t.Fatal(err)
		}
	}
	for i, data := range []string{"E---", "`----", "E"} {
		if err := w.Write(i%2, at(1000+int64(i), 7), []byte(data), len(data)+10*i, capture.Outbound, strings.Repeat("c", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(2, at(1, 1), nil, 0, capture.NoDirection, ""); err == nil {
		t.Error("a packet of an interface that there is not")
	}
	if w.Size() != int64(b.Len()) || b.Len()%4 != 0 {
		t.Errorf("size %d of %d", w.Size(), b.Len())
	}
	return b.Bytes()
}

// Another's reader sees what was written: names, times, lengths, comments.
func TestWriteNGForAnother(t *testing.T) {
	r, err := pcapgo.NewNgReader(bytes.NewReader(writeNG(t)), pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"E---", "`----", "E"} {
		data, ci, err := r.ReadPacketData()
		if err != nil || string(data) != want || ci.Length != len(want)+10*i || !ci.Timestamp.Equal(at(1000+int64(i), 7)) || ci.InterfaceIndex != i%2 {
			t.Fatalf("packet %d: %q %+v %v", i, data, ci, err)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("then %v", err)
	}
	for i, name := range []string{"clat0", "eth0"} {
		l, err := r.Interface(i)
		if err != nil || l.Name != name || l.LinkType != layers.LinkTypeRaw || l.Description != "about "+name {
			t.Errorf("interface %d: %+v, %v", i, l, err)
		}
	}
	if info := r.SectionInfo(); info.Application != "reach64 test" {
		t.Errorf("section %+v", info)
	}
}

// Our own reader, which translate uses.
func TestWriteNGForOurselves(t *testing.T) {
	r, err := capture.NewReader(bytes.NewReader(writeNG(t)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"E---", "`----", "E"} {
		p, err := r.Next()
		if err != nil || string(p.Data) != want || p.Link != capture.Raw || !p.Time.Equal(at(1000+int64(i), 7)) {
			t.Fatalf("packet %d: %+v %v", i, p, err)
		}
	}
}
