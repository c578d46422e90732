package discover

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reach64/reach64/resolver/pcp"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
	"github.com/reach64/reach64/test/vnet"
)

// TestServerGoneForGood: after three failed refreshes its prefixes are cleared
// (PCP-12), and come back with it.
func TestServerGoneForGood(t *testing.T) {
	run(t, onlyPCP, func(l *lab) {
		l.tell(gateway, nsp)
		l.d.SetLinks(1, routed(router1))
		l.until(30 * time.Minute)
		l.at(gateway).server.Set(vnet.PCPSettings{Silent: true})
		l.until(time.Hour + 2*time.Minute)
		v := l.verdict(pref64.PCP, eth0, gateway)
		if v.Verdict != Found || !strings.Contains(v.Reason, "no PCP server answers") {
			t.Errorf("after one failed refresh: %+v", v)
		}
		l.until(time.Hour + 11*time.Minute)
		want(t, "prefixes after two", l.prefixes(), []string{"pcp " + nsp})
		l.until(time.Hour + 14*time.Minute)
		want(t, "prefixes after three", l.prefixes(), []string(nil))
		if v := l.verdict(pref64.PCP, eth0, gateway); v.Verdict != None {
			t.Errorf("after three: %+v", v)
		}
	})
}

// TestServerLosesState: RFC 6887 section 8.5, spec 6887-10.
func TestServerLosesState(t *testing.T) {
	run(t, onlyPCP, func(l *lab) {
		h := l.tell(gateway, nsp)
		l.d.SetLinks(1, routed(router1))
		l.until(30 * time.Minute)
		h.server.Restart(time.Now()) // and does not know its prefix at first
		h.server.Set(vnet.PCPSettings{})
		l.until(time.Hour)
		want(t, "prefixes", l.prefixes(), []string(nil))
		l.tell(gateway, wkp)
		l.until(time.Hour + 5*time.Second)
		want(t, "prefixes within 5 s", l.prefixes(), []string{"pcp " + wkp})
		want(t, "asked", len(l.asksPCP(gateway)), 3)
	})
	run(t, onlyPCP, func(l *lab) {
		h := l.tell(gateway, nsp)
		h.before = func([]byte) []byte { h.server.Restart(time.Now()); return nil }
		l.d.SetLinks(1, routed(router1))
		l.until(90 * time.Minute)
		if n := len(l.asksPCP(gateway)); n != 3 {
			t.Errorf("a server whose clock stands still was asked %d times, want 3", n)
		}
	})
	run(t, onlyPCP, func(l *lab) {
		h := l.tell(gateway, nsp)
		l.d.SetLinks(1, routed(router1))
		l.until(30 * time.Minute)
		h.server.Restart(time.Now())
		h.server.Set(vnet.PCPSettings{Result: 8, Lifetime: time.Minute})
		l.until(time.Hour)
		want(t, "prefixes of before the loss", l.prefixes(), []string(nil))
	})
}

func TestTemporaryErrorKeepsPrefix(t *testing.T) {
	run(t, onlyPCP, func(l *lab) {
		h := l.tell(gateway, nsp)
		l.d.SetLinks(1, routed(router1))
		l.until(time.Minute)
		h.server.Set(vnet.PCPSettings{Result: 8, Lifetime: 10 * time.Minute})
		l.until(time.Hour)
		if v := l.verdict(pref64.PCP, eth0, gateway); v.Verdict != Found || !strings.Contains(v.Reason, "NO_RESOURCES") {
			t.Errorf("verdict %+v", v)
		}
		l.until(2 * time.Hour)
		want(t, "prefixes after two hours", l.prefixes(), []string(nil))
		if v := l.verdict(pref64.PCP, eth0, gateway); v.Verdict != Error {
			t.Errorf("verdict %+v", v)
		}
	})
}

// TestListsOfIPv4: spec 7225-4; options with the same prefix count as one.
func TestListsOfIPv4(t *testing.T) {
	ten, home := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.0.0/16")
	with := func(prefix string, list ...netip.Prefix) vnet.PCPPrefix {
		return vnet.PCPPrefix{Prefix: netip.MustParsePrefix(prefix), IPv4: list}
	}
	for _, tt := range []struct {
		name string
		told []vnet.PCPPrefix
		want []string
	}{
		{"none", []vnet.PCPPrefix{with(nsp), with(wkp)}, []string{nsp + " for ", wkp + " for "}},
		{"each for its own", []vnet.PCPPrefix{with(nsp, ten), with(wkp, home)}, []string{nsp + " for 10.0.0.0/8", wkp + " for 192.168.0.0/16"}},
		{"one prefix in two options", []vnet.PCPPrefix{with(nsp, home), with(wkp), with(nsp, ten)}, []string{nsp + " for 10.0.0.0/8, 192.168.0.0/16", wkp + " for "}},
		{"the second without a list", []vnet.PCPPrefix{with(nsp, home), with(nsp)}, []string{nsp + " for "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, onlyPCP, func(l *lab) {
				l.at(gateway).server.Set(vnet.PCPSettings{Prefixes: tt.told})
				l.d.SetLinks(1, routed(router1))
				l.until(0)
				var got []string
				for _, c := range l.d.Report().Candidates {
					got = append(got, c.Prefix.String()+" for "+c.IPv4.String())
					if !c.IPv4.All() && !strings.Contains(c.Reason, c.IPv4.String()) {
						t.Errorf("reason %q does not say for what", c.Reason)
					}
				}
				want(t, "candidates", got, tt.want)
			})
		})
	}
}

// TestForgedPCP: what does not answer the question is skipped (spec 6887-7).
func TestForgedPCP(t *testing.T) {
	evil := func(opcode byte) []byte { // a response with 2001:db8:bad::/96
		return append([]byte{2, 0x80 | opcode, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 129, 0, 0, 14, 0, 12},
			0x20, 1, 0xd, 0xb8, 0xb, 0xad, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	for _, tt := range []struct {
		name   string
		before func(req []byte) []byte
	}{
		{"garbage", func([]byte) []byte { return []byte("hello") }},
		{"our own request", func(req []byte) []byte { return slices.Clone(req) }},
		{"another opcode", func([]byte) []byte { return evil(2) }},
		{"not whole words", func([]byte) []byte { return append(evil(0), 0) }},
		{"too long", func([]byte) []byte { return append(evil(0), make([]byte, 1100)...) }},
		{"an answer for another mapping", func(req []byte) []byte {
			if len(req) < 60 {
				return nil
			}
			e := evil(1)
			return append(append(slices.Clone(e[:24]), make([]byte, 36)...), e[24:]...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, onlyPCP, func(l *lab) {
				h := l.at(gateway)
				h.before = tt.before
				h.server.Set(vnet.PCPSettings{Prefixes: knows(nsp), NoAnnounce: true})
				l.d.SetLinks(1, routed(router1))
				l.until(0)
				want(t, "prefixes", l.prefixes(), []string{"pcp " + nsp})
			})
		})
	}
}

// TestSourceAddress: spec 6887-5.
func TestSourceAddress(t *testing.T) {
	run(t, onlyPCP, func(l *lab) {
		l.ula = true
		l.tell(gateway, nsp)
		l.d.SetLinks(1, routed(router1))
		l.until(0)
		if !l.sources[ownLocal.String()] || l.prefixes() == nil {
			t.Errorf("asked from %v, want the link-local address when there is no global one", l.sources)
		}
	})
	run(t, onlyPCP, func(l *lab) {
		l.at(pcp.Anycast6).trouble.Store(&pcpTrouble{dial: errors.New("network is unreachable")})
		l.tell(gateway, nsp)
		l.d.SetLinks(1, routed(router1))
		l.until(0)
		want(t, "prefixes", l.prefixes(), []string{"pcp " + nsp})
	})
}

// TestRoutersOfPCP: who is no default router any more is not asked.
func TestRoutersOfPCP(t *testing.T) {
	run(t, Config{Sources: []pref64.Source{pref64.PCP, pref64.RA}}, func(l *lab) {
		l.tell(gateway, nsp)
		l.tell(router2.WithZone("eth0"), wkp)
		l.d.SetLinks(1, links())
		l.until(0)
		l.advertise(eth0, router2, ra.Advertisement{RDNSS: []ra.RDNSS{{Servers: []netip.Addr{ns1}, Lifetime: time.Hour}}})
		want(t, "prefixes of one that is none", l.prefixes(), []string(nil))
		l.advertise(eth0, router1, ra.Advertisement{RouterLifetime: 100 * time.Second,
			RDNSS: []ra.RDNSS{{Servers: []netip.Addr{ns1}, Lifetime: time.Hour}}})
		want(t, "prefixes", l.prefixes(), []string{"pcp " + nsp})
		l.until(101 * time.Second)
		want(t, "prefixes when its lifetime has ended", l.prefixes(), []string(nil))
	})
}

func TestPCPOfNewEpochAndLink(t *testing.T) {
	run(t, onlyPCP, func(l *lab) {
		l.tell(gateway, nsp)
		l.d.SetLinks(1, routed(router1))
		l.until(10 * time.Second)
		l.at(gateway).server.Set(vnet.PCPSettings{Silent: true})
		l.d.SetLinks(2, routed(router1))
		l.until(11 * time.Second)
		want(t, "prefixes of the network before", l.prefixes(), []string(nil))
		want(t, "asked at once", l.asksPCP(gateway)[:2], []time.Duration{0, 10 * time.Second})
		l.tell(gateway, wkp)
		l.until(14 * time.Second)
		want(t, "prefixes", l.prefixes(), []string{"pcp " + wkp})
		l.d.SetLinks(2, nil)
		l.until(14 * time.Second)
		want(t, "prefixes without the link", l.prefixes(), []string(nil))
	})
}

func TestPCPDisabled(t *testing.T) {
	run(t, Config{Sources: []pref64.Source{pref64.RA}}, func(l *lab) {
		l.tell(gateway, nsp)
		l.d.SetLinks(1, routed(router1))
		l.advertise(eth0, router1, withPrefix(wkp, time.Hour))
		l.until(time.Minute)
		want(t, "prefixes", l.prefixes(), []string{"ra " + wkp})
		want(t, "asked", len(l.asksPCP(gateway)), 0)
	})
}

// TestPCPFlood: routers that come and go do not make us ask without end (SEC-5).
func TestPCPFlood(t *testing.T) {
	run(t, Config{Sources: []pref64.Source{pref64.PCP, pref64.RA}}, func(l *lab) {
		l.d.SetLinks(1, links())
		l.until(0)
		for i := range 90 {
			src := router1.As16()
			src[9] = byte(i) + 1
			l.advertise(eth0, netip.AddrFrom16(src), ra.Advertisement{RouterLifetime: time.Hour})
		}
		l.until(900 * time.Millisecond)
		l.mu.Lock()
		asked := 0
		for _, at := range l.asked {
			asked += len(at)
		}
		l.mu.Unlock()
		if asked > pcpBudget {
			t.Errorf("%d questions within a second, want at most %d", asked, pcpBudget)
		}
		l.until(3 * time.Second)
		if n := len(l.d.Report().Sources); n > 20 {
			t.Errorf("%d sources in the report", n)
		}
	})
}

// TestPCPAfterSleep: the prefix ages, and time asleep is no loss of state.
func TestPCPAfterSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.tell(gateway, nsp)
		e := newEngine(New(onlyPCP, nil, l.dialer, nil))
		ctx, cancel := context.WithCancel(t.Context())
		now := time.Now()
		e.setLinks(now, wanted{1, routed(router1)})
		e.work(ctx, now)
		e.onPCP(now, <-e.told)                                            // the anycast address is silent for longer
		h.server.Restart(l.start.Add(-1000*time.Second - 90*time.Minute)) // its clock went on
		e.resume(now, 90*time.Minute)
		if c := e.report(now).Candidates; len(c) != 1 || !c[0].Until.Equal(now.Add(30*time.Minute)) {
			t.Errorf("candidates %+v", c)
		}
		e.work(ctx, now)
		s := e.links[0].pcp[0]
		for r := (pcpResult{}); r.from != s; { // what was broken off may hand in its result, too
			r = <-e.told
			e.onPCP(now, r)
		}
		if s.again || !s.until.Equal(now.Add(2*time.Hour)) {
			t.Errorf("after waking up: %+v", s)
		}
		cancel()
		e.workers.Wait()
		l.serving.Wait()
	})
}

func TestOnceAsksPCP(t *testing.T) {
	once(t, time.Minute, func(l *lab) []Link {
		l.tell(gateway, nsp)
		return routed(router1)
	}, func(l *lab, r Report) {
		if len(r.Candidates) != 1 || r.Candidates[0].Source != pref64.PCP {
			t.Errorf("candidates %+v", r.Candidates)
		}
		if v := find(t, r, pref64.PCP, eth0, pcp.Anycast6); v.Verdict != None || l.since() != 5*time.Second {
			t.Errorf("after %v: %+v", l.since(), v)
		}
	})
}
