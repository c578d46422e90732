package reach

import (
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/pref64"
)

func (w *world) over4(n Native4) *world { w.Servers[0].Native4 = n; return w }

// dual is a network with both, and a NAT64 beside.
func dual() *world { return v6only().native4().prefix(prefixA, pref64.RA) }

// TestBrokenIPv4 is a day in a network whose IPv4 leads nowhere for a while.
func TestBrokenIPv4(t *testing.T) {
	m := New(Settings{})
	for _, step := range []struct {
		at     time.Duration
		what   string
		w      *world
		class  Class
		path   Path
		reason Reason
		clat   bool
		wake   time.Duration // 0: none
	}{
		{0, "nothing probed", dual(), ClassDualStack, PathNative, ReasonNativeIPv4, false, 0},
		{1, "no answer", dual().over4(Silent), ClassDualStack, PathNative, ReasonNativeIPv4, false, 4},
		{2, "an answer after all", dual().over4(Answers), ClassDualStack, PathNative, ReasonNativeIPv4, false, 0},
		{3, "no answer", dual().over4(Silent), ClassDualStack, PathNative, ReasonNativeIPv4, false, 6},
		{6, "for long enough, the NAT64 is not probed", dual().over4(Silent), ClassBrokenIPv4, PathNone, ReasonBrokenIPv4, false, 0},
		{7, "probes change over", dual().over4(NotProbed), ClassBrokenIPv4, PathNone, ReasonBrokenIPv4, false, 0},
		{8, "the NAT64 does not lead there either", dual().over4(Silent).probed(PathSynthesized, false), ClassBrokenIPv4, PathNone, ReasonBrokenIPv4, false, 0},
		{9, "but the server has IPv6", dual().over4(Silent).probed(PathNative, true), ClassBrokenIPv4, PathNative, ReasonNativeServer, false, 0},
		{10, "another CLAT is there", dual().over4(Silent).probed(PathSynthesized, true).foreign(), ClassBrokenIPv4, PathSynthesized, ReasonForeignCLAT, false, 0},
		{11, "it leads there", dual().over4(Silent).probed(PathSynthesized, true), ClassBrokenIPv4, PathSynthesized, ReasonCLATStarting, true, 0},
		{12, "the CLAT is up", dual().up().over4(Silent), ClassBrokenIPv4, PathCLAT, ReasonCLATUp, true, 0},
		{13, "and reaches it", dual().up().over4(Silent).probed(PathCLAT, true), ClassBrokenIPv4, PathCLAT, ReasonCLATUp, true, 0},
		{14, "native IPv4 is back", dual().up().over4(Answers).probed(PathCLAT, true), ClassDualStack, PathNative, ReasonNativeIPv4, false, 0},
	} {
		out := m.Step(t0.Add(step.at*time.Second), step.w.World)
		if out.Class != step.class || out.Path != step.path || out.Reason != step.reason || (out.Intent.CLAT != (CLAT{})) != step.clat {
			t.Errorf("%ds, %s: %v, %v, %q, CLAT %+v; want %v, %v, %q, %v", step.at, step.what, out.Class, out.Path, out.Reason, out.Intent.CLAT, step.class, step.path, step.reason, step.clat)
		}
		if wake := out.Wake.Sub(t0); step.wake > 0 && wake != step.wake*time.Second || step.wake == 0 && !out.Wake.IsZero() {
			t.Errorf("%ds, %s: wakes at %v, want %ds", step.at, step.what, out.Wake, step.wake)
		}
		if out.Reason == ReasonBrokenIPv4 && out.Detail != "eth0 has a default route, but no server answers since 2026-01-01T00:00:03Z" {
			t.Errorf("%ds, %s: detail %q", step.at, step.what, out.Detail)
		}
	}
}

func TestBrokenIPv4Verdicts(t *testing.T) {
	other := Server{IPv4: v6only().Servers[0].IPv4}
	answering := other
	answering.Native4 = Answers
	tests := map[string]struct {
		w      *world
		set    Settings
		class  Class
		reason Reason
	}{
		"no IPv6 at all":                          {v6only().native4().no6().over4(Silent), Settings{}, ClassBrokenIPv4, ReasonBrokenIPv4},
		"no NAT64":                                {v6only().native4().over4(Silent), Settings{}, ClassBrokenIPv4, ReasonBrokenIPv4},
		"another server answers":                  {dual().over4(Silent).and(answering), Settings{}, ClassDualStack, ReasonNativeIPv4},
		"another server is not probed yet":        {dual().over4(Silent).and(other), Settings{}, ClassDualStack, ReasonNativeIPv4},
		"another server has no address":           {dual().over4(Silent).and(Server{Lost: true}), Settings{}, ClassBrokenIPv4, ReasonBrokenIPv4},
		"switched off, the NAT64 would work":      {dual().over4(Silent).probed(PathSynthesized, true), Settings{Off: true}, ClassBrokenIPv4, ReasonOff},
		"no address, no route: nothing is broken": {v6only().prefix(prefixA, pref64.RA).over4(Silent), Settings{}, ClassV6OnlyNAT64, ReasonCLATStarting},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := New(tt.set)
			m.Step(t0, tt.w.World)
			out := m.Step(t0.Add(silence), tt.w.World)
			if out.Class != tt.class || out.Reason != tt.reason {
				t.Errorf("%v, %q; want %v, %q", out.Class, out.Reason, tt.class, tt.reason)
			}
		})
	}
}

// The native default route would win over that of the CLAT, so it gets the servers'.
func TestBrokenIPv4WithScopeAll(t *testing.T) {
	m := New(Settings{All: true})
	w := dual().over4(Silent).probed(PathSynthesized, true)
	m.Step(t0, w.World)
	if c := m.Step(t0.Add(silence), w.World).Intent.CLAT; c == (CLAT{}) || c.All {
		t.Errorf("CLAT %+v, want one for the servers alone", c)
	}
}

// TestTakeOver is a day beside somebody else's CLAT, without and with leave to take
// over the servers' addresses.
func TestTakeOver(t *testing.T) {
	beside := func() *world { return v6only().prefix(prefixA, pref64.RA).foreign() }
	for _, step := range []struct {
		at     time.Duration
		what   string
		w      *world
		class  Class
		path   Path
		reason Reason
		clat   bool // with leave
	}{
		{0, "nothing probed", beside(), ClassNativeCLAT, PathNone, ReasonForeignCLAT, false},
		{1, "it works", beside().over4(Answers).probed(PathNative, true), ClassNativeCLAT, PathNative, ReasonForeignCLAT, false},
		{2, "no answer", beside().over4(Silent).probed(PathNative, false), ClassNativeCLAT, PathNone, ReasonForeignCLAT, false},
		{5, "for long enough", beside().over4(Silent).probed(PathNative, false), ClassBrokenCLAT, PathNone, ReasonBrokenCLAT, false},
		{6, "the NAT64 does not lead there either", beside().over4(Silent).probed(PathSynthesized, false), ClassBrokenCLAT, PathNone, ReasonBrokenCLAT, false},
		{7, "the NAT64 leads there", beside().over4(Silent).probed(PathSynthesized, true), ClassBrokenCLAT, PathSynthesized, ReasonBrokenCLAT, true},
		{8, "it works again", beside().over4(Answers).probed(PathNative, true), ClassNativeCLAT, PathNative, ReasonForeignCLAT, false},
	} {
		t.Run(step.what, func(t *testing.T) {
			for _, leave := range []bool{false, true} {
				m := New(Settings{TakeOver: leave, All: true})
				if step.at >= 5 { // the silence before
					m.Step(t0.Add(2*time.Second), beside().over4(Silent).World)
				}
				out := m.Step(t0.Add(step.at*time.Second), step.w.World)
				want, reason := step.clat && leave, step.reason
				if want {
					reason = ReasonCLATStarting
				}
				if out.Class != step.class || out.Path != step.path || out.Reason != reason || (out.Intent.CLAT != (CLAT{})) != want {
					t.Errorf("leave %v: %v, %v, %q, CLAT %+v; want %v, %v, %q, %v", leave, out.Class, out.Path, out.Reason, out.Intent.CLAT, step.class, step.path, reason, want)
				}
				if out.Intent.CLAT.All {
					t.Error("takes the default route of another CLAT")
				}
			}
		})
	}
}

// TestTwoWitnesses: what is silent alone may be down by itself.
func TestTwoWitnesses(t *testing.T) {
	up := func() *world { return v6only().prefix(prefixA, pref64.RA).up() }
	tests := map[string]struct {
		w     *world
		class Class
		path  Path
	}{
		"DNS alone":                     {up().deaf().probed(PathCLAT, true), ClassV6OnlyNAT64, PathCLAT},
		"the server alone":              {up().probed(PathCLAT, false), ClassV6OnlyNAT64, PathCLAT},
		"nothing probed":                {up().deaf(), ClassV6OnlyNAT64, PathCLAT},
		"both":                          {up().deaf().probed(PathCLAT, false), ClassBrokenIPv6, PathNone},
		"both, but over native IPv6":    {up().deaf().probed(PathCLAT, false).and(Server{Probed: map[Path]bool{PathNative: true}}), ClassV6OnlyNAT64, PathCLAT},
		"captive, but a server answers": {up().captive().probed(PathCLAT, true), ClassV6OnlyNAT64, PathCLAT},
		"captive":                       {up().captive().probed(PathCLAT, false), ClassCaptive, PathNone},
		"DNS is silent, one name lost":  {up().deaf().probed(PathCLAT, true).and(Server{Lost: true}), ClassV6OnlyNAT64, PathCLAT},
	}
	for name, tt := range tests {
		m := New(Settings{})
		m.Step(t0, tt.w.World)
		out := m.Step(t0.Add(silence), tt.w.World)
		if out.Class != tt.class || out.Path != tt.path || out.Intent.CLAT == (CLAT{}) {
			t.Errorf("%s: %+v; want %v, %v and a CLAT", name, out, tt.class, tt.path)
		}
	}
}

// TestBrokenIPv4IsNotWaitedFor: hold-down is for IPv4 that works now and then.
func TestBrokenIPv4IsNotWaitedFor(t *testing.T) {
	m, now := New(Settings{}), t0
	for range burst + 2 {
		m.Step(now, v6only().prefix(prefixA, pref64.RA).World)
		now = now.Add(time.Second)
		m.Step(now, dual().over4(Answers).World)
		now = now.Add(time.Second)
	}
	m.Step(now, dual().over4(Silent).World)
	if out := m.Step(now.Add(silence), dual().over4(Silent).probed(PathSynthesized, true).World); out.Reason != ReasonCLATStarting {
		t.Errorf("%+v", out)
	}
}
