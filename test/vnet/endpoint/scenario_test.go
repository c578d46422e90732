package endpoint

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/scenario"
	"github.com/reach64/reach64/test/vnet"
)

// play is how a scenario is played. The zero value is the base network with nothing
// done to it.
type play struct {
	net     vnet.Options // of eth0's network; servers and IPv4 are added
	nowhere bool         // it leads to no server
	more    []Access
	servers string // tables of the configuration; "": the server by its address
	conf    string // the rest of the configuration beside probe
	read    config.ReadFile
	quiet   bool // nobody listens at the server's address: before sees to that

	before func(*game) // before reach64 starts
	// enter makes the situation out of from, and leave goes back to it.
	from         string // scenario; "": base, where there is enter
	enter, leave func(*game)
	also         func(status.Status) error // what else has to hold, nil nothing
	after        func(*game)               // once all that is wanted is there
	dead         bool                      // the service is not alive at the end
}

// base is the scenario that most others begin with.
const base = "IPv6 only with NAT64 and DNS64"

// plays are all that there are, by the name of their scenario.
var plays = join(networkPlays, directAccessPlays, changePlays, lifecyclePlays, faultPlays)

func join(maps ...map[string]play) map[string]play {
	all := map[string]play{}
	for _, m := range maps {
		for name, p := range m {
			if _, there := all[name]; there {
				panic("two plays of " + name)
			}
			all[name] = p
		}
	}
	return all
}

func TestEveryScenarioIsPlayed(t *testing.T) {
	for _, s := range scenario.List {
		if _, ok := plays[s.Name]; ok == (s.NoMemory != "") {
			t.Errorf("%s: played %v, reason not to %q", s.Name, ok, s.NoMemory)
		}
	}
	for name := range plays {
		if _, ok := scenario.Named(name); !ok {
			t.Errorf("%q is not on the list of package scenario", name)
		}
	}
}

func TestScenarios(t *testing.T) {
	for _, s := range scenario.List {
		p, ok := plays[s.Name]
		if !ok {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			perform(t, s, p)
		})
	}
}

// game is a scenario while it is played.
type game struct {
	*testing.T
	w     *World
	p     play
	s     *Service
	state string // folder
}

const probing = "[probe]\ninterval = \"10s\"\ntimeout = \"1s\"\n"

// byAddress is the server that all know by its address, and byName by its name.
const (
	byAddress = "[[server]]\nname = \"" + scenario.Server + "\"\nport = 8443\ntls = false\n"
	byName    = "[[server]]\nname = \"" + scenario.ServerName + "\"\nport = 8443\ntls = false\n"
)

func (g *game) conf() string {
	servers := g.p.servers
	if servers == "" {
		servers = byAddress
	}
	text := g.p.conf
	if !strings.Contains(text, "[probe]\n") {
		text += probing
	}
	return servers + text
}

// start starts the service. It is stopped when the test ends, unless that is done.
func (g *game) start() {
	g.Helper()
	read := g.p.read
	if read == nil {
		read = func(name string) ([]byte, error) { return nil, fmt.Errorf("open %s: there are no files here", name) }
	}
	s, err := g.w.StartWith(g.conf(), read, g.state, newLog(g.T))
	if err != nil {
		g.Fatal(err)
	}
	g.s = s
}

func (g *game) stop() {
	g.Helper()
	s := g.s
	if g.s = nil; s != nil {
		g.must(s.Stop())
	}
}

func (g *game) must(errs ...error) {
	g.Helper()
	for _, err := range errs {
		if err != nil {
			g.Fatal(err)
		}
	}
}

// perform plays p and wants what s says.
func perform(t *testing.T, s scenario.Scenario, p play) {
	g := build(t, p)
	if p.before != nil {
		p.before(g)
	}
	g.settle()
	before := state(g.w.Host)
	g.start()
	defer g.stop()
	from := orBase(p.from)
	if p.enter != nil {
		g.wait(from, athome(from))
		p.enter(g)
	}
	g.wait(s, g.p.also)
	g.client(s.Want.Reaches)
	if p.after != nil {
		p.after(g)
	}
	if p.leave != nil {
		p.leave(g)
		g.wait(from, athome(from))
		g.client(from.Want.Reaches)
	}
	if g.s != nil || p.dead {
		g.stop()
		g.unchanged(before, p.enter == nil || p.leave != nil)
	}
}

func orBase(name string) scenario.Scenario {
	if name == "" {
		name = base
	}
	s, ok := scenario.Named(name)
	if !ok {
		panic("no scenario " + name)
	}
	return s
}

// athome is what else has to hold in the base network, so that a document from before
// a change back to it does not count.
func athome(s scenario.Scenario) func(status.Status) error {
	if s.Name != base {
		return nil
	}
	return func(st status.Status) error {
		return want("the CLAT on eth0 alone, with its whole MTU", st.CLAT.Uplink == "eth0" && st.CLAT.MTU == 1480 && len(st.Uplinks) == 1)
	}
}

// build makes the world of a play.
func build(t *testing.T, p play) *game {
	t.Helper()
	p.net = withDefaults(p.net)
	more := slices.Clone(p.more)
	for i := range more {
		more[i].Options = withDefaults(more[i].Options)
	}
	w, err := NewWorldOf(Access{Options: p.net, Nowhere: p.nowhere}, more...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Secret = []byte("of this machine")
	if !p.quiet {
		w.echoServer(t)
	}
	return &game{T: t, w: w, p: p, state: t.TempDir()}
}

// withDefaults gives a network the lab's prefix, names and short lives of answers.
func withDefaults(o vnet.Options) vnet.Options {
	if !o.Prefix.IsValid() {
		o.Prefix = nat64.MustParse(scenario.Prefix)
	}
	if !o.Addr4.IsValid() {
		o.Addr4 = netip.MustParsePrefix("192.0.2.1/24")
	}
	if o.Zone == nil {
		o.Zone = map[string][]netip.Addr{scenario.ServerName: {ServerAddr.Addr()}}
	}
	o.NegativeTTL, o.TTL = time.Second, 10*time.Second
	return o
}

// settle waits for the host's own addresses, which belong to the state before.
func (g *game) settle() {
	g.Helper()
	limit := time.After(patience)
	for g.unsettled() {
		select {
		case <-g.w.Host.Changed():
		case <-limit:
			g.Fatalf("the host has no addresses:\n%s", state(g.w.Host))
		}
	}
	select { // the service shall be told
	case <-g.w.Host.Changed():
	default:
	}
}

// unsettled is true while an address is checked, and while eth0 has none of its own
// although its router advertises a prefix.
func (g *game) unsettled() bool {
	s := g.w.Host.Snapshot()
	for _, l := range s.Links {
		if slices.ContainsFunc(l.Addrs, func(a netstate.Addr) bool { return l.Up && a.Tentative }) {
			return true
		}
		if !l.Up || l.Index != vnet.Uplink || g.p.net.NoRA || g.p.net.Managed {
			continue
		}
		if !slices.ContainsFunc(l.Addrs, func(a netstate.Addr) bool { return a.Autoconf && !a.Prefix.Addr().IsLinkLocalUnicast() }) {
			return true
		}
	}
	return false
}

// wait waits until status fits s, and also holds.
func (g *game) wait(s scenario.Scenario, also func(status.Status) error) status.Status {
	g.Helper()
	var why error
	return waitFor(g.T, g.s, s.Name, func(st status.Status) bool {
		why = nil
		if !s.Want.Fits(st.Class, st.Path, st.Reason, deref(st.Prefix), deref(st.Source)) {
			return false
		}
		if strings.HasSuffix(s.Want.Reason, "carries-ipv4") && (st.CLAT == nil || !st.CLAT.Ready || st.Exit() != status.ExitOK) {
			return false
		}
		if also != nil {
			why = also(st)
		}
		return why == nil
	}, func() string { return fmt.Sprintf("%+v; %v", s.Want, why) })
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// client plays a program that knows nothing of IPv6.
func (g *game) client(reaches bool) {
	g.Helper()
	if reaches {
		roundTrip(g.T, g.w)
		return
	}
	ctx, cancel := context.WithTimeout(g.Context(), 1500*time.Millisecond)
	defer cancel()
	if c, err := g.w.Host.DialContext(ctx, "tcp4", ServerAddr.String()); err == nil {
		_ = c.Close()
		g.Error("a client reaches the server, want none does")
	}
}

// unchanged wants the host to be as it was before, or if it has changed by itself,
// nothing of ours to be left.
func (g *game) unchanged(before string, same bool) {
	g.Helper()
	var diff string
	for end := time.After(patience); ; {
		now := state(g.w.Host)
		if diff = cmp.Diff(before, now); !same {
			diff = ours(g.w.Host)
		}
		if diff == "" {
			return
		}
		select {
		case <-g.w.Host.Changed(): // addresses of the host's own may be on their way
		case <-end:
			g.Errorf("what is left (-before +after):\n%s", diff)
			return
		}
	}
}

// ours lists what only reach64 makes: devices, addresses of /128 that are deprecated,
// and routes of its metric.
func ours(h *vnet.Host) (out string) {
	s := h.Snapshot()
	for _, l := range s.Links {
		if strings.HasPrefix(l.Name, "clat") {
			out += fmt.Sprintln("device", l.Name)
		}
		for _, a := range l.Addrs {
			if a.Deprecated && a.Prefix.Bits() == 128 {
				out += fmt.Sprintln("address", a.Prefix)
			}
		}
	}
	for _, r := range s.Routes {
		if r.Metric == 2048 {
			out += fmt.Sprintln("route", r.Dst)
		}
	}
	return out
}
