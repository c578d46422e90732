package discover

import (
	"net/netip"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

func TestFromServer(t *testing.T) { // design section 6, rank 6; spec DA-13, 7050-2
	addrs := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	tests := map[string]struct {
		six, four []netip.Addr
		want      []string
	}{
		"the network's DNS64":       {addrs("2001:db8:64::c633:640a"), addrs("198.51.100.10"), []string{"2001:db8:64::/96"}},
		"DirectAccess":              {addrs("fd12:3456:789a:7777::c633:640a"), addrs("198.51.100.10"), []string{"fd12:3456:789a:7777::/96"}},
		"a prefix of 64 bits":       {addrs("2001:db8:122:344:c6:3364:a00:0"), addrs("198.51.100.10"), []string{"2001:db8:122:344::/64"}},
		"two addresses, one prefix": {addrs("2001:db8:64::c633:640a", "2001:db8:64::c633:640b"), addrs("198.51.100.10", "198.51.100.11"), []string{"2001:db8:64::/96"}},
		"a native address":          {addrs("2001:db8:5::10"), addrs("198.51.100.10"), nil},
		"no IPv4 known":             {addrs("2001:db8:64::c633:640a"), nil, nil},
		"IPv4 alone":                {nil, addrs("198.51.100.10"), nil},
		"it stands there twice":     {addrs("2001:db8:c633:640a::c633:640a"), addrs("198.51.100.10"), nil},
		"mapped is no NAT64":        {addrs("::ffff:198.51.100.10"), addrs("198.51.100.10"), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := FromServer("backup.example", tt.six, tt.four)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i, k := range got {
				if k.Prefix != nat64.MustParse(tt.want[i]) || k.Reason == "" {
					t.Errorf("got %+v, want %s", k, tt.want[i])
				}
			}
		})
	}
}

// What a server's address says counts only after a probe, and goes when it is no
// longer said.
func TestServerSourceIsACandidateAfterAProbe(t *testing.T) {
	d := New(Config{}, nil, nil, nil)
	e := newEngine(d)
	now := time.Unix(1000, 0)
	p := nat64.MustParse("2001:db8:64::/96")
	link := &linkState{Link: Link{Index: 3, Name: "eth0", Seen: []Known{{Prefix: p, Reason: "seen"}}}}
	e.links = []*linkState{link}
	e.seen(now, link)
	cs := e.set.List(now, 3)
	if len(cs) != 1 || cs[0].Prefix != p || cs[0].Source != pref64.Server || cs[0].Trust != pref64.AfterProbe {
		t.Fatalf("candidates %+v", cs)
	}
	if r := e.source(now, pref64.Server); len(r) != 1 || r[0].Verdict != Found || r[0].Link != 3 {
		t.Errorf("report %+v", r)
	}
	link.Seen = nil
	e.seen(now, link)
	if cs := e.set.List(now, 3); len(cs) != 0 {
		t.Errorf("candidates %+v after the address has gone", cs)
	}
	if r := e.source(now, pref64.Server); len(r) != 1 || r[0].Verdict != None {
		t.Errorf("report %+v", r)
	}
}
