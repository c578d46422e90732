package reach

import (
	"net/netip"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/pref64"
)

// A network is one of each class, settled: what the machine ends at in it, whatever
// was before.
type network struct {
	name   string
	make   func() *world
	class  Class
	path   Path
	reason Reason
	clat   bool
}

func networks() []network {
	return []network{
		{"offline", func() *world { return v6only().down() }, ClassOffline, PathNone, ReasonOffline, false},
		{"IPv4 only", func() *world { return v6only().native4().no6().over4(Answers) }, ClassV4Only, PathNative, ReasonNativeIPv4, false},
		{"dual stack", func() *world { return dual().over4(Answers) }, ClassDualStack, PathNative, ReasonNativeIPv4, false},
		{"dual stack whose IPv4 leads nowhere", func() *world { return dual().over4(Silent).probed(PathSynthesized, true) }, ClassBrokenIPv4, PathSynthesized, ReasonCLATStarting, true},
		{"server with IPv6", func() *world { return v6only().probed(PathNative, true) }, ClassV6OnlyNativeServer, PathNative, ReasonNativeServer, false},
		{"NAT64 and DNS64", func() *world { return v6only().prefix(prefixA, pref64.DNS).dns64() }, ClassV6OnlyNAT64DNS64, PathNone, ReasonCLATStarting, true},
		{"NAT64, the CLAT is up", func() *world { return v6only().prefix(prefixA, pref64.RA).up().probed(PathCLAT, true) }, ClassV6OnlyNAT64, PathCLAT, ReasonCLATUp, true},
		{"NAT64, the CLAT is up, the server silent", func() *world { return v6only().elsewhere().prefix(prefixA, pref64.RA).up().probed(PathCLAT, false) }, ClassV6OnlyNAT64, PathCLAT, ReasonServerSilent, true},
		{"DirectAccess", func() *world { return v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.OS, 7) }, ClassDirectAccess, PathNone, ReasonCLATStarting, true},
		{"DirectAccess, the relay is up", func() *world {
			return v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.OS, 7).relaying().probed(PathRelay, true)
		}, ClassDirectAccess, PathRelay, ReasonRelayUp, true},
		{"another NAT64", func() *world { return v6only().prefix(prefixB, pref64.RA) }, ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
		{"no NAT64", v6only, ClassV6OnlyNoNAT64, PathNone, ReasonNoPrefix, false},
		{"still asking", func() *world { return v6only().searching() }, ClassUnknown, PathNone, ReasonSearching, false},
		{"DNS answers with an error", func() *world { return v6only().unclear() }, ClassUnknown, PathNone, ReasonUnclear, false},
		{"DNS is silent and needed", func() *world { return v6only().deaf() }, ClassBrokenDNS, PathNone, ReasonBrokenDNS, false},
		{"DNS is silent, the server's address lost", func() *world { return v6only().prefix(prefixA, pref64.RA).deaf().lost() }, ClassBrokenDNS, PathNone, ReasonBrokenDNS, false},
		{"native IPv4, DNS is silent", func() *world { return v6only().native4().deaf().lost() }, ClassBrokenDNS, PathNone, ReasonBrokenDNS, false},
		{"neither DNS nor server answer", func() *world {
			return v6only().elsewhere().prefix(prefixA, pref64.RA).deaf().up().probed(PathCLAT, false)
		}, ClassBrokenIPv6, PathNone, ReasonBrokenIPv6, true},
		{"captive", func() *world { return v6only().captive() }, ClassCaptive, PathNone, ReasonCaptive, false},
		{"captive with IPv4", func() *world { return dual().over4(Silent).captive() }, ClassCaptive, PathNone, ReasonCaptive, false},
		{"IPv6-mostly", func() *world { return v6only().prefix(prefixA, pref64.DNS).dns64().mostly() }, ClassIPv6Mostly, PathNone, ReasonCLATStarting, true},
		{"another CLAT leads nowhere", func() *world { return v6only().prefix(prefixA, pref64.RA).foreign().over4(Silent) }, ClassBrokenCLAT, PathNone, ReasonBrokenCLAT, false},
		{"another CLAT", func() *world {
			return v6only().prefix(prefixA, pref64.RA).foreign().over4(Answers).probed(PathNative, true)
		}, ClassNativeCLAT, PathNative, ReasonForeignCLAT, false},
		{"no /64", func() *world { return v6only().prefix(prefixA, pref64.RA).only128() }, ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
		{"no /64, the relay is up", func() *world { return v6only().prefix(prefixA, pref64.RA).only128().relaying().probed(PathRelay, true) }, ClassV6OnlyNAT64, PathRelay, ReasonRelayUp, true},
	}
}

// settle steps through a network until nothing changes any more: what was found before
// belongs to the epoch before, and some verdicts take time.
func (n network) settle(m *Machine, from time.Time) (out Out, at time.Time) {
	for at = from; at.Before(from.Add(time.Minute)); at = at.Add(time.Second) {
		w := n.make()
		w.Epoch = m.epoch // discovery has caught up
		out = m.Step(at, w.World)
	}
	return out, at
}

// TestEveryChangeOfNetwork goes from each network to each other one, and back.
func TestEveryChangeOfNetwork(t *testing.T) {
	for _, from := range networks() {
		for _, to := range networks() {
			t.Run(from.name+", then "+to.name, func(t *testing.T) {
				m, at := New(Settings{}), t0
				epoch := uint64(0)
				for _, n := range []network{from, to, from} {
					var out Out
					out, at = n.settle(m, at)
					if out.Class != n.class || out.Path != n.path || out.Reason != n.reason || (out.Intent.CLAT != (CLAT{})) != n.clat {
						t.Errorf("%s: %v, %v, %q, CLAT %+v; want %v, %v, %q, %v", n.name, out.Class, out.Path, out.Reason, out.Intent.CLAT, n.class, n.path, n.reason, n.clat)
					}
					if out.Intent.Epoch < epoch {
						t.Errorf("%s: epoch %d after %d", n.name, out.Intent.Epoch, epoch)
					}
					epoch = out.Intent.Epoch
				}
			})
		}
	}
}

// random makes a world of bits.
func random(b uint16, c byte) *world {
	w := v6only()
	for i, do := range []func() *world{w.native4, w.down, w.dns64, w.searching, w.unclear, w.foreign, w.noServer4, w.tentative, w.deaf, w.captive, w.lost, w.wifi, w.wifi4,
		func() *world { return w.found(prefixA, pref64.RA, wlan) }, func() *world { return w.renumbered(false) }, w.mostly} {
		if b>>i&1 == 1 {
			do()
		}
	}
	switch c & 3 {
	case 1:
		w.prefix(prefixA, pref64.RA)
	case 2:
		w.prefix(prefixB, pref64.DNS)
	case 3:
		w.prefix(prefixB, pref64.RA).prefix(prefixA, pref64.Policy)
	}
	w.over4(Native4(c >> 2 & 3 % 3))
	if b>>15&1 == 1 {
		w.only128()
	}
	if c>>4&1 == 1 {
		w.up()
	}
	switch c >> 5 & 3 {
	case 1:
		w.probed(PathCLAT, c>>7 == 1)
	case 2:
		w.probed(PathSynthesized, c>>7 == 1)
	case 3:
		w.probed(PathNative, c>>7 == 1)
	}
	return w
}

// FuzzStep: whatever happens, and in whatever order, these hold.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 0, 0x11, 1, 0, 1, 0x31, 3, 1})
	f.Add([]byte{1, 0x09, 5, 0, 1, 0xc9, 5, 4, 1, 0x15, 5, 2})
	f.Add([]byte{0, 0x18, 40, 0x28, 0, 0x31, 40, 0x28, 0, 0x31, 40, 0x28, 0, 0xb1, 40, 0x28})
	f.Add([]byte{0x20, 0x09, 40, 0, 0x20, 0x49, 40, 0, 0x20, 0xd9, 40, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		m, now, epoch := New(Settings{All: len(script)%2 == 1, TakeOver: len(script)%3 == 0}), t0, uint64(0)
		for ; len(script) >= 4; script = script[4:] {
			now = now.Add(time.Duration(script[2]) * 100 * time.Millisecond)
			w := random(uint16(script[0])|uint16(script[3])<<8, script[1])
			if w.Epoch = m.epoch; script[2]%7 == 0 {
				w.Epoch = 0 // of before
			}
			m.Step(now, w.World) // a CLAT may begin here
			out := m.Step(now, w.World)
			if again := m.Step(now, w.World); w.Epoch == out.Intent.Epoch && again != out {
				t.Errorf("the same world at the same time: %+v, then %+v", out, again)
			}
			invariants(t, now, w.World, out)
			if out.Intent.Epoch < epoch {
				t.Errorf("epoch %d after %d", out.Intent.Epoch, epoch)
			}
			epoch = out.Intent.Epoch
		}
	})
}

func invariants(t *testing.T, now time.Time, w World, out Out) {
	t.Helper()
	clat := out.Intent.CLAT
	native := out.Class == ClassV4Only || out.Class == ClassDualStack
	captured := out.Class == ClassCaptive || out.Class == ClassBrokenIPv6
	switch {
	case native && (clat != (CLAT{}) || out.Path != PathNative):
		t.Errorf("native IPv4, yet %+v", out)
	case w.Foreign != "" && clat != (CLAT{}) && out.Class != ClassBrokenCLAT:
		t.Errorf("two CLATs: %+v", out)
	case captured && (out.Path != PathNone || w.AnyAnswer()):
		t.Errorf("no way out, yet a path: %+v", out)
	case (out.Path == PathCLAT || out.Path == PathRelay) && (clat == (CLAT{}) || !w.Own.Ready || out.Path != clat.Path()):
		t.Errorf("a path through no CLAT: %+v", out)
	case out.Reason.Sentence() == "":
		t.Errorf("no sentence for %q", out.Reason)
	case !out.Wake.IsZero() && !out.Wake.After(now):
		t.Errorf("wakes at %v, now is %v", out.Wake, now)
	case out.Class == ClassOffline && (out.Path != PathNone || clat != (CLAT{})):
		t.Errorf("offline, yet %+v", out)
	}
	if clat.Relay != (out.Note != "") {
		t.Errorf("note %q of %+v", out.Note, clat)
	}
	if clat == (CLAT{}) {
		return
	}
	found := false
	for _, c := range w.Prefixes {
		found = found || c.Prefix == clat.Prefix
	}
	if l, ok := w.Net.Link(clat.Uplink); !found || !ok || !l.Up || clat.Net64.IsValid() == clat.Relay || !netip.MustParsePrefix("192.0.0.0/29").Contains(clat.IPv4) {
		t.Errorf("a CLAT without prefix, link or addresses: %+v of %+v", clat, w.Net)
	}
}

// TestRoamingIsNoFlapping: a link that goes and comes back has its CLAT at once, as
// often as it does.
func TestRoamingIsNoFlapping(t *testing.T) {
	m, now := New(Settings{}), t0
	for range 20 {
		now = now.Add(time.Second)
		m.Step(now, v6only().down().World)
		now = now.Add(time.Second)
		w := v6only().prefix(prefixA, pref64.RA)
		if out := m.Step(now, w.World); out.Reason != ReasonCLATStarting {
			t.Fatalf("%v after the start: %+v", now.Sub(t0), out)
		}
	}
}
