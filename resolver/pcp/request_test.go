package pcp

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	client = netip.MustParseAddr("2001:db8:1:2::10")
	nonce  = [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
)

// TestRequests holds the vectors of spec PCP-8 and spec-checked section 4.
func TestRequests(t *testing.T) {
	tests := []struct {
		name string
		r    Request
		want string
	}{
		{"ANNOUNCE", Request{Opcode: Announce, Client: client},
			"02000000 00000000 20010db8 00010002 00000000 00000010 81000010 000c0000 00000000 00000000 00000000"},
		{"ANNOUNCE without count", Request{Opcode: Announce, Client: client, NoCount: true},
			"02000000 00000000 20010db8 00010002 00000000 00000010 8100000e 000c0000 00000000 00000000 00000000"},
		{"ANNOUNCE has no lifetime (6887-11)", Request{Opcode: Announce, Client: client, Lifetime: LearnLifetime},
			"02000000 00000000 20010db8 00010002 00000000 00000010 81000010 000c0000 00000000 00000000 00000000"},
		{"MAP", Request{Opcode: Map, Client: client, Lifetime: LearnLifetime, Mapping: Learn(nonce)},
			"02010000 00000078 20010db8 00010002 00000000 00000010 01020304 05060708 090a0b0c 11000000 00090000 00000000 00000000 0000ffff 00000000 " +
				"81000010 000c0000 00000000 00000000 00000000"},
		{"from IPv4 (6887-2)", Request{Opcode: Announce, Client: netip.MustParseAddr("192.0.2.1")},
			"02000000 00000000 00000000 00000000 0000ffff c0000201 81000010 000c0000 00000000 00000000 00000000"},
		{"the zone stays at home", Request{Opcode: Announce, Client: netip.MustParseAddr("fe80::10%eth0")},
			"02000000 00000000 fe800000 00000000 00000000 00000010 81000010 000c0000 00000000 00000000 00000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, want := hex.EncodeToString(tt.r.Marshal()), strings.ReplaceAll(tt.want, " ", ""); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestAnsweredBy(t *testing.T) {
	announce := Request{Opcode: Announce, Client: client}
	learn := Request{Opcode: Map, Client: client, Mapping: Learn(nonce)}
	other := Learn(nonce)
	other.Nonce[11]++
	tests := []struct {
		name string
		r    Request
		p    Response
		want bool
	}{
		{"ANNOUNCE", announce, Response{Version: 2, Opcode: Announce}, true},
		{"MAP", learn, Response{Version: 2, Opcode: Map, Mapping: Learn(nonce)}, true},
		{"another opcode", announce, Response{Version: 2, Opcode: Map}, false},
		{"opcode of nobody", learn, Response{Version: 2, Opcode: 7}, false},
		{"another nonce", learn, Response{Version: 2, Opcode: Map, Mapping: other}, false},
		{"another protocol", learn, Response{Version: 2, Opcode: Map, Mapping: Mapping{nonce, 6, 9}}, false},
		{"another port", learn, Response{Version: 2, Opcode: Map, Mapping: Mapping{nonce, 17, 10}}, false},
		{"NAT-PMP, whatever its opcode", learn, Response{Version: 0, Result: UnsuppVersion}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.r.AnsweredBy(tt.p); (err == nil) != tt.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Announce.String(), "ANNOUNCE"}, {Map.String(), "MAP"}, {Opcode(2).String(), "opcode 2"},
		{Success.String(), "SUCCESS"}, {MalformedOption.String(), "MALFORMED_OPTION"}, {NoResources.String(), "NO_RESOURCES"},
		{UserExQuota.String(), "USER_EX_QUOTA"}, {AddressMismatch.String(), "ADDRESS_MISMATCH"}, {Result(13).String(), "EXCESSIVE_REMOTE_PEERS"},
		{Result(200).String(), "result 200"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	// spec 6887-8: short lifetimes for 7, 8 and 10, long ones for all others.
	for r := Result(1); r < 20; r++ {
		if want := r == 7 || r == 8 || r == 10; r.Temporary() != want {
			t.Errorf("%s: temporary %v, want %v", r, r.Temporary(), want)
		}
	}
}
