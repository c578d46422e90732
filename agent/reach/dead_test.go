package reach

import (
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

// play steps a machine through a network with two prefixes. answers tells through
// which of them the server answers.
type play struct {
	t       *testing.T
	m       *Machine
	now     time.Time
	answers map[nat64.Prefix]bool
	used    nat64.Prefix
	changes int
	out     Out
}

// run steps until the time has passed, as the agent would: at each wake-up, and at
// least every second.
func (p *play) run(d time.Duration) {
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(time.Second) {
		w := v6only().prefix(prefixA, pref64.RA).prefix(prefixB, pref64.DNS)
		if p.used != (nat64.Prefix{}) {
			w.up().probed(PathCLAT, p.answers[p.used])
		}
		p.out = p.m.Step(p.now, w.World)
		if got := p.out.Intent.CLAT.Prefix; got != p.used {
			p.used = got
			p.changes++
		}
		if !p.out.Wake.IsZero() && !p.out.Wake.After(p.now) {
			p.t.Fatalf("wake-up at %v lies in the past", p.out.Wake)
		}
	}
}

func TestAnotherNAT64TakesOver(t *testing.T) {
	p := &play{t: t, m: New(Settings{}), now: time.Unix(1000, 0), answers: map[nat64.Prefix]bool{prefixA: true, prefixB: true}}
	p.run(10 * time.Second)
	if p.used != prefixA || p.changes != 1 {
		t.Fatalf("%v after %d changes", p.used, p.changes)
	}
	p.answers[prefixA] = false
	p.run(2 * time.Second)
	if p.used != prefixA {
		t.Fatal("one failed probe was enough")
	}
	p.run(4 * time.Second)
	if p.used != prefixB {
		t.Fatalf("%v is still used (%s)", p.used, p.out.Reason)
	}
	p.run(5 * time.Second)
	if p.out.Path != PathCLAT || p.out.Reason != ReasonCLATUp || p.out.Detail == "" {
		t.Errorf("%+v", p.out)
	}
	// The old one answers again, and is left alone as long as the other works.
	p.answers[prefixA] = true
	p.run(time.Hour)
	if p.used != prefixB || p.changes != 2 {
		t.Errorf("%v after %d changes", p.used, p.changes)
	}
	// The other one dies; the old one is tried again.
	p.answers[prefixB] = false
	p.run(10 * time.Second)
	if p.used != prefixA || p.out.Reason != ReasonCLATUp {
		t.Errorf("%v, %s", p.used, p.out.Reason)
	}
}

// A server that is down makes every NAT64 look dead: that must not flap.
func TestServerThatIsDownDoesNotFlap(t *testing.T) {
	p := &play{t: t, m: New(Settings{}), now: time.Unix(1000, 0), answers: map[nat64.Prefix]bool{}}
	p.run(time.Hour)
	if p.changes > 12 {
		t.Errorf("%d changes in an hour", p.changes)
	}
	if p.out.Path != PathCLAT || p.out.Reason != ReasonServerSilent {
		t.Errorf("%+v", p.out)
	}
	p.run(5 * time.Hour)
	if p.changes > 12+5*4 {
		t.Errorf("%d changes in six hours", p.changes)
	}
}

// With one prefix alone there is nothing to change to.
func TestTheOnlyNAT64StaysInUse(t *testing.T) {
	m, now := New(Settings{}), time.Unix(1000, 0)
	for i := range 100 {
		w := v6only().prefix(prefixA, pref64.RA)
		if i > 0 {
			w.up().probed(PathCLAT, false)
		}
		if out := m.Step(now.Add(time.Duration(i)*time.Second), w.World); out.Intent.CLAT.Prefix != prefixA {
			t.Fatalf("step %d: %+v", i, out)
		}
	}
}
