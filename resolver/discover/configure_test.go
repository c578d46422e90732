package discover

import (
	"net/netip"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// Another configuration keeps what the sources that stay have said, and needs no new
// question for that.
func TestConfigure(t *testing.T) {
	const own = "2001:db8:77::/96"
	run(t, Config{}, func(l *lab) {
		l.serve(ns1, dns64(300, nsp))
		l.d.SetLinks(1, links(ns1))
		l.until(time.Second)
		l.advertise(eth0, router1, withPrefix(wkp, 1800*time.Second))
		want(t, "before", l.prefixes(), []string{"ra " + wkp, "dns " + nsp})
		then := func(what string, cfg Config, prefixes ...string) {
			t.Helper()
			l.d.Configure(cfg)
			l.until(l.since())
			want(t, what, l.prefixes(), prefixes)
		}
		then("a configured prefix", Config{Static: []nat64.Prefix{nat64.MustParse(own)}}, "policy "+own, "ra "+wkp, "dns "+nsp)
		then("it is gone again", Config{}, "ra "+wkp, "dns "+nsp)
		then("only some are allowed", Config{Allow: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}, "dns "+nsp)
		then("all are", Config{}, "ra "+wkp, "dns "+nsp)
		want(t, "asked", l.asks(ns1), []time.Duration{0})
		then("DNS alone", Config{Sources: []pref64.Source{pref64.DNS}}, "dns "+nsp)
		l.advertise(eth0, router1, withPrefix(wkp, 1800*time.Second))
		want(t, "an advertisement that nobody wants", l.prefixes(), []string{"dns " + nsp})
		then("router advertisements alone", Config{Sources: []pref64.Source{pref64.RA}})
		if v := l.verdict(pref64.RA, eth0, noServer); v.Verdict != Pending {
			t.Errorf("verdict %+v, want a new search", v)
		}
		l.until(10 * time.Second)
		if n := len(l.solicited[eth0]); n < 2 {
			t.Errorf("%d solicitations: routers are asked anew", n)
		}
		l.advertise(eth0, router1, withPrefix(wkp, 1800*time.Second))
		want(t, "and heard", l.prefixes(), []string{"ra " + wkp})
		then("all again", Config{}, "ra "+wkp, "dns "+nsp)
	})
}

// A reader is started for the first configuration that wants one.
func TestConfigureStartsTheReader(t *testing.T) {
	run(t, Config{Sources: []pref64.Source{}}, func(l *lab) {
		l.d.SetLinks(1, links())
		l.until(time.Second)
		l.d.Configure(Config{})
		l.until(2 * time.Second)
		l.advertise(eth0, router1, withPrefix(wkp, 1800*time.Second))
		want(t, "prefixes", l.prefixes(), []string{"ra " + wkp})
	})
}
