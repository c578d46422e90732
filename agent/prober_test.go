package agent

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/resolver/probe"
)

// scripted answers probes from a list, then repeats the last answer, and keeps
// the times at which it was asked.
type scripted struct {
	mu      sync.Mutex
	answers []bool
	asked   []time.Time
}

func (s *scripted) probe(_ context.Context, _ string, _ probe.Target) probe.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := s.answers[min(len(s.asked), len(s.answers)-1)]
	s.asked = append(s.asked, time.Now())
	return probe.Result{Reachable: ok, At: time.Now()}
}

func (s *scripted) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.asked...)
}

func one(path reach.Path) map[probeKey]probe.Target {
	return map[probeKey]probe.Target{{path: path, addr: netip.MustParseAddrPort("198.51.100.10:443")}: {}}
}

// startProber runs a prober in the test's bubble until the test ends.
func startProber(t *testing.T, s *scripted, interval time.Duration) *prober {
	t.Helper()
	p := newProber(s.probe, config.Probe{Interval: interval, Timeout: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return p
}

// near allows a tenth of jitter.
func near(got, want time.Duration) bool { return got >= want*9/10 && got <= want*11/10 }

func TestReachableServerIsProbedAtTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answers: []bool{true}}
		p := startProber(t, s, time.Minute)
		p.set(one(reach.PathCLAT))
		synctest.Wait()
		<-time.After(3 * time.Minute)
		at := s.times()
		if len(at) < 3 || !near(at[1].Sub(at[0]), time.Minute) || !near(at[2].Sub(at[1]), time.Minute) {
			t.Errorf("probed at %v", at)
		}
	})
}

func TestSilentServerIsAskedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answers: []bool{false, false, false, true}}
		p := startProber(t, s, time.Minute)
		p.set(one(reach.PathCLAT))
		<-time.After(30 * time.Second)
		at := s.times()
		if len(at) != 4 {
			t.Fatalf("%d probes in 30 s, want 4", len(at))
		}
		for i, want := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second} {
			if got := at[i+1].Sub(at[i]); !near(got, want) {
				t.Errorf("wait after failure %d = %v, want about %v", i+1, got, want)
			}
		}
		for _, r := range p.results() {
			if !r.Reachable {
				t.Error("the last result is not the one that is shown")
			}
		}
	})
}

func TestTargetThatLeavesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answers: []bool{true}}
		p := startProber(t, s, time.Minute)
		p.set(one(reach.PathCLAT))
		synctest.Wait()
		p.set(one(reach.PathNative))
		synctest.Wait()
		for k := range p.results() {
			if k.path != reach.PathNative {
				t.Errorf("result of a path that is gone: %v", k.path)
			}
		}
		if len(s.times()) != 2 {
			t.Errorf("%d probes, want one for each path", len(s.times()))
		}
	})
}

func TestTargetsSetBeforeTheStartAreProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answers: []bool{true}}
		p := newProber(s.probe, config.Probe{Interval: time.Minute, Timeout: time.Minute})
		p.set(one(reach.PathCLAT))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.run(ctx) }()
		synctest.Wait()
		if n := len(s.times()); n != 1 {
			t.Errorf("%d probes, want 1", n)
		}
		cancel()
		<-done
	})
}

func TestRefreshProbesNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answers: []bool{true}}
		p := startProber(t, s, time.Hour)
		p.set(one(reach.PathCLAT))
		synctest.Wait()
		p.refresh()
		synctest.Wait()
		if n := len(s.times()); n != 2 {
			t.Errorf("%d probes, want 2", n)
		}
	})
}

func TestNewsIsSignalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answers: []bool{true}}
		p := startProber(t, s, time.Hour)
		p.set(one(reach.PathCLAT))
		synctest.Wait()
		select {
		case <-p.changed:
		default:
			t.Error("no signal after the first result")
		}
	})
}
