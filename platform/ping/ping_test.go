package ping

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

var to = netip.MustParseAddr("2001:db8:64::c633:640a")

// inner is an echo request of identifier 0x1234 and sequence 7 from 2001:db8:1::2 to
// 2001:db8:64::c633:640a, as an error quotes it.
const inner = "6000000000083a40" + "20010db8000100000000000000000002" + "20010db80064000000000000c633640a" + "8000000012340007"

func TestWhatAnAnswerSays(t *testing.T) {
	c := &Conn{raw: true, id: 0x1234}
	tests := map[string]struct {
		hex  string
		from netip.Addr
		seq  int // 0: not ours
		kind Kind
		mtu  int
	}{
		"reply":                     {"8100000012340007", to, 7, Reply, 0},
		"reply to somebody else":    {"8100000099990007", to, 0, "", 0},
		"reply of somebody else":    {"8100000012340007", netip.MustParseAddr("2001:db8::1"), 0, "", 0},
		"time exceeded":             {"0300000000000000" + inner, netip.MustParseAddr("2001:db8:1::1"), 7, Exceeded, 0},
		"no route":                  {"0100000000000000" + inner, netip.MustParseAddr("2001:db8:1::1"), 7, Unreachable, 0},
		"too big":                   {"0200000000000514" + inner, netip.MustParseAddr("2001:db8:1::1"), 7, TooBig, 1300},
		"error of another's packet": {"0300000000000000" + strings.Replace(inner, "1234", "4321", 1), netip.MustParseAddr("2001:db8:1::1"), 0, "", 0},
		"error to another place":    {"0300000000000000" + strings.Replace(inner, "640a", "640b", 1), netip.MustParseAddr("2001:db8:1::1"), 0, "", 0},
		"error cut short":           {"0300000000000000" + inner[:90], netip.MustParseAddr("2001:db8:1::1"), 0, "", 0},
		"a router advertisement":    {"8600000000000000" + inner, netip.MustParseAddr("fe80::1"), 0, "", 0},
		"nothing":                   {"", to, 0, "", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(tt.hex)
			if err != nil {
				t.Fatal(err)
			}
			seq, a, ok := c.read(b, to, tt.from)
			switch {
			case ok != (tt.seq != 0):
				t.Errorf("ours: %v", ok)
			case ok && (seq != tt.seq || a.Kind != tt.kind || a.MTU != tt.mtu || a.From != tt.from):
				t.Errorf("request %d, %+v", seq, a)
			}
		})
	}
}

// FuzzRead: whatever comes, nothing is taken for an answer that does not name our
// identifier.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"8100000012340007", "0300000000000000" + inner, "0200000000000514" + inner[:80]} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Conn{raw: true, id: 0x1234}
		if _, _, ok := c.read(b, to, to); ok && !strings.Contains(hex.EncodeToString(b), "1234") {
			t.Errorf("%x is taken for an answer", b)
		}
	})
}
