package vnethdr

import (
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
