package discover

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
)

const (
	wkp = "64:ff9b::/96"
	nsp = "2001:db8:64::/96"
)

var noServer netip.Addr

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// links is one link with these resolvers.
func links(servers ...netip.Addr) []Link {
	return []Link{{Index: eth0, Name: "eth0", DNS: servers}}
}

func TestPrefixFromRAAtOnce(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links())
		l.until(0)
		if v := l.verdict(pref64.RA, eth0, noServer); v.Verdict != Pending {
			t.Errorf("before: %+v", v)
		}
		l.until(time.Second)
		l.advertise(eth0, router1, withPrefix(wkp, 1800*time.Second))
		c := l.d.Report().Candidates[0]
		c.Reason = ""
		if c != (pref64.Candidate{Prefix: nat64.WellKnown(), Source: pref64.RA, Link: eth0, Server: router1.WithZone("eth0"),
			Until: time.Now().Add(1800 * time.Second), Trust: pref64.LinkTrusted}) {
			t.Errorf("candidate %+v", c)
		}
		v := l.verdict(pref64.RA, eth0, noServer)
		if v.Verdict != Found || v.Took != time.Second || !strings.Contains(v.Reason, "fe80::1%eth0") {
			t.Errorf("after: %+v", v)
		}
		l.until(time.Minute)
		if n := len(l.solicited[eth0]); n != 1 {
			t.Errorf("%d solicitations, want 1: a router has answered", n)
		}
		l.until(1800 * time.Second)
		want(t, "prefixes when it may still live", l.prefixes(), []string{"ra " + wkp})
		l.until(1801 * time.Second)
		want(t, "prefixes after the lifetime", l.prefixes(), []string(nil))
	})
}

func TestNoRouter(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links())
		l.until(time.Minute)
		at := l.solicited[eth0]
		if len(at) != 3 || at[0] > 250*time.Millisecond || at[1]-at[0] != 4*time.Second || at[2]-at[1] != 4*time.Second {
			t.Errorf("solicited at %v, want three times, 4 s apart (R8781-13)", at)
		}
		v := l.verdict(pref64.RA, eth0, noServer)
		if v.Verdict != None || v.Took != 9*time.Second {
			t.Errorf("verdict %+v", v)
		}
		if v := l.verdict(pref64.DNS, eth0, noServer); v.Verdict != Skipped {
			t.Errorf("DNS without a server: %+v", v)
		}
	})
}

// TestSolicitBeforeAddress: right after link up the link-local address is still
// tentative and nothing can be sent.
func TestSolicitBeforeAddress(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.solicit = func(int) error {
			if l.since() < 1500*time.Millisecond {
				return errors.New("no link-local address")
			}
			return nil
		}
		l.d.SetLinks(1, links())
		l.until(time.Minute)
		at := l.solicited[eth0]
		if len(at) != 3 || at[2]-at[0] != 2*time.Second {
			t.Errorf("solicited at %v, want again after 1 s each", at)
		}
	})
}

func TestDNS64FoundAndRefreshed10sBeforeTTL(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, dns64(300, wkp, nsp))
		l.d.SetLinks(1, links(ns1))
		l.until(0)
		want(t, "prefixes", l.prefixes(), []string{"dns " + wkp, "dns " + nsp})
		c := l.d.Report().Candidates[1]
		if c.Trust != pref64.AfterProbe || c.Order != 1 || c.Server != ns1 || !c.Until.Equal(l.start.Add(300*time.Second)) {
			t.Errorf("candidate %+v", c)
		}
		if v := l.verdict(pref64.DNS, eth0, ns1); v.Verdict != Found || !v.Next.Equal(l.start.Add(290*time.Second)) {
			t.Errorf("verdict %+v", v)
		}
		l.until(289 * time.Second)
		want(t, "asked", l.asks(ns1), []time.Duration{0})
		l.serve(ns1, dns64(300, nsp))
		l.until(291 * time.Second)
		want(t, "asked", l.asks(ns1), []time.Duration{0, 290 * time.Second})
		want(t, "prefixes after the change", l.prefixes(), []string{"dns " + nsp})
		if !l.dialled["eth0"] || len(l.dialled) != 1 {
			t.Errorf("dialled over %v", l.dialled)
		}
	})
}

// TestTTLBounds: spec R7050-8.
func TestTTLBounds(t *testing.T) {
	for _, tt := range []struct {
		name        string
		ttl         uint32
		until, next time.Duration
	}{
		{"TTL 0 counts as 60 s", 0, 60 * time.Second, 50 * time.Second},
		{"TTL 1 is used for 10 s", 1, 10 * time.Second, 5 * time.Second},
		{"short TTL: half time", 16, 16 * time.Second, 8 * time.Second},
		{"a week counts as a day", 7 * 86400, 24 * time.Hour, 24*time.Hour - 10*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, Config{}, func(l *lab) {
				l.serve(ns1, dns64(tt.ttl, wkp))
				l.d.SetLinks(1, links(ns1))
				l.until(0)
				r := l.d.Report()
				if got := r.Candidates[0].Until.Sub(l.start); got != tt.until {
					t.Errorf("lives for %v, want %v", got, tt.until)
				}
				if got := l.verdict(pref64.DNS, eth0, ns1).Next.Sub(l.start); got != tt.next {
					t.Errorf("asked again after %v, want %v", got, tt.next)
				}
			})
		})
	}
}

func TestNoDNS64ObeysNegativeTTL(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer reply
		wait   time.Duration
	}{
		{"no data, SOA minimum 45 s", noDNS64(dns.RcodeSuccess, 3600, 45), 45 * time.Second},
		{"no data, SOA TTL is less", noDNS64(dns.RcodeSuccess, 30, 3600), 30 * time.Second},
		{"no such name", noDNS64(dns.RcodeNameError, 60, 60), time.Minute},
		{"an hour", noDNS64(dns.RcodeSuccess, 3600, 3600), time.Hour},
		{"at most 3 hours", noDNS64(dns.RcodeSuccess, 86400, 86400), 3 * time.Hour},
		{"no SOA", failing(dns.RcodeSuccess), 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, Config{}, func(l *lab) {
				l.serve(ns1, tt.answer)
				l.d.SetLinks(1, links(ns1))
				l.until(tt.wait - time.Millisecond)
				want(t, "asked before the TTL ends", l.asks(ns1), []time.Duration{0})
				v := l.verdict(pref64.DNS, eth0, ns1)
				if v.Verdict != None || !strings.Contains(v.Reason, "no DNS64") {
					t.Errorf("verdict %+v", v)
				}
				l.until(tt.wait)
				want(t, "asked after it", l.asks(ns1), []time.Duration{0, tt.wait})
				l.d.Refresh()
				l.until(tt.wait)
				if n := len(l.asks(ns1)); n != 3 {
					t.Errorf("asked %d times, want 3: refresh asks at once", n)
				}
			})
		})
	}
}

// TestShortNegativeTTLBacksOff: a TTL of 0 is no reason to ask every second.
func TestShortNegativeTTLBacksOff(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, noDNS64(dns.RcodeNameError, 0, 0))
		l.d.SetLinks(1, links(ns1))
		l.until(time.Hour)
		if n := len(l.asks(ns1)); n < 15 || n > 25 { // 1, 2, 5, 10, 20, 40, 80, 160, then 300 s
			t.Errorf("asked %d times in an hour", n)
		}
		l.serve(ns1, dns64(60, wkp))
		l.until(time.Hour + 6*time.Minute)
		want(t, "prefixes", l.prefixes(), []string{"dns " + wkp})
	})
}

// TestHostileAnswers: bounded, with a reason, and no prefix that nobody has.
func TestHostileAnswers(t *testing.T) {
	aaaa := func(owner, addr string) dns.RR {
		return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, 60), AAAA: netip.MustParseAddr(addr).AsSlice()}
	}
	var thousand []dns.RR
	for i := range 1000 {
		a := netip.MustParseAddr("2001:db8::c000:aa").As16()
		a[6], a[7] = byte(i>>8), byte(i)
		thousand = append(thousand, aaaa(name, netip.AddrFrom16(a).String()))
	}
	chaos := aaaa(name, "64:ff9b::c000:aa")
	chaos.Header().Class = dns.ClassCHAOS
	for what, tt := range map[string]struct {
		records  []dns.RR
		verdict  Verdict
		prefixes int
		reason   string
	}{
		"1000 prefixes":          {thousand, Found, pref64.MaxPrefixes, "DNS64"},
		"aliases in a circle":    {[]dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME, 9), Target: "a.test."}, &dns.CNAME{Hdr: header("a.test.", dns.TypeCNAME, 9), Target: name}}, Error, 0, "aliases do not end"},
		"the alias comes last":   {[]dns.RR{aaaa("a.test.", "64:ff9b::c000:aa"), &dns.CNAME{Hdr: header(name, dns.TypeCNAME, 9), Target: "a.test."}}, Found, 1, "TTL 9s"},
		"of another class":       {[]dns.RR{chaos}, None, 0, "no AAAA"},
		"of another name":        {[]dns.RR{aaaa("a.test.", "64:ff9b::c000:aa")}, None, 0, "no AAAA"},
		"an IPv4-mapped address": {[]dns.RR{aaaa(name, "::ffff:192.0.0.170")}, None, 0, "hijacked"},
		"of our own link":        {[]dns.RR{aaaa(name, "fe80::c000:aa")}, None, 0, "hijacked"},
		"it stands there twice":  {[]dns.RR{aaaa(name, "2001:db8:c000:aa::c000:aa")}, None, 0, "hijacked"},
		"twice, with a partner":  {[]dns.RR{aaaa(name, "2001:db8:c000:aa::c000:aa"), aaaa(name, "2001:db8:c000:aa::c000:ab")}, Found, 1, "DNS64"},
	} {
		a := judge(&dns.Msg{Answer: tt.records})
		if a.verdict != tt.verdict || len(a.prefixes) != tt.prefixes || !strings.Contains(a.reason, tt.reason) {
			t.Errorf("%s: %s, %d prefixes, %q", what, a.verdict, len(a.prefixes), a.reason)
		}
	}
}

// TestForeignAAAA: spec R7050-6, a hijacked name is no prefix.
func TestForeignAAAA(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, func(q *dns.Msg) *dns.Msg {
			m := answerTo(q)
			m.Answer = []dns.RR{&dns.AAAA{Hdr: header(name, dns.TypeAAAA, 60), AAAA: netip.MustParseAddr("2001:db8::1").AsSlice()}}
			return m
		})
		l.d.SetLinks(1, links(ns1))
		l.until(0)
		v := l.verdict(pref64.DNS, eth0, ns1)
		if v.Verdict != None || !strings.Contains(v.Reason, "2001:db8::1") || !strings.Contains(v.Reason, "hijacked") {
			t.Errorf("verdict %+v", v)
		}
	})
}

// TestOtherOwner: records of other names in the answer do not count; aliases do.
func TestOtherOwner(t *testing.T) {
	aaaa := func(owner, addr string) dns.RR {
		return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, 60), AAAA: netip.MustParseAddr(addr).AsSlice()}
	}
	m := &dns.Msg{Answer: []dns.RR{aaaa("example.com.", "64:ff9b::c000:aa")}}
	if a := judge(m); a.verdict != None {
		t.Errorf("record of another name: %+v", a)
	}
	m.Answer = []dns.RR{&dns.CNAME{Hdr: header("IPv4Only.ARPA.", dns.TypeCNAME, 20), Target: "dns64.example."}, aaaa("dns64.example.", "64:ff9b::c000:aa")}
	if a := judge(m); a.verdict != Found || a.lifetime != 20*time.Second {
		t.Errorf("alias: %+v", a)
	}
}

func TestServerSilentThenAnswersComesUpByItself(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links(ns1))
		l.until(6 * time.Second)
		if v := l.verdict(pref64.DNS, eth0, ns1); v.Verdict != Pending {
			t.Errorf("while it is asked: %+v", v)
		}
		l.until(7 * time.Second)
		v := l.verdict(pref64.DNS, eth0, ns1)
		if v.Verdict != Error || !strings.Contains(v.Reason, "timeout") || !strings.Contains(v.Reason, "2001:db8::53") {
			t.Errorf("silence is inconclusive, not 'no NAT64': %+v", v)
		}
		if next := v.Next.Sub(l.start); next < 7900*time.Millisecond || next > 8100*time.Millisecond {
			t.Errorf("asked again at %v, want after 1 s", next)
		}
		l.until(time.Minute)
		l.serve(ns1, dns64(300, wkp))
		l.until(2 * time.Minute)
		want(t, "prefixes", l.prefixes(), []string{"dns " + wkp})
	})
}

// TestRetryTimes: 1, 2, 5, 10 s, then doubling up to 300 s, a tenth more or less.
func TestRetryTimes(t *testing.T) {
	for i, secs := range []float64{1, 2, 5, 10, 20, 40, 80, 160, 300, 300, 300} {
		got := retryIn(i + 1).Seconds()
		if got < 0.9*secs || got > 1.1*secs {
			t.Errorf("after %d failures %v s, want about %v", i+1, got, secs)
		}
	}
	if got := retryIn(1_000_000_000); got > 330*time.Second {
		t.Errorf("after very many failures %v", got)
	}
}

// TestInconclusiveRefreshKeepsPrefix: spec R7050-8; a negative one ends it.
func TestInconclusiveRefreshKeepsPrefix(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, dns64(60, wkp))
		l.d.SetLinks(1, links(ns1))
		l.until(time.Second)
		l.serve(ns1, failing(dns.RcodeServerFailure))
		l.until(55 * time.Second)
		want(t, "prefixes while the refresh fails", l.prefixes(), []string{"dns " + wkp})
		v := l.verdict(pref64.DNS, eth0, ns1)
		if v.Verdict != Found || !strings.Contains(v.Reason, "SERVFAIL") {
			t.Errorf("while the refresh fails: %+v", v)
		}
		l.until(60 * time.Second)
		want(t, "prefixes after the TTL", l.prefixes(), []string(nil))
		if v := l.verdict(pref64.DNS, eth0, ns1); v.Verdict != Error {
			t.Errorf("after the TTL: %+v", v)
		}
	})
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, dns64(60, wkp))
		l.d.SetLinks(1, links(ns1))
		l.until(time.Second)
		l.serve(ns1, noDNS64(dns.RcodeSuccess, 60, 60))
		l.until(50 * time.Second)
		want(t, "prefixes after a negative refresh", l.prefixes(), []string(nil))
	})
}

func TestWithdrawnPrefixDisappearsDNSTakesOver(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, dns64(300, nsp))
		l.d.SetLinks(1, links(ns1))
		l.advertise(eth0, router1, withPrefix(wkp, 600*time.Second))
		l.advertise(eth0, router2, withPrefix(wkp, 600*time.Second))
		want(t, "prefixes", l.prefixes(), []string{"ra " + wkp, "ra " + wkp, "dns " + nsp})
		if got := l.d.Report().Candidates[0].Reason; !strings.Contains(got, "conflict: dns says "+nsp) {
			t.Errorf("reason %q does not tell of the conflict", got)
		}
		l.advertise(eth0, router1, withPrefix(wkp, 0))
		want(t, "prefixes after one router's withdrawal", l.prefixes(), []string{"ra " + wkp, "dns " + nsp})
		l.advertise(eth0, router2, withPrefix(wkp, 0))
		want(t, "prefixes after both", l.prefixes(), []string{"dns " + nsp})
		if v := l.verdict(pref64.RA, eth0, noServer); v.Verdict != None {
			t.Errorf("verdict %+v", v)
		}
	})
}

func TestRAWithoutOptionWithdrawsNothing(t *testing.T) {
	run(t, Config{}, func(l *lab) {
		l.d.SetLinks(1, links())
		l.advertise(eth0, router1, withPrefix(wkp, 600*time.Second))
		l.advertise(eth0, router1, ra.Advertisement{RouterLifetime: time.Hour})
		want(t, "prefixes", l.prefixes(), []string{"ra " + wkp})
	})
}
