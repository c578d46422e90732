package netmon

import (
	"encoding/hex"
	"testing"

	"github.com/reach64/reach64/platform/netstate"
)

func TestCLATOfMacOS(t *testing.T) {
	const name = "656e3000000000000000000000000000" // en0
	r := newCLAT46Request("en0")
	if got := hex.EncodeToString(r[:16]); got != name {
		t.Errorf("asks for %s, want %s", got, name)
	}
	if got := newCLAT46Request("a name that is too long"); got[15] != 0 || got[16] != 0 {
		t.Errorf("a long name runs into the address: %x", got)
	}
	if size := siocgifclat46addr >> 16 & 0x1fff; size != len(r) {
		t.Errorf("the request's number says %d bytes, the structure has %d", size, len(r))
	}
	for what, tt := range map[string]struct {
		answer string
		want   netstate.Addr
	}{
		"an address":      {"20010db800010000" + "0000c1a700000002" + "40000000", netstate.Addr{Prefix: prefix("2001:db8:1::c1a7:0:2/64"), CLAT: true}},
		"none":            {"0000000000000000" + "0000000000000000" + "00000000", netstate.Addr{}},
		"a length of 129": {"20010db800010000" + "0000c1a700000002" + "81000000", netstate.Addr{}},
		"an IPv4 address": {"0000000000000000" + "0000ffffc0000202" + "20000000", netstate.Addr{}},
	} {
		b, err := hex.DecodeString(name + tt.answer)
		if err != nil {
			t.Fatal(err)
		}
		if got := clat46Request(b).addr(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", what, got, tt.want)
		}
	}
}
