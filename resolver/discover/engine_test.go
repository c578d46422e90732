package discover

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
)

func TestAsleep(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		wall, monotonic, want time.Duration
	}{
		{"awake", time.Hour, time.Hour, 0},
		{"asleep for an hour", time.Hour + time.Second, time.Second, time.Hour},
		{"asleep on a system whose clock counts it", time.Hour, time.Hour, 0},
		{"clock corrected", 6 * time.Second, time.Second, 0},
		{"clock set back", -time.Hour, time.Second, 0},
	} {
		if got := Asleep(tt.wall, tt.monotonic); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestResume: what ran out during sleep is gone, the rest has aged, and everything
// is asked again (spec R8781-9).
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		d := New(Config{}, l, l.dialer, nil)
		e := newEngine(d)
		now := time.Now()
		e.setLinks(now, wanted{1, links()})
		a := withPrefix(wkp, 600*time.Second)
		a.RDNSS = []ra.RDNSS{{Servers: []netip.Addr{ns1}, Lifetime: 600 * time.Second}}
		e.onRA(now, raMessage{msg: a.Marshal(), src: router1, link: eth0})
		e.onRA(now, raMessage{msg: withPrefix(nsp, 3000*time.Second).Marshal(), src: router2, link: eth0})
		e.resume(now, 1000*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		e.work(ctx, now.Add(time.Second))
		r := e.report(now.Add(time.Second))
		if len(r.Candidates) != 1 || r.Candidates[0].Prefix.String() != nsp || !r.Candidates[0].Until.Equal(now.Add(2000*time.Second)) {
			t.Errorf("candidates %+v", r.Candidates)
		}
		if len(r.Routers) != 2 || len(r.Routers[0].RDNSS) != 0 {
			t.Errorf("routers %+v, want both for their 1800 s, without a resolver", r.Routers)
		}
		if v := find(t, r, pref64.DNS, eth0, noServer); v.Verdict != Skipped {
			t.Errorf("DNS %+v", v)
		}
		<-e.solicited
		if n := len(l.solicited[eth0]); n != 1 {
			t.Errorf("%d solicitations after waking up, want 1", n)
		}
		cancel() // the routers are being asked by PCP
		e.workers.Wait()
		l.serving.Wait()
	})
}
