package discover

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pcp"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
	"github.com/reach64/reach64/test/vnet"
)

var gateway = router1.WithZone("eth0")

// onlyPCP leaves DNS and what routers say of prefixes out.
var onlyPCP = Config{Sources: []pref64.Source{pref64.PCP}}

// routed is one link with a default router that the system knows.
func routed(routers ...netip.Addr) []Link {
	return []Link{{Index: eth0, Name: "eth0", Routers: routers}}
}

func TestPrefixFromPCP(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		h := l.tell(gateway, nsp)
		l.d.SetLinks(1, links())
		l.until(time.Second)
		if v := l.verdict(pref64.PCP, eth0, noServer); v.Verdict != Pending {
			t.Errorf("before a router is known: %+v", v)
		}
		l.advertise(eth0, router1, ra.Advertisement{RouterLifetime: 9000 * time.Second})
		c := l.d.Report().Candidates[0]
		c.Reason = ""
		if c != (pref64.Candidate{Prefix: nat64.MustParse(nsp), Source: pref64.PCP, Link: eth0, Server: gateway,
			Until: time.Now().Add(2 * time.Hour), Trust: pref64.LinkTrusted}) {
			t.Errorf("candidate %+v", c)
		}
		if v := l.verdict(pref64.PCP, eth0, gateway); v.Verdict != Found || !strings.Contains(v.Reason, "fe80::1%eth0") || !v.Next.Equal(l.start.Add(time.Second+time.Hour)) {
			t.Errorf("verdict %+v", v)
		}
		if r := h.server.Requests(); len(r) != 1 || r[0].Opcode != 0 || r[0].From.Addr() != ownGlobal {
			t.Errorf("asked by %+v, want one ANNOUNCE from %v (6887-5)", r, ownGlobal)
		}
		if !l.dialled["eth0"] && len(l.dialled) > 0 {
			t.Errorf("dialled over %v", l.dialled)
		}
		l.tell(gateway, wkp)
		l.until(time.Hour)
		want(t, "prefixes before the refresh", l.prefixes(), []string{"pcp " + nsp})
		l.until(time.Hour + time.Second)
		want(t, "asked", l.asksPCP(gateway), []time.Duration{time.Second, time.Hour + time.Second})
		want(t, "prefixes after it: the new set replaces the old (7225-6)", l.prefixes(), []string{"pcp " + wkp})
	})
}

// TestPCPRanksAboveRA: spec RANK-1.
func TestPCPRanksAboveRA(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.tell(gateway, nsp)
		l.d.SetLinks(1, links())
		l.until(0)
		l.advertise(eth0, router1, withPrefix(wkp, time.Hour))
		want(t, "prefixes", l.prefixes(), []string{"pcp " + nsp, "ra " + wkp})
	})
}

// near allows for RAND, a tenth of each wait, which adds up: each wait builds on the
// one before.
func near(t *testing.T, what string, got []time.Duration, want ...float64) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = got[i].Seconds() >= 0.72*want[i] && got[i].Seconds() <= 1.38*want[i]
	}
	if !ok {
		t.Errorf("%s: %v, want about %v s", what, got, want)
	}
}

// TestSilentRouter: nominal send times 0, 3, 9 and 21 s (spec 6887-6, PCP-14), and
// nobody waits for them to end.
func TestSilentRouter(t *testing.T) {
	run(t, onlyPCP, func(l *lab) {
		h := l.at(gateway)
		l.d.SetLinks(1, routed(router1))
		l.until(3900 * time.Millisecond)
		if v := l.verdict(pref64.PCP, eth0, gateway); v.Verdict != Pending {
			t.Errorf("while two questions are out: %+v", v)
		}
		l.until(4 * time.Second)
		if v := l.verdict(pref64.PCP, eth0, gateway); v.Verdict != None {
			t.Errorf("after 4 s: %+v", v)
		}
		l.until(30 * time.Minute)
		near(t, "asked", l.asksPCP(gateway), 0, 3, 9, 21)
		v := l.verdict(pref64.PCP, eth0, gateway)
		if v.Verdict != None || !strings.Contains(v.Reason, "no PCP server answers") {
			t.Errorf("verdict %+v", v)
		}
		near(t, "gave up at", []time.Duration{v.At.Sub(l.start)}, 45)
		r := h.server.Requests()
		for i := range r {
			if !slices.Equal(r[0].Bytes, r[i].Bytes) {
				t.Errorf("transmission %d is %x, the first was %x", i+1, r[i].Bytes, r[0].Bytes)
			}
		}
		l.tell(gateway, nsp)
		l.until(2 * time.Hour)
		want(t, "prefixes after the next round", l.prefixes(), []string{"pcp " + nsp})
	})
}

// TestAnswerToARetransmission arrives while nobody counts on it any more.
func TestAnswerToARetransmission(t *testing.T) {
	run(t, onlyPCP, func(l *lab) {
		l.at(gateway)
		l.d.SetLinks(1, routed(router1))
		l.until(6 * time.Second)
		l.tell(gateway, nsp)
		l.until(11 * time.Second)
		want(t, "prefixes", l.prefixes(), []string{"pcp " + nsp})
	})
}

// TestServersSideBySide: each has a set of its own (PCP-12); those off the link
// are believed less (SECU-6).
func TestServersSideBySide(t *testing.T) {
	const third, fourth = "2001:db8:65::/96", "2001:db8:66::/96"
	home := netip.MustParseAddr("192.0.2.1")
	run(t, onlyPCP, func(l *lab) {
		l.tell(router2.WithZone("eth0"), wkp)
		l.tell(pcp.Anycast6, nsp)
		l.tell(home, third)
		l.tell(pcp.Anycast4, fourth)
		l.d.SetLinks(1, routed(router1, router2, home, router1))
		l.until(0)
		want(t, "prefixes", l.prefixes(), []string{"pcp " + wkp, "pcp " + nsp, "pcp " + third, "pcp " + fourth})
		for _, c := range l.d.Report().Candidates {
			if wantTrust := map[bool]pref64.Trust{true: pref64.LinkTrusted, false: pref64.AfterProbe}[c.Server.IsLinkLocalUnicast()]; c.Trust != wantTrust {
				t.Errorf("%v is %v, want %v", c.Server, c.Trust, wantTrust)
			}
		}
		want(t, "asked the one that is silent", l.asksPCP(gateway), []time.Duration{0})
		l.d.SetLinks(1, routed(router1))
		l.until(0)
		want(t, "prefixes when router and IPv4 are gone", l.prefixes(), []string{"pcp " + nsp})
	})
}

// TestWaysOfAsking: what a server does not like is asked otherwise.
func TestWaysOfAsking(t *testing.T) {
	for _, tt := range []struct {
		name string
		conf vnet.PCPSettings
		ops  []uint8
		size []int
	}{
		{"option of 16 bytes", vnet.PCPSettings{OptionLen: 16}, []uint8{0}, []int{44}},
		{"option of 14 bytes (7225-3)", vnet.PCPSettings{OptionLen: 14}, []uint8{0, 0}, []int{44, 44}},
		{"MAP alone (PCP-5)", vnet.PCPSettings{NoAnnounce: true}, []uint8{0, 1}, []int{44, 80}},
		{"both", vnet.PCPSettings{NoAnnounce: true, OptionLen: 14}, []uint8{0, 1, 1}, []int{44, 80, 80}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, onlyPCP, func(l *lab) {
				h := l.at(gateway)
				tt.conf.Prefixes = knows(nsp)
				h.server.Set(tt.conf)
				l.d.SetLinks(1, routed(router1))
				l.until(0)
				want(t, "prefixes", l.prefixes(), []string{"pcp " + nsp})
				var ops []uint8
				var size []int
				for _, r := range h.server.Requests() {
					ops, size = append(ops, r.Opcode), append(size, len(r.Bytes))
					if r.Opcode == 1 && r.Nonce == [12]byte{} {
						t.Error("MAP without a nonce")
					}
				}
				want(t, "opcodes", ops, tt.ops)
				want(t, "sizes", size, tt.size)
			})
		})
	}
}

// TestNoncesDiffer: 6887-12 wants another one for each server.
func TestNoncesDiffer(t *testing.T) {
	run(t, onlyPCP, func(l *lab) {
		a, b := l.at(gateway), l.at(pcp.Anycast6)
		for _, h := range []*pcpHost{a, b} {
			h.server.Set(vnet.PCPSettings{NoAnnounce: true})
		}
		l.d.SetLinks(1, routed(router1))
		l.until(0)
		if x, y := a.server.Requests()[1].Nonce, b.server.Requests()[1].Nonce; x == y {
			t.Errorf("both servers saw the nonce %x", x)
		}
	})
}

// TestRefusals: spec PCP-16, 6887-8.
func TestRefusals(t *testing.T) {
	never := time.Duration(-1)
	for _, tt := range []struct {
		name    string
		conf    vnet.PCPSettings
		verdict Verdict
		reason  string
		again   time.Duration
	}{
		{"no prefix", vnet.PCPSettings{}, None, "knows no NAT64 prefix", time.Hour},
		{"not authorized, for an hour: half of it is believed", vnet.PCPSettings{Result: 2, Lifetime: time.Hour}, None, "NOT_AUTHORIZED", 30 * time.Minute},
		{"no resources, for a second: 30 s", vnet.PCPSettings{Result: 8, Lifetime: time.Second}, Error, "NO_RESOURCES", 30 * time.Second},
		{"network failure", vnet.PCPSettings{Result: 7, Lifetime: time.Minute}, Error, "NETWORK_FAILURE", time.Minute},
		{"option not supported", vnet.PCPSettings{Result: 5, Lifetime: 30 * time.Minute}, None, "UNSUPP_OPTION", 30 * time.Minute},
		{"option malformed whatever its length", vnet.PCPSettings{Result: 6, Lifetime: time.Minute}, None, "MALFORMED_OPTION", time.Minute},
		{"opcode not supported, MAP neither", vnet.PCPSettings{Result: 4, Lifetime: time.Minute}, None, "UNSUPP_OPCODE", time.Minute},
		{"another version", vnet.PCPSettings{Result: 1, Lifetime: 30 * time.Minute}, None, "UNSUPP_VERSION", 30 * time.Minute},
		{"code of nobody", vnet.PCPSettings{Result: 99, Lifetime: time.Minute}, None, "result 99", time.Minute},
		{"address translated on the way", vnet.PCPSettings{Result: 12, Lifetime: time.Minute}, None, "ADDRESS_MISMATCH", never},
		{"NAT-PMP", vnet.PCPSettings{NATPMP: true}, None, "NAT-PMP", never},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, onlyPCP, func(l *lab) {
				h := l.at(gateway)
				h.server.Set(tt.conf)
				l.d.SetLinks(1, routed(router1))
				l.until(0)
				v := l.verdict(pref64.PCP, eth0, gateway)
				if v.Verdict != tt.verdict || !strings.Contains(v.Reason, tt.reason) {
					t.Errorf("verdict %+v", v)
				}
				first := len(l.asksPCP(gateway))
				if tt.again == never {
					l.until(24 * time.Hour)
					want(t, "asked in a day", len(l.asksPCP(gateway)), first)
					l.tell(gateway, nsp)
					l.d.Refresh()
					l.until(24 * time.Hour)
					want(t, "prefixes after a refresh", l.prefixes(), []string{"pcp " + nsp})
					return
				}
				l.until(tt.again - time.Millisecond)
				want(t, "asked before the time", len(l.asksPCP(gateway)), first)
				l.tell(gateway, nsp)
				l.until(tt.again)
				want(t, "prefixes after it", l.prefixes(), []string{"pcp " + nsp})
			})
		})
	}
}

func TestNoPCPServer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trouble pcpTrouble
		verdict Verdict
		reason  string
		again   time.Duration
	}{
		{"port closed", pcpTrouble{read: errClosedPort}, None, "closed", time.Hour},
		{"no address yet: asked again soon", pcpTrouble{dial: errors.New("cannot assign requested address")}, None, "cannot assign", 1100 * time.Millisecond},
		{"not permitted", pcpTrouble{dial: fs.ErrPermission}, Skipped, "permission", 1100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, onlyPCP, func(l *lab) {
				l.at(gateway).trouble.Store(&tt.trouble)
				l.d.SetLinks(1, routed(router1))
				l.until(0)
				if v := l.verdict(pref64.PCP, eth0, gateway); v.Verdict != tt.verdict || !strings.Contains(v.Reason, tt.reason) || v.Next.Sub(l.start) > tt.again {
					t.Errorf("verdict %+v", v)
				}
				l.tell(gateway, nsp).trouble.Store(nil)
				l.until(tt.again)
				want(t, "prefixes", l.prefixes(), []string{"pcp " + nsp})
			})
		})
	}
}
