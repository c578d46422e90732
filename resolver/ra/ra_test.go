package ra

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/reach64/reach64/resolver/nat64"
)

var equal = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b nat64.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// header is an RA without options: hop limit 64, router lifetime 1800 s.
const header = "86000000 40000708 00000000 00000000"

// rdnssOption is a good option that must survive a bad one before it.
const rdnssOption = "19030000 00000708 20010db8 00010002 00000000 00000053"

// TestPref64Options holds the vectors of spec R8781-15 and spec-checked 8781-3.
func TestPref64Options(t *testing.T) {
	tests := []struct {
		name, option, prefix string
		lifetime             time.Duration
		ignored              string
	}{
		{"well-known prefix for 1800 s", "26020708 0064ff9b 00000000 00000000", "64:ff9b::/96", 1800 * time.Second, ""},
		{"length 48", "2602070b 20010db8 01220000 00000000", "2001:db8:122::/48", 1800 * time.Second, ""},
		{"length 32, longest lifetime", "2602fffd 20010db8 00000000 00000000", "2001:db8::/32", 65528 * time.Second, ""},
		{"shortest lifetime", "26020008 0064ff9b 00000000 00000000", "64:ff9b::/96", 8 * time.Second, ""},
		{"withdrawn", "26020000 0064ff9b 00000000 00000000", "64:ff9b::/96", 0, ""},
		{"low bits are masked", "26020709 20010db8 01220344 ffffffff", "2001:db8:122:344::/64", 1800 * time.Second, ""},
		{"length code 6", "2602070e 0064ff9b 00000000 00000000", "", 0, "prefix length code 6"},
		{"length code 7", "2602070f 0064ff9b 00000000 00000000", "", 0, "prefix length code 7"},
		{"24 bytes long", "26030708 0064ff9b 00000000 00000000 0000000000000000", "", 0, "24 bytes long"},
		{"byte 8 not zero", "26020708 0064ff9b 00000000 01000000", "", 0, "byte 8"},
		{"multicast", "26020708 ff0e0000 00000000 00000000", "", 0, "not a global"},
		{"link-local", "26020708 fe800000 00000000 00000000", "", 0, "not a global"},
		{"IPv4-mapped", "26020708 00000000 00000000 0000ffff", "", 0, "not a global"},
		{"all zero", "26020708 00000000 00000000 00000000", "", 0, "not a global"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := Parse(unhex(t, header+tt.option+rdnssOption))
			if err != nil {
				t.Fatal(err)
			}
			if len(a.RDNSS) != 1 {
				t.Errorf("the option behind it was lost: %+v", a)
			}
			if tt.ignored != "" {
				if len(a.Pref64) != 0 || len(a.Ignored) != 1 {
					t.Fatalf("got %v, ignored %v", a.Pref64, a.Ignored)
				}
				if ig := a.Ignored[0]; ig.Type != 38 || ig.Offset != 16 || !strings.Contains(ig.Why, tt.ignored) {
					t.Errorf("ignored %+v, want option 38 at 16 with %q", ig, tt.ignored)
				}
				return
			}
			want := []Pref64{{nat64.MustParse(tt.prefix), tt.lifetime}}
			if d := cmp.Diff(want, a.Pref64, equal); d != "" {
				t.Error(d)
			}
		})
	}
}

// wholeRA is spec R8781-16.
const wholeRA = "8600b089 40000708 00000000 00000000 01010200 00000001 05010000 000005dc 030440c0 00015180 00003840 00000000" +
	"20010db8 00010002 00000000 00000000 19030000 00000708 20010db8 00010002 00000000 00000053 26020708 0064ff9b 00000000 00000000"

func wholeAdvertisement() Advertisement {
	return Advertisement{
		HopLimit: 64, RouterLifetime: 1800 * time.Second, MTU: 1500, SourceLL: []byte{2, 0, 0, 0, 0, 1},
		Prefixes: []PrefixInfo{{netip.MustParsePrefix("2001:db8:1:2::/64"), true, true, 86400 * time.Second, 14400 * time.Second}},
		RDNSS:    []RDNSS{{[]netip.Addr{netip.MustParseAddr("2001:db8:1:2::53")}, 1800 * time.Second}},
		Pref64:   []Pref64{{nat64.WellKnown(), 1800 * time.Second}},
	}
}

func TestParseWhole(t *testing.T) {
	got, err := Parse(unhex(t, wholeRA))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wholeAdvertisement(), got, equal); d != "" {
		t.Error(d)
	}
}

func TestMarshalWhole(t *testing.T) {
	want := unhex(t, wholeRA)
	want[2], want[3] = 0, 0
	if got := wholeAdvertisement().Marshal(); !cmp.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestMarshalLifetimes(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   time.Duration
		want string
	}{
		{"1 s becomes 8 s", time.Second, "0008"},
		{"withdrawal", 0, "0000"},
		{"negative is 0", -time.Second, "0000"},
		{"a day becomes the maximum", 24 * time.Hour, "fff8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := Advertisement{Pref64: []Pref64{{nat64.WellKnown(), tt.in}}}.Marshal()
			if got := hex.EncodeToString(b[18:20]); got != tt.want {
				t.Errorf("lifetime word %s, want %s", got, tt.want)
			}
		})
	}
}

func TestInvalidMessages(t *testing.T) {
	tests := []struct {
		name, msg, say string
		kept           int // PREF64 options before the damage, for reports
	}{
		{"empty", "", "0 bytes", 0},
		{"15 bytes", header[:2*16+1], "15 bytes", 0},
		{"solicitation", "85" + header[2:], "type 133", 0},
		{"code 1", "8601" + header[4:], "code 1", 0},
		{"option of length 0", header + "2600070800000000", "length 0", 0},
		{"damage after a good option", header + "26020708 0064ff9b 00000000 00000000" + "1900", "length 0", 1},
		{"option past the end", header + "26020708 0064ff9b", "8 are left", 0},
		{"stray byte", header + "26", "stray byte", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := Parse(unhex(t, tt.msg))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.say) {
				t.Errorf("error %v, want one that says %q", err, tt.say)
			}
			if len(a.Pref64) != tt.kept {
				t.Errorf("%d PREF64 kept, want %d", len(a.Pref64), tt.kept)
			}
		})
	}
}

func TestIgnoredOptions(t *testing.T) {
	tests := []struct{ name, option, why string }{
		{"MTU below 1280", "05010000 0000044f", "MTU 1103"},
		{"prefix length 129", "030481c0 00015180 00003840 00000000 20010db8 00010002 00000000 00000000", "prefix length 129"},
		{"prefix option of 8 bytes", "030140c0 00015180", "8 bytes long, want 32"},
		{"RDNSS without server", "19010000 00000708", "16 for each server"},
		{"RDNSS with half a server", "19020000 00000708 20010db8 00010002", "16 for each server"},
		{"RDNSS with a multicast server", "19030000 00000708 ff020000 00000000 00000000 00000001", "cannot be a DNS server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := Parse(unhex(t, header+tt.option+rdnssOption))
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Ignored) != 1 || !strings.Contains(a.Ignored[0].Why, tt.why) {
				t.Errorf("ignored %+v, want %q", a.Ignored, tt.why)
			}
			if a.MTU != 0 || len(a.Prefixes) != 0 || len(a.RDNSS) != 1 {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestValid(t *testing.T) {
	tests := []struct {
		name, src string
		hops      int
		ok        bool
	}{
		{"from the link", "fe80::1%eth0", 255, true},
		{"from elsewhere", "fe80::1", 254, false},
		{"global source", "2001:db8::1", 255, false},
		{"IPv4 source", "169.254.0.1", 255, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Valid(netip.MustParseAddr(tt.src), tt.hops, unhex(t, wholeRA))
			if (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestPortal holds the option of RFC 8910 section 2.3.
func TestPortal(t *testing.T) {
	tests := map[string]struct{ option, uri, ignored string }{
		"filled up with zeros":  {"2502 75726e3a 6162633a 646500000000", "urn:abc:de", ""},
		"without room to spare": {"2502 75726e3a 6162633a 646566676869", "urn:abc:defghi", ""},
		"empty":                 {"2501 000000000000", "", "an empty URI"},
		"no scheme":             {"2501 2f6170690000", "", "no whole URI"},
		"a line feed":           {"2501 613a0a620000", "", "invalid control character"},
	}
	for name, tt := range tests {
		a, err := Parse(unhex(t, header+tt.option+rdnssOption))
		if err != nil || a.Portal != tt.uri || len(a.RDNSS) != 1 {
			t.Errorf("%s: %+v, %v; want %q", name, a, err, tt.uri)
		}
		if tt.ignored == "" != (len(a.Ignored) == 0) || tt.ignored != "" && !strings.Contains(a.Ignored[0].Why, tt.ignored) {
			t.Errorf("%s: ignored %+v, want %q", name, a.Ignored, tt.ignored)
		}
	}
}

func TestSolicitation(t *testing.T) {
	if got, want := hex.EncodeToString(Solicitation([]byte{2, 0, 0, 0, 0, 1})), "8500000000000000"+"0101020000000001"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(Solicitation(nil)), "8500000000000000"; got != want {
		t.Errorf("without address: got %s, want %s", got, want)
	}
}

// FuzzParse: no input panics, and what was read and is written again reads the same.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, wholeRA))
	f.Add(unhex(f, header+"2600070800000000"))
	f.Add(unhex(f, header+"19020000 00000708 20010db8 00010002"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		a, err := Parse(msg)
		again, err2 := Parse(a.Marshal())
		if err2 != nil {
			t.Fatalf("marshalled message does not parse: %v", err2)
		}
		a.Ignored = nil
		if d := cmp.Diff(a, again, equal); d != "" && err == nil {
			t.Fatal(d)
		}
	})
}
