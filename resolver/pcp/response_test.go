package pcp

import (
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
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b nat64.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// header is a successful ANNOUNCE response with epoch 100.
const header = "02800000 00000000 00000064 00000000 00000000 00000000"

// wkpOption is a good option that must survive a bad one before it.
const wkpOption = "8100000e 000c0064 ff9b0000 00000000 00000000"

var wkp = Prefix64{Prefix: nat64.WellKnown()}

func p64(prefix string, list ...string) Prefix64 {
	p := Prefix64{Prefix: nat64.MustParse(prefix)}
	for _, s := range list {
		p.IPv4 = append(p.IPv4, netip.MustParsePrefix(s))
	}
	return p
}

func TestPrefix64Options(t *testing.T) {
	tests := []struct {
		name, option string
		want         []Prefix64
		ignored      string // part of the only reason, empty: none
	}{
		{"well-known, without list (PCP-9)", "8100000e 000c0064 ff9b0000 00000000 00000000", []Prefix64{wkp}, ""},
		{"count of 0", "81000010 000c 0064ff9b0000000000000000 0000", []Prefix64{wkp}, ""},
		{"length 56 for 10.0.0.0/8", "81000016 0007 20010db8012203 0000000000 0001 0008 0a000000 0000", []Prefix64{p64("2001:db8:122:300::/56", "10.0.0.0/8")}, ""},
		{"length 32", "8100000e 0004 20010db8 0000000000000000 0000", []Prefix64{p64("2001:db8::/32")}, ""},
		{"length 40", "8100000e 0005 20010db801 00000000000000 0000", []Prefix64{p64("2001:db8:100::/40")}, ""},
		{"length 48", "8100000e 0006 20010db80122 000000000000 0000", []Prefix64{p64("2001:db8:122::/48")}, ""},
		{"length 64", "8100000e 0008 20010db801220344 00000000 0000", []Prefix64{p64("2001:db8:122:344::/64")}, ""},
		{"two lists in one, host bits set, one twice", "81000022 000c 0064ff9b0000000000000000 0003 0008 0a010203 0010 ac100000 0008 0a000000 0000",
			[]Prefix64{p64("64:ff9b::/96", "10.0.0.0/8", "172.16.0.0/16")}, ""},
		{"all of IPv4", "81000016 000c 0064ff9b0000000000000000 0001 0000 00000000 0000", []Prefix64{p64("64:ff9b::/96", "0.0.0.0/0")}, ""},
		{"bytes behind the list", "81000018 000c 0064ff9b0000000000000000 0001 0008 0a000000 ffff", []Prefix64{p64("64:ff9b::/96", "10.0.0.0/8")}, ""},
		{"bad entry costs itself (7225-5)", "8100001c 000c 0064ff9b0000000000000000 0002 0021 0a000000 0008 0a000000", []Prefix64{p64("64:ff9b::/96", "10.0.0.0/8")}, "length 33"},
		{"no data", "81000000", nil, "0 bytes"},
		{"13 bytes of data", "8100000d 000c0064 ff9b0000 00000000 00000000", nil, "13 bytes"},
		{"cut off count", "8100000f 000c0064 ff9b0000 00000000 00000000", nil, "cut off"},
		{"length in bits", "8100000e 00600064 ff9b0000 00000000 00000000", nil, "96 bytes"},
		{"length 0", "8100000e 00000064 ff9b0000 00000000 00000000", nil, "prefix of 0 bytes"},
		{"length 9", "8100000e 00090064 ff9b0000 00000000 00000000", nil, "prefix of 9 bytes"},
		{"list longer than the option", "81000016 000c 0064ff9b0000000000000000 0002 0008 0a000000 0000", nil, "do not fit"},
		{"65535 entries", "81000010 000c 0064ff9b0000000000000000 ffff", nil, "do not fit"},
		{"byte 8 not zero", "8100000e 000c0064 ff9b0000 00000100 00000000", nil, "byte 8"},
		{"suffix not zero", "8100000e 0006 20010db80122 000000000001 0000", nil, "suffix 000000000001"},
		{"u byte of the suffix not zero", "8100000e 0008 20010db801220344 01000000 0000", nil, "suffix 01000000"},
		{"::/96 is the request's", "8100000e 000c0000 00000000 00000000 00000000", nil, "not a global"},
		{"multicast", "8100000e 0004 ff0e0000 0000000000000000 0000", nil, "not a global"},
		{"IPv4-mapped", "8100000e 000c 00000000000000000000ffff 0000", nil, "not a global"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Parse(unhex(t, header+tt.option+wkpOption))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(append(tt.want, wkp), r.Prefixes, equal); d != "" {
				t.Error(d)
			}
			switch {
			case tt.ignored == "" && len(r.Ignored) > 0:
				t.Errorf("ignored %+v", r.Ignored)
			case tt.ignored != "" && (len(r.Ignored) != 1 || r.Ignored[0].Code != 129 || r.Ignored[0].Offset != 24 || !strings.Contains(r.Ignored[0].Why, tt.ignored)):
				t.Errorf("ignored %+v, want option 129 at 24 with %q", r.Ignored, tt.ignored)
			}
		})
	}
}

// TestListWithoutAnyGoodEntry: a prefix that serves nobody knows whom serves nobody.
func TestListWithoutAnyGoodEntry(t *testing.T) {
	r, err := Parse(unhex(t, header+"8100001c 000c 0064ff9b0000000000000000 0002 0021 0a000000 ffff 0a000000"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Prefixes) != 0 || len(r.Ignored) != 3 || !strings.Contains(r.Ignored[2].Why, "no usable IPv4 prefix") {
		t.Errorf("got %+v, ignored %+v", r.Prefixes, r.Ignored)
	}
}

func TestParse(t *testing.T) {
	mapBody := "01020304 05060708 090a0b0c 11000000 00091234 00000000 00000000 0000ffff c0000201"
	tests := []struct {
		name, msg string
		want      Response
		err       string // part of the error, empty: none
	}{
		{"ANNOUNCE (PCP-9)", header + wkpOption, Response{Version: 2, Epoch: 100, Prefixes: []Prefix64{wkp}}, ""},
		{"nothing in it", header, Response{Version: 2, Epoch: 100}, ""},
		{"reserved bytes are ignored", "028000 00 00000e10 00000064 20010db8 00000000 00000001" + "81ff000e 000c0064 ff9b0000 00000000 0000ffff",
			Response{Version: 2, Epoch: 100, Lifetime: time.Hour, Prefixes: []Prefix64{wkp}}, ""},
		{"MAP", "02810000 00000078 00000064 00000000 00000000 00000000" + mapBody + wkpOption,
			Response{Version: 2, Opcode: Map, Lifetime: 120 * time.Second, Epoch: 100, Mapping: Learn(nonce), Prefixes: []Prefix64{wkp}}, ""},
		{"unknown options, mandatory ones too (6887-3)", header + "05000003 ffffff00" + "c0000000" + wkpOption, Response{Version: 2, Epoch: 100, Prefixes: []Prefix64{wkp}}, ""},
		{"an error's options are our own (6887-3)", "02800006 00000e10 00000064 00000000 00000000 00000000" + wkpOption,
			Response{Version: 2, Result: MalformedOption, Lifetime: time.Hour, Epoch: 100}, ""},
		{"an error for MAP", "02810008 0000001e 00000064 00000000 00000000 00000000" + mapBody,
			Response{Version: 2, Opcode: Map, Result: NoResources, Lifetime: 30 * time.Second, Epoch: 100, Mapping: Learn(nonce)}, ""},
		{"NAT-PMP (PCP-16)", "00800001 00000064", Response{Version: 0, Result: UnsuppVersion}, ""},
		{"version 1", "01800001 0000003c 00000064 00000000 00000000 00000000", Response{Version: 1, Result: UnsuppVersion, Lifetime: time.Minute}, ""},
		{"version 3 without that result", "03800000 0000003c 00000064 00000000 00000000 00000000", Response{Version: 3}, "version 3"},
		{"empty", "", Response{}, "0 bytes"},
		{"3 bytes", "028000", Response{}, "3 bytes"},
		{"a request", "02000000 00000000 00000064 00000000 00000000 00000000", Response{}, "request"},
		{"20 bytes", "02800000 00000000 00000064 00000000 00000000", Response{Version: 2}, "20 bytes"},
		{"no multiple of 4", header + "8100", Response{Version: 2}, "26 bytes"},
		{"1104 bytes", header + strings.Repeat("80000000", 270), Response{Version: 2}, "1104 bytes"},
		{"MAP without body", "02810000 00000000 00000064 00000000 00000000 00000000", Response{Version: 2, Opcode: Map}, "want at least 60"},
		{"an option overruns the message (PCP-10)", header + wkpOption + "80000004", Response{Version: 2, Epoch: 100, Prefixes: []Prefix64{wkp}}, "option 128 at offset 44"},
		{"by its padding alone", header + "80000005 00000000", Response{Version: 2, Epoch: 100}, "offset 24"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(unhex(t, tt.msg))
			if d := cmp.Diff(tt.want, got, equal); d != "" {
				t.Error(d)
			}
			if (err != nil) != (tt.err != "") || err != nil && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// TestLargest: 1100 bytes are the most that a message has (PCP-1).
func TestLargest(t *testing.T) {
	if _, err := Parse(unhex(t, header+strings.Repeat("80000000", 269))); err != nil {
		t.Error(err)
	}
}
