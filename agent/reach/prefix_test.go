package reach

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/reach64/reach64/resolver/pref64"
)

// only limits the last prefix to some destinations.
func (w *world) only(list ...string) *world {
	var ps []netip.Prefix
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	w.Prefixes[len(w.Prefixes)-1].IPv4 = pref64.ScopeOf(ps)
	return w
}

// TestLimitedPrefixes: a PCP server may say which destinations a prefix serves
// (spec 7225-4). The server is 198.51.100.10.
func TestLimitedPrefixes(t *testing.T) {
	const serving, foreign = "198.51.100.0/24", "10.0.0.0/8"
	tests := map[string]struct {
		w      *world
		all    bool
		want   string // prefix; empty: none
		class  Class
		reason Reason
	}{
		"serves the server":                  {v6only().prefix(prefixA, pref64.PCP).only(foreign, serving), false, prefixA.String(), ClassV6OnlyNAT64, ReasonCLATStarting},
		"does not":                           {v6only().prefix(prefixA, pref64.PCP).only(foreign), false, "", ClassV6OnlyNAT64, ReasonNoPrefix},
		"does not, but another source's":     {v6only().prefix(prefixA, pref64.PCP).only(foreign).prefix(prefixB, pref64.RA), false, prefixB.String(), ClassV6OnlyNAT64, ReasonCLATStarting},
		"the closest match of one answer":    {v6only().prefix(prefixA, pref64.PCP).prefix(prefixB, pref64.PCP).only(serving), false, prefixB.String(), ClassV6OnlyNAT64, ReasonCLATStarting},
		"not of another source's":            {v6only().prefix(prefixA, pref64.PCP).prefix(prefixB, pref64.RA).only(serving), false, prefixA.String(), ClassV6OnlyNAT64, ReasonCLATStarting},
		"closer still":                       {v6only().prefix(prefixA, pref64.PCP).only(serving).prefix(prefixB, pref64.PCP).only("198.51.100.10/32"), false, prefixB.String(), ClassV6OnlyNAT64, ReasonCLATStarting},
		"one of two servers only":            {v6only().and(Server{IPv4: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}).prefix(prefixA, pref64.PCP).only(serving), false, "", ClassV6OnlyNAT64, ReasonNoPrefix},
		"all of IPv4 is wanted":              {v6only().prefix(prefixA, pref64.PCP).only(serving), true, "", ClassV6OnlyNAT64, ReasonNoPrefix},
		"the server's address is not known":  {v6only().noServer4().prefix(prefixA, pref64.PCP).only(serving), false, "", ClassV6OnlyNAT64, ReasonNoServerIPv4},
		"does not, and others are asked yet": {v6only().searching().prefix(prefixA, pref64.PCP).only(foreign), false, "", ClassV6OnlyNAT64, ReasonSearching},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out := New(Settings{All: tt.all}).Step(t0, tt.w.World)
			if got := out.Intent.CLAT.Prefix.String(); got != tt.want || out.Class != tt.class || out.Reason != tt.reason {
				t.Errorf("got %q, %v, %q; want %q, %v, %q", got, out.Class, out.Reason, tt.want, tt.class, tt.reason)
			}
			if tt.reason == ReasonNoPrefix && !strings.Contains(out.Detail, "serves only") {
				t.Errorf("detail %q", out.Detail)
			}
		})
	}
}
