package icmp6

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
)

// bytesOf reads hex with blanks.
func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Control data as a 64-bit Windows lays it out.
const (
	infoOnLink7 = "24000000 00000000 29000000 13000000 ff020000 00000000 00000000 00000001 07000000 00000000"
	hops255     = "14000000 00000000 29000000 15000000 ff000000 00000000"
	hops64      = "14000000 00000000 29000000 15000000 40000000 00000000"
	otherLevel  = "14000000 00000000 00000000 15000000 07000000 00000000"
)

func TestControlDataOfWindows(t *testing.T) {
	group := netip.MustParseAddr("ff02::1")
	for name, tt := range map[string]struct {
		data string
		want how
	}{
		"nothing":                         {"", how{}},
		"link and hop limit":              {infoOnLink7 + hops255, how{7, 255, group}},
		"the other way round":             {hops64 + infoOnLink7, how{7, 64, group}},
		"no padding at the end":           {infoOnLink7 + strings.TrimSuffix(hops255, " 00000000"), how{7, 255, group}},
		"IPv4's option of that number":    {otherLevel + hops255, how{hopLimit: 255}},
		"half a header":                   {infoOnLink7 + "14000000 0000", how{link: 7, dst: group}},
		"longer than the buffer":          {infoOnLink7 + "ff000000 00000000 29000000 15000000 ff000000", how{link: 7, dst: group}},
		"a length that wraps around":      {"f8ffffff ffffffff 29000000 15000000 ff000000 00000000", how{}},
		"shorter than its own header":     {"08000000 00000000 29000000 15000000" + hops255, how{}},
		"an index that was cut off":       {"20000000 00000000 29000000 13000000 ff020000 00000000 00000000 00000001", how{}},
		"a hop limit that was cut off":    {"12000000 00000000 29000000 15000000 ff00", how{}},
		"an option that nobody asked for": {"11000000 00000000 29000000 63000000 01000000 00000000" + hops255, how{hopLimit: 255}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fromControl(bytesOf(t, tt.data)); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestControlDataForWindows(t *testing.T) {
	want := bytesOf(t, "24000000 00000000 29000000 13000000 fe800000 00000000 00000000 0000000a 09000000 00000000")
	if got := toControl(netip.MustParseAddr("fe80::a"), 9); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func FuzzControlData(f *testing.F) {
	f.Add([]byte{})
	f.Add(toControl(netip.MustParseAddr("fe80::a"), 9))
	f.Add(append(toControl(netip.MustParseAddr("ff02::1"), 7), 0x14, 0, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0, 21, 0, 0, 0, 255, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := fromControl(b)
		if len(b) < controlHeader+4 && h != (how{}) {
			t.Errorf("%x says %+v", b, h)
		}
	})
}

// advertisement is a router advertisement with the checksum that x/net makes.
func advertisement(t *testing.T, from, to string, body int) []byte {
	t.Helper()
	m := icmp.Message{Type: ipv6.ICMPTypeRouterAdvertisement, Body: &icmp.RawBody{Data: make([]byte, body)}}
	b, err := m.Marshal(icmp.IPv6PseudoHeader(netip.MustParseAddr(from).AsSlice(), netip.MustParseAddr(to).AsSlice()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhichMessagesAreAdvertisements(t *testing.T) {
	const router = "fe80::1"
	group := netip.MustParseAddr("ff02::1")
	good := advertisement(t, router, "ff02::1", 12)
	changed := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for name, tt := range map[string]struct {
		msg  []byte
		from string
		how  how
		want bool
	}{
		"from a router":                {good, router, how{3, 255, group}, true},
		"from a router, with the zone": {good, "fe80::1%eth0", how{3, 255, group}, true},
		"the kernel verified it":       {changed(2, 0), router, how{3, 255, netip.Addr{}}, true},
		"of odd length":                {advertisement(t, router, "ff02::1", 13), router, how{3, 255, group}, true},
		"through a router":             {good, router, how{3, 254, group}, false},
		"hop limit unknown":            {good, router, how{3, 0, group}, false},
		"link unknown":                 {good, router, how{0, 255, group}, false},
		"from afar":                    {advertisement(t, "2001:db8::1", "ff02::1", 12), "2001:db8::1", how{3, 255, group}, false},
		"source unknown":               {good, "", how{3, 255, group}, false},
		"to another address":           {good, router, how{3, 255, netip.MustParseAddr("fe80::a")}, false},
		"damaged":                      {changed(9, 1), router, how{3, 255, group}, false},
		"cut off":                      {good[:15], router, how{3, 255, netip.Addr{}}, false},
		"another type":                 {changed(0, 133), router, how{3, 255, netip.Addr{}}, false},
		"another code":                 {changed(1, 1), router, how{3, 255, netip.Addr{}}, false},
		"an empty one":                 {nil, router, how{3, 255, group}, false},
		"an IPv4 address":              {good, "169.254.1.1", how{3, 255, group}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var from netip.Addr
			if tt.from != "" {
				from = netip.MustParseAddr(tt.from)
			}
			if got := isAdvertisement(tt.msg, from, tt.how); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSolicitationIsThatOfRFC4861(t *testing.T) {
	for name, tt := range map[string]struct{ hardware, want string }{
		"with a link-layer address":    {"\x02\x00\x5e\x10\x00\x01", "8500 0000 00000000 01010200 5e100001"},
		"without one":                  {"", "8500 0000 00000000"},
		"with one that is no Ethernet": {"\x01\x02\x03\x04", "8500 0000 00000000"},
	} {
		t.Run(name, func(t *testing.T) {
			src := netip.MustParseAddr("fe80::a")
			got := solicitation(src, []byte(tt.hardware))
			body := bytesOf(t, tt.want)
			m := icmp.Message{Type: ipv6.ICMPTypeRouterSolicitation, Body: &icmp.RawBody{Data: body[4:]}}
			want, err := m.Marshal(icmp.IPv6PseudoHeader(src.AsSlice(), netip.MustParseAddr("ff02::2").AsSlice()))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
}
