package capture_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/reach64/reach64/tunnel/capture"
)

func TestWrite(t *testing.T) {
	head, tail := []byte("abcd"), []byte("efghi")
	for name, c := range map[string]struct {
		micro bool
		want  []byte
	}{
		"microseconds": {true, little().u32(0xa1b2c3d4).u16(2, 4).u32(0, 0, 262144, 101).record(1000, 7, []byte("abcdefghi")).record(0, 0, head).b},
		"nanoseconds":  {false, little().u32(0xa1b23c4d).u16(2, 4).u32(0, 0, 262144, 101).record(1000, 7008, []byte("abcdefghi")).record(0, 0, head).b},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w, err := capture.NewWriter(&b, c.micro)
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{w.Write(at(1000, 7008), head, tail), w.Write(time.Time{}, head, nil)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(b.Bytes(), c.want) {
				t.Errorf("got  %x\nwant %x", b.Bytes(), c.want)
			}
		})
	}
}

// Another's reader sees what was written.
func TestWriteForAnother(t *testing.T) {
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(at(4294967295, 999_999_999), []byte("ab"), []byte("c")); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	data, ci, err := r.ReadPacketData()
	if err != nil || string(data) != "abc" || ci.Length != 3 || !ci.Timestamp.Equal(at(4294967295, 999_999_999)) || r.LinkType() != layers.LinkTypeRaw {
		t.Errorf("%q %+v %v, link type %v", data, ci, err, r.LinkType())
	}
}

func TestWriteErrors(t *testing.T) {
	w, err := capture.NewWriter(new(bytes.Buffer), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []time.Time{at(-1, 0), at(4294967296, 0)} {
		if err := w.Write(when, nil, nil); err == nil {
			t.Errorf("time %v gave no error", when)
		}
	}
	if _, err := capture.NewWriter(&full{}, true); !errors.Is(err, errFull) {
		t.Errorf("header: error %v, want %v", err, errFull)
	}
	for _, room := range []int{24, 40, 41} {
		w, err := capture.NewWriter(&full{room}, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(at(1, 0), []byte("a"), []byte("b")); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: error %v, want %v", room, err, errFull)
		}
	}
}

var errFull = errors.New("disk full")

// full takes so many bytes.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	n := min(f.room, len(b))
	f.room -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}
