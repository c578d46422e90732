package discover

import (
	"context"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
)

// once runs Once in a lab with synthetic time.
func once(t *testing.T, limit time.Duration, setup func(*lab) []Link, check func(*lab, Report)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		where := setup(l)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		check(l, Once(ctx, Config{}, where, l, l.dialer))
		l.serving.Wait()
	})
}

func TestOnceAllSources(t *testing.T) {
	var sending chan struct{}
	once(t, time.Minute, func(l *lab) []Link {
		l.serve(ns1, dns64(300, nsp))
		l.serve(ns2, noDNS64(dns.RcodeSuccess, 60, 60))
		sending = make(chan struct{})
		l.solicit = func(link int) error {
			if link != eth0 {
				return nil
			}
			go func() {
				defer close(sending)
				a := withPrefix(wkp, 1800*time.Second)
				a.RDNSS = []ra.RDNSS{{Servers: []netip.Addr{ns2}, Lifetime: time.Hour}}
				l.ras <- raMessage{msg: a.Marshal(), src: router1, link: eth0}
			}()
			return nil
		}
		return append(links(ns1), Link{Index: wlan0, Name: "wlan0"})
	}, func(l *lab, r Report) {
		<-sending
		var got []string
		for _, c := range r.Candidates {
			got = append(got, c.Source.String()+" "+c.Prefix.String())
		}
		want(t, "prefixes", got, []string{"ra " + wkp, "dns " + nsp})
		got = nil
		for _, s := range r.Sources {
			got = append(got, strings.TrimSpace(s.Source.String()+" "+string(s.Verdict)))
		}
		want(t, "verdicts", got, []string{"policy none", "os skipped", "pcp none", "pcp none", "pcp skipped", "ra found", "ra none", "dns none", "dns found", "dns skipped", "server skipped"})
		if took := l.since(); took != 5*time.Second {
			t.Errorf("took %v, want 5 s for the link without a router", took)
		}
	})
}

func TestOnceWithinDeadline(t *testing.T) {
	once(t, 3*time.Second, func(*lab) []Link { return links(ns1) }, func(l *lab, r Report) {
		if l.since() != 3*time.Second {
			t.Errorf("took %v", l.since())
		}
		for _, s := range []SourceReport{find(t, r, pref64.RA, eth0, noServer), find(t, r, pref64.DNS, eth0, ns1)} {
			if s.Verdict != Error || !strings.Contains(s.Reason, "time limit") {
				t.Errorf("%s: %+v", s.Source, s)
			}
		}
	})
}

func TestOnceSilentServerTakesSevenSeconds(t *testing.T) {
	once(t, time.Minute, func(*lab) []Link { return links(ns1) }, func(l *lab, r Report) {
		if s := find(t, r, pref64.DNS, eth0, ns1); s.Verdict != Error || l.since() != 7*time.Second {
			t.Errorf("after %v: %+v", l.since(), s)
		}
	})
}

func TestOnceWithoutLinks(t *testing.T) {
	r := Once(t.Context(), Config{Static: []nat64.Prefix{nat64.WellKnown()}}, nil, nil, func(string) dnsq.Dialer { return nil })
	if len(r.Candidates) != 1 || r.Candidates[0].Source != pref64.Policy {
		t.Errorf("got %+v", r)
	}
}

// given runs OnceGiven in a lab.
func given(t *testing.T, cfg Config, g Given, setup func(*lab), check func(Report)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		setup(l)
		check(OnceGiven(t.Context(), cfg, g, l.dialer))
		l.serving.Wait()
	})
}

func TestGivenRAAndDNS(t *testing.T) {
	// spec R8781-16
	msg, err := hex.DecodeString("8600b0894000070800000000000000000101020000000001" + "05010000000005dc030440c0000151800000384000000000" +
		"20010db8000100020000000000000000" + "190300000000070820010db8000100020000000000000053" + "260207080064ff9b0000000000000000")
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte(nil), msg[:16]...)
	servers := []netip.AddrPort{netip.AddrPortFrom(ns1, 53), netip.AddrPortFrom(ns2, 53)}
	g := Given{RA: [][]byte{msg, bad, append(bad, 38, 0)}, DNS: servers}
	given(t, Config{}, g, func(l *lab) { l.serve(ns1, dns64(300, nsp)) }, func(r Report) {
		var got []string
		for _, c := range r.Candidates {
			got = append(got, c.Source.String()+" "+c.Prefix.String())
		}
		want(t, "prefixes", got, []string{"ra " + wkp, "dns " + nsp})
		if left := time.Until(r.Candidates[0].Until); left != 1793*time.Second {
			t.Errorf("RA's prefix lives for %v, want 1800 s less the 7 s of the silent resolver", left)
		}
		got = nil
		for _, s := range r.Sources {
			got = append(got, s.Source.String()+" "+string(s.Verdict))
		}
		want(t, "verdicts", got, []string{"policy none", "os skipped", "pcp skipped", "ra found", "ra none", "ra error", "dns found", "dns error", "server skipped"})
	})
}

// TestGivenServersOfOneAddress: they differ in the port alone.
func TestGivenServersOfOneAddress(t *testing.T) {
	g := Given{DNS: []netip.AddrPort{netip.AddrPortFrom(ns1, 53), netip.AddrPortFrom(ns1, 5353)}}
	given(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("64:ff9b::/32")}}, g, func(l *lab) {
		l.serve(ns1, dns64(300, wkp))
		l.servers[g.DNS[1].String()] = dns64(300, nsp)
	}, func(r Report) {
		if len(r.Candidates) != 1 || r.Candidates[0].Prefix != nat64.WellKnown() || len(r.Refused) != 1 || r.Refused[0].Prefix != nat64.MustParse(nsp) {
			t.Errorf("candidates %+v, refused %+v", r.Candidates, r.Refused)
		}
	})
}

func TestGivenWithdrawal(t *testing.T) {
	g := Given{RA: [][]byte{withPrefix(wkp, time.Minute).Marshal(), withPrefix(wkp, 0).Marshal()}, Router: router1}
	given(t, Config{}, g, func(*lab) {}, func(r Report) {
		if len(r.Candidates) != 0 || find(t, r, pref64.RA, 0, router1).Verdict != Found || r.Sources[4].Verdict != None || !strings.Contains(r.Sources[4].Reason, "withdrawn") {
			t.Errorf("got %+v", r)
		}
	})
}

// TestOnceServersBesideTheOthers: the servers' addresses are asked for while the
// other sources are, and each question has a verdict of its own.
func TestOnceServersBesideTheOthers(t *testing.T) {
	four := netip.MustParseAddr("198.51.100.10")
	says := func(addr string) reply {
		return func(q *dns.Msg) *dns.Msg {
			m := answerTo(q)
			if q.Question[0].Qtype == dns.TypeAAAA && strings.HasPrefix(strings.ToLower(q.Question[0].Name), "backup.") {
				m.Answer = []dns.RR{&dns.AAAA{Hdr: header(q.Question[0].Name, dns.TypeAAAA, 60), AAAA: netip.MustParseAddr(addr).AsSlice()}}
			}
			return m
		}
	}
	tests := map[string]struct {
		server ServerName
		setup  func(*lab)
		want   []string // verdicts of the source
		prefix []string
	}{
		"by the link's resolver":     {ServerName{Name: "backup.test", IPv4: []netip.Addr{four}}, func(l *lab) { l.serve(ns1, says("2001:db8:64::c633:640a")) }, []string{"found eth0", "skipped wlan0"}, []string{"server " + nsp}},
		"by its own DNS server":      {ServerName{Name: "backup.test", IPv4: []netip.Addr{four}, DNS: []netip.Addr{ns2}}, func(l *lab) { l.serve(ns2, says("2001:db8:64::c633:640a")) }, []string{"found eth0"}, []string{"server " + nsp}},
		"an address of its own":      {ServerName{Name: "backup.test", IPv4: []netip.Addr{four}}, func(l *lab) { l.serve(ns1, says("2001:db8:5::1")) }, []string{"none eth0", "skipped wlan0"}, nil},
		"the resolver is silent":     {ServerName{Name: "backup.test", IPv4: []netip.Addr{four}}, func(*lab) {}, []string{"error eth0", "skipped wlan0"}, nil},
		"no IPv4 address is known":   {ServerName{Name: "backup.test"}, func(l *lab) { l.serve(ns1, says("2001:db8:64::c633:640a")) }, []string{"none eth0", "skipped wlan0"}, nil},
		"the name is another's name": {ServerName{Name: "other.test", IPv4: []netip.Addr{four}}, func(l *lab) { l.serve(ns1, says("2001:db8:64::c633:640a")) }, []string{"none eth0", "skipped wlan0"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				tt.setup(l)
				where := append(links(ns1), Link{Index: wlan0, Name: "wlan0"})
				r := Once(t.Context(), Config{Servers: []ServerName{tt.server}}, where, nil, l.dialer)
				var got []string
				for _, s := range r.Sources {
					if s.Source == pref64.Server {
						got = append(got, string(s.Verdict)+" "+map[int]string{eth0: "eth0", wlan0: "wlan0"}[s.Link])
					}
				}
				want(t, "verdicts", got, tt.want)
				got = nil
				for _, c := range r.Candidates {
					got = append(got, c.Source.String()+" "+c.Prefix.String())
				}
				want(t, "prefixes", got, tt.prefix)
				if took := l.since(); took > 7*time.Second {
					t.Errorf("took %v: the questions were not asked at once", took)
				}
				l.serving.Wait()
			})
		})
	}
}

// TestFirst waits for nobody once there is a prefix, and not long for what is not DNS.
func TestFirst(t *testing.T) {
	tests := map[string]struct {
		setup  func(*lab)
		prefix []string
		took   time.Duration
	}{
		"by DNS at once":          {func(l *lab) { l.serve(ns1, dns64(300, nsp, wkp)) }, []string{"dns " + nsp, "dns " + wkp}, 0},
		"no DNS64: routers a bit": {func(l *lab) { l.serve(ns1, noDNS64(dns.RcodeSuccess, 60, 60)) }, nil, time.Second},
		"silent DNS":              {func(*lab) {}, nil, 3 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				tt.setup(l)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				r := First(ctx, Config{}, links(ns1), l, l.dialer, time.Second)
				var got []string
				for _, c := range r.Candidates {
					got = append(got, c.Source.String()+" "+c.Prefix.String())
				}
				want(t, "prefixes", got, tt.prefix)
				if l.since() != tt.took {
					t.Errorf("took %v, want %v", l.since(), tt.took)
				}
				l.serving.Wait()
			})
		})
	}
}
