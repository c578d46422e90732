package vnethdr

import (
	"encoding/binary"
	"testing"
	"testing/quick"
)

func TestRoundTrip(t *testing.T) {
	if err := quick.Check(func(h Header) bool {
		var b [Size + 2]byte
		b[Size] = 0xaa
		h.Put(b[:])
		return Parse(b[:]) == h && b[Size] == 0xaa
	}, nil); err != nil {
		t.Error(err)
	}
}

func TestPlaces(t *testing.T) { // spec SIIT-85
	var b [Size]byte
	Header{Flags: NeedsCsum, GSOType: GSOTCPv6 | GSOECN}.Put(b[:])
	if b[0] != 1 || b[1] != 0x84 {
		t.Errorf("flags and type = % x", b[:2])
	}
}

// Each field alone, so that two that changed places both ways are seen.
func TestFields(t *testing.T) { // spec SIIT-85
	tests := map[string]struct {
		h  Header
		at int
	}{
		"hdr_len":     {Header{HdrLen: 0x1234}, 2},
		"gso_size":    {Header{GSOSize: 0x1234}, 4},
		"csum_start":  {Header{CsumStart: 0x1234}, 6},
		"csum_offset": {Header{CsumOffset: 0x1234}, 8},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var want, got [Size]byte
			binary.NativeEndian.PutUint16(want[tt.at:], 0x1234)
			tt.h.Put(got[:])
			if got != want {
				t.Errorf("Put = % x, want % x", got, want)
			}
			if h := Parse(want[:]); h != tt.h {
				t.Errorf("Parse = %+v, want %+v", h, tt.h)
			}
		})
	}
}

// Put writes over what stood there, and zero too.
func TestPutClears(t *testing.T) {
	b := [Size]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	Header{}.Put(b[:])
	if b != [Size]byte{} {
		t.Errorf("% x", b)
	}
}

// FuzzParse reads anything that is long enough; what it reads can be written
// again, and nothing behind it counts.
func FuzzParse(f *testing.F) {
	f.Add([]byte{1, 1, 52, 0, 0x94, 5, 20, 0, 16, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < Size {
			return // the caller guarantees the length
		}
		var out [Size]byte
		Parse(b).Put(out[:])
		if out != [Size]byte(b) {
			t.Errorf("% x became % x", b[:Size], out)
		}
		if Parse(b) != Parse(b[:Size]) {
			t.Error("bytes behind the header count")
		}
	})
}
