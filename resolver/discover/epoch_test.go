package discover

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
)

func TestNewEpochDropsOldDNSAnswers(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, dns64(3000, nsp))
		l.d.SetLinks(1, links(ns1))
		l.advertise(eth0, router1, withPrefix(wkp, 600*time.Second))
		l.until(10 * time.Second)
		l.serve(ns1, nil) // the new network's resolver is silent for now
		l.d.SetLinks(1, links(ns1))
		l.until(10 * time.Second)
		want(t, "asked", l.asks(ns1), []time.Duration{0})
		l.d.SetLinks(2, links(ns1))
		l.until(10 * time.Second)
		want(t, "asked at once", l.asks(ns1), []time.Duration{0, 10 * time.Second})
		want(t, "prefixes: the router's stays, the old answer is gone", l.prefixes(), []string{"ra " + wkp})
		if r := l.d.Report(); r.Epoch != 2 {
			t.Errorf("report of epoch %d", r.Epoch)
		}
		l.serve(ns1, dns64(300, wkp))
		l.until(12 * time.Second)
		want(t, "prefixes", l.prefixes(), []string{"ra " + wkp, "dns " + wkp})
	})
}

// TestLateAnswerOfOldEpoch: an answer on its way while the epoch rises is dropped.
func TestLateAnswerOfOldEpoch(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, func(q *dns.Msg) *dns.Msg {
			if l.since() == 0 {
				time.Sleep(500 * time.Millisecond)
				return dns64(300, nsp)(q)
			}
			return dns64(300, wkp)(q)
		})
		l.d.SetLinks(1, links(ns1))
		l.until(200 * time.Millisecond)
		l.d.SetLinks(2, links(ns1))
		l.until(2 * time.Second)
		want(t, "prefixes", l.prefixes(), []string{"dns " + wkp})
	})
}

func TestLinkGoneAndRenamed(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, dns64(300, nsp))
		both := append(links(ns1), Link{Index: wlan0, Name: "wlan0"})
		l.d.SetLinks(1, both)
		l.advertise(wlan0, router1, withPrefix(wkp, 600*time.Second))
		want(t, "prefixes", l.prefixes(), []string{"dns " + nsp, "ra " + wkp})
		l.d.SetLinks(1, both[:1])
		l.until(0)
		want(t, "prefixes without wlan0", l.prefixes(), []string{"dns " + nsp})
		l.d.SetLinks(1, both)
		l.until(0)
		want(t, "prefixes when wlan0 is back, maybe on another network", l.prefixes(), []string{"dns " + nsp})
		l.d.SetLinks(1, []Link{{Index: eth0, Name: "eth1"}})
		l.until(0)
		want(t, "prefixes when the index is another link's", l.prefixes(), []string(nil))
	})
}

// TestKnownToTheSystem: what it says counts as long as it says it, on that link.
func TestKnownToTheSystem(t *testing.T) {
	known := []Link{{Index: eth0, Name: "eth0"}, {Index: 9, Name: "iphttps", Known: []Known{{Prefix: nat64.MustParse(nsp), Reason: "by policy"}, {Prefix: nat64.WellKnown(), Reason: "by policy too"}}}}
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, known)
		l.until(0)
		c := l.d.Report().Candidates
		if len(c) != 2 || c[0].Link != 9 || c[0].Trust != pref64.Trusted || !c[0].Until.IsZero() || c[0].Prefix.String() != nsp || c[1].Order != 1 {
			t.Errorf("candidates %+v", c)
		}
		if v := l.verdict(pref64.OS, 9, noServer); v.Verdict != Found || v.Reason != "by policy" {
			t.Errorf("verdict %+v", v)
		}
		l.d.SetLinks(2, known)
		l.until(time.Hour)
		want(t, "prefixes in a new epoch", l.prefixes(), []string{"os " + nsp, "os " + wkp})
		l.d.SetLinks(2, []Link{{Index: 9, Name: "iphttps"}})
		l.until(time.Hour)
		want(t, "prefixes when the system says it no more", l.prefixes(), []string(nil))
		if v := l.verdict(pref64.OS, 0, noServer); v.Verdict != Skipped {
			t.Errorf("verdict %+v", v)
		}
		l.d.SetLinks(2, []Link{{Index: 9, Name: "renamed", Known: known[1].Known[:1]}})
		l.until(time.Hour)
		want(t, "prefixes of a link with another name", l.prefixes(), []string{"os " + nsp})
	})
	run(t, Config{Sources: []pref64.Source{pref64.DNS}}, func(l *lab) {
		l.d.SetLinks(1, known)
		l.until(0)
		want(t, "prefixes when the source is off", l.prefixes(), []string(nil))
	})
}

// TestAdvertisementBeforeLink: it may be faster than the news of its link.
func TestAdvertisementBeforeLink(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.advertise(eth0, router1, withPrefix(wkp, 600*time.Second))
		l.advertise(wlan0, router1, withPrefix(nsp, 600*time.Second))
		want(t, "prefixes of links that are not looked at", l.prefixes(), []string(nil))
		l.until(time.Second)
		l.d.SetLinks(1, links())
		l.until(2 * time.Second)
		want(t, "prefixes", l.prefixes(), []string{"ra " + wkp})
		if got := l.d.Report().Candidates[0].Until.Sub(l.start); got != 600*time.Second {
			t.Errorf("lives for %v, want the lifetime from its receipt", got)
		}
		if n := len(l.solicited[eth0]); n != 0 {
			t.Errorf("%d solicitations although a router has spoken", n)
		}
		l.until(12 * time.Second)
		l.d.SetLinks(1, []Link{{Index: wlan0, Name: "wlan0"}})
		l.until(12 * time.Second)
		want(t, "prefixes of an old advertisement", l.prefixes(), []string(nil))
	})
}

// TestResolversFromRA: RFC 8880, the link's own resolvers; a local stub is the
// last resort (spec R7050-10).
func TestResolversFromRA(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		linkLocal := netip.MustParseAddr("fe80::53")
		l.serve(stub, dns64(300, nsp))
		l.serve(ns1, dns64(300, wkp))
		l.serve(linkLocal.WithZone("eth0"), dns64(300, wkp))
		l.d.SetLinks(1, links(stub))
		l.until(time.Second)
		want(t, "prefixes from the stub", l.prefixes(), []string{"dns " + nsp})
		if v := l.verdict(pref64.DNS, eth0, stub); v.Verdict != Found || !strings.Contains(v.Reason, "local stub") {
			t.Errorf("verdict %+v", v)
		}
		l.advertise(eth0, router1, ra.Advertisement{RouterLifetime: time.Hour,
			RDNSS: []ra.RDNSS{{Servers: []netip.Addr{ns1, linkLocal}, Lifetime: 100 * time.Second}}})
		want(t, "prefixes from the router's resolvers", l.prefixes(), []string{"dns " + wkp, "dns " + wkp})
		if v := l.verdict(pref64.DNS, eth0, stub); v.Verdict != Skipped {
			t.Errorf("stub: %+v", v)
		}
		r := l.d.Report().Routers
		if len(r) != 1 || !slices.Equal(r[0].RDNSS, []netip.Addr{ns1, linkLocal.WithZone("eth0")}) || r[0].Addr != router1.WithZone("eth0") {
			t.Errorf("routers %+v", r)
		}
		l.until(102 * time.Second)
		want(t, "prefixes when the router's resolvers have run out", l.prefixes(), []string{"dns " + nsp})
	})
}

// TestResolversAskedSideBySide: one that is silent does not hold up the other.
func TestResolversAskedSideBySide(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns2, dns64(300, wkp))
		l.d.SetLinks(1, links(ns1, ns2, ns1))
		l.until(0)
		want(t, "prefixes", l.prefixes(), []string{"dns " + wkp})
		want(t, "asked twice over", len(l.asks(ns1)), 1)
	})
}

func TestRefreshWhileQuestionIsUnderWay(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links(ns1))
		l.until(500 * time.Millisecond)
		l.serve(ns1, dns64(300, wkp))
		l.d.Refresh()
		l.until(500 * time.Millisecond)
		want(t, "prefixes at once, not after the retransmission", l.prefixes(), []string{"dns " + wkp})
	})
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links(ns1))
		for i := range 30 { // whether a broken off question still hands in its result is up to chance
			l.until(time.Duration(i) * 10 * time.Millisecond)
			l.d.Refresh()
		}
		l.until(time.Second)
		if v := l.verdict(pref64.DNS, eth0, ns1); v.Verdict != Pending {
			t.Errorf("a question that was broken off counts as %+v", v)
		}
	})
}

func TestConfiguration(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	cfg := Config{Static: []nat64.Prefix{nat64.MustParse("2001:db8:1::/96"), nat64.MustParse("64:ff9b:1::/48")}, Allow: allow,
		Sources: []pref64.Source{pref64.Policy, pref64.RA}}
	run(t, cfg, func(l *lab) {
		l.serve(ns1, dns64(300, nsp))
		l.until(0)
		want(t, "prefixes without a link", l.prefixes(), []string{"policy 2001:db8:1::/96", "policy 64:ff9b:1::/48"})
		l.d.SetLinks(1, links(ns1))
		l.advertise(eth0, router1, withPrefix(wkp, time.Minute))
		want(t, "prefixes", l.prefixes(), []string{"policy 2001:db8:1::/96", "policy 64:ff9b:1::/48"})
		refused := l.d.Report().Refused
		if len(refused) != 1 || refused[0].Prefix != nat64.WellKnown() || !strings.Contains(refused[0].Reason, "refused") {
			t.Errorf("refused %+v", refused)
		}
		var got []string
		for _, s := range l.d.Report().Sources {
			got = append(got, s.Source.String()+" "+string(s.Verdict))
		}
		want(t, "sources", got, []string{"policy found", "os skipped", "pcp skipped", "ra found", "dns skipped", "server skipped"})
		if n := len(l.asks(ns1)); n != 0 {
			t.Errorf("DNS is disabled, yet asked %d times", n)
		}
	})
}

// TestHostileAdvertisements: what RFC 4861 tells to discard changes nothing, and a
// router that is none is believed less (spec SEC-4, R8781-10).
func TestHostileAdvertisements(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links())
		good := withPrefix(nsp, time.Minute).Marshal()
		for name, m := range map[string]raMessage{
			"global source":   {msg: good, src: ns1, link: eth0},
			"damaged":         {msg: append(slices.Clone(good), 38, 0), src: router1, link: eth0},
			"empty":           {src: router1, link: eth0},
			"read went wrong": {err: errors.New("receive router advertisement: out of buffers")},
		} {
			l.ras <- m
			synctest.Wait()
			if got := l.prefixes(); len(got) > 0 || len(l.d.Report().Routers) > 0 {
				t.Errorf("%s: %v", name, got)
			}
			l.until(l.since() + 2*time.Second) // the reader pauses after an error
		}
		rogue := withPrefix(nsp, time.Minute)
		rogue.RouterLifetime = 0
		l.advertise(eth0, router2, rogue)
		l.until(l.since() + time.Second)
		l.advertise(eth0, router1, withPrefix(wkp, time.Minute))
		want(t, "the default router goes first", l.prefixes(), []string{"ra " + wkp, "ra " + nsp})
		if got := l.d.Report().Candidates[1].Trust; got != pref64.AfterProbe {
			t.Errorf("trust %v", got)
		}
	})
}

// TestFlood: spec SEC-5. What is in use survives a flood of routers.
func TestFlood(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links())
		l.advertise(eth0, router1, withPrefix(wkp, time.Hour))
		for i := range 1000 {
			src := router1.As16()
			src[8], src[9] = byte(i>>8), byte(i)+1
			l.ras <- raMessage{msg: withPrefix(nsp, time.Hour).Marshal(), src: netip.AddrFrom16(src), link: eth0}
		}
		synctest.Wait()
		r := l.d.Report()
		if len(r.Routers) > pref64.MaxServers || len(r.Candidates) > pref64.MaxServers {
			t.Errorf("%d routers, %d candidates kept", len(r.Routers), len(r.Candidates))
		}
		if c := r.Candidates[0]; c.Prefix != nat64.WellKnown() || r.Routers[0].Addr != router1.WithZone("eth0") {
			t.Errorf("best is %+v", c)
		}
	})
}

func TestReadErrorIsShown(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links())
		l.ras <- raMessage{err: errors.New("open raw socket: not permitted")}
		synctest.Wait()
		if v := l.verdict(pref64.RA, eth0, noServer); v.Verdict != Error || !strings.Contains(v.Reason, "not permitted") {
			t.Errorf("verdict %+v", v)
		}
		l.advertise(eth0, router1, withPrefix(wkp, time.Minute)) // blocks until the reader tries again
		want(t, "prefixes after it reads again", l.prefixes(), []string{"ra " + wkp})
	})
}

// TestChangedOnlyOnNews: the same call again, or the same answer, is no news.
func TestChangedOnlyOnNews(t *testing.T) {
	run(t, Config{Sources: []pref64.Source{pref64.RA}}, func(l *lab) {
		l.d.SetLinks(1, links())
		l.advertise(eth0, router1, withPrefix(wkp, time.Hour))
		l.until(time.Minute)
		<-l.d.Changed()
		l.d.SetLinks(1, links())
		l.until(2 * time.Minute)
		select {
		case <-l.d.Changed():
			t.Error("news although nothing has changed")
		default:
		}
		l.advertise(eth0, router1, withPrefix(wkp, 0))
		select {
		case <-l.d.Changed():
		default:
			t.Error("no news of a withdrawal")
		}
	})
}
