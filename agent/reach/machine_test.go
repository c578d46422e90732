package reach

import (
	"net/netip"
	"testing"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

var (
	prefixA = nat64.MustParse("2001:db8:64:ff9b::/96")
	prefixB = nat64.MustParse("64:ff9b::/96")
	server4 = netip.MustParseAddr("198.51.100.10")
)

// world is a builder of test worlds, in the words of the tables below.
type world struct{ World }

func v6only() *world {
	return &world{World{Epoch: 1, Net: netstate.Snapshot{
		Links: []netstate.Link{{Index: 2, Name: "eth0", Up: true, Ethernet: true, MTU: 1500, MTU6: 1500, Addrs: []netstate.Addr{
			{Prefix: netip.MustParsePrefix("fe80::2/64")},
			{Prefix: netip.MustParsePrefix("2001:db8:1::2/64"), Autoconf: true}}}},
		Routes: []netstate.Route{{Dst: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fe80::1"), Link: 2, Metric: 1024}},
	}, Servers: []Server{{IPv4: []netip.Addr{server4}, Probed: map[Path]bool{}}}}}
}

func (w *world) prefix(p nat64.Prefix, s pref64.Source) *world {
	w.Prefixes = append(w.Prefixes, pref64.Candidate{Prefix: p, Source: s, Link: 2})
	return w
}

func (w *world) dns64() *world     { w.DNS64 = true; return w }
func (w *world) searching() *world { w.Searching = true; return w }
func (w *world) unclear() *world   { w.Unclear = "dns: timeout"; return w }
func (w *world) deaf() *world      { w.DNSSilent = "2001:db8::53 gave no answer"; return w.unclear() }
func (w *world) elsewhere() *world {
	w.Net.Routes[0].Gateway = netip.MustParseAddr("fe80::beef")
	return w
}
func (w *world) captive() *world { w.Captive = "https://portal.example/"; return w }
func (w *world) mostly() *world  { w.Mostly = "option 108"; return w }
func (w *world) lost() *world    { w.Servers[0].Lost = true; return w.noServer4() }
func (w *world) foreign() *world { w.Foreign = "192.0.0.1 on clat"; return w }

func (w *world) native4() *world {
	w.Net.Links[0].Addrs = append(w.Net.Links[0].Addrs, netstate.Addr{Prefix: netip.MustParsePrefix("192.0.2.7/24")})
	w.Net.Routes = append(w.Net.Routes, netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Link: 2})
	return w
}

// linkLocal4 is an address that leads nowhere, with a default route all the same.
func (w *world) linkLocal4() *world {
	w.Net.Links[0].Addrs = append(w.Net.Links[0].Addrs, netstate.Addr{Prefix: netip.MustParsePrefix("169.254.3.4/16")})
	w.Net.Routes = append(w.Net.Routes, netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2})
	return w
}

func (w *world) no6() *world {
	w.Net.Routes = w.Net.Routes[1:]
	w.Net.Links[0].Addrs = w.Net.Links[0].Addrs[2:]
	return w
}

func (w *world) down() *world      { w.Net.Links[0].Up = false; return w }
func (w *world) noServer4() *world { w.Servers[0].IPv4 = nil; return w }
func (w *world) only128() *world {
	w.Net.Links[0].Addrs[1].Prefix = netip.MustParsePrefix("2001:db8:1::2/128")
	return w
}
func (w *world) tentative() *world             { w.Net.Links[0].Addrs[1].Tentative = true; return w }
func (w *world) probed(p Path, ok bool) *world { w.Servers[0].Probed[p] = ok; return w }

func (w *world) and(s Server) *world { w.Servers = append(w.Servers, s); return w }

// up adds what a running CLAT leaves in the network state.
func (w *world) up() *world {
	addr6 := netip.MustParseAddr("2001:db8:1::c1a7")
	w.Own = Own{Device: 9, Addr6: addr6, Ready: true}
	w.Net.Links[0].Addrs = append(w.Net.Links[0].Addrs, netstate.Addr{Prefix: netip.PrefixFrom(addr6, 128), Deprecated: true})
	w.Net.Links = append(w.Net.Links, netstate.Link{Index: 9, Name: "clat0", Up: true, Tunnel: true,
		Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("192.0.0.3/32")}}})
	w.Net.Routes = append(w.Net.Routes, netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 9, Metric: 2048})
	return w
}

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestVerdicts(t *testing.T) {
	tests := map[string]struct {
		w      *world
		class  Class
		path   Path
		reason Reason
		clat   bool
	}{
		"link down":                               {v6only().down(), ClassOffline, PathNone, ReasonOffline, false},
		"IPv4 only":                               {v6only().native4().no6(), ClassV4Only, PathNative, ReasonNativeIPv4, false},
		"dual stack, prefix known: stand down":    {v6only().native4().prefix(prefixA, pref64.RA), ClassDualStack, PathNative, ReasonNativeIPv4, false},
		"169.254 is not native IPv4":              {v6only().linkLocal4().prefix(prefixA, pref64.RA), ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
		"IPv6 only, still asking":                 {v6only().searching(), ClassUnknown, PathNone, ReasonSearching, false},
		"IPv6 only, the resolver is silent":       {v6only().unclear(), ClassUnknown, PathNone, ReasonUnclear, false},
		"resolver silent, but the router told":    {v6only().unclear().prefix(prefixA, pref64.RA), ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
		"IPv6 only, nothing found":                {v6only(), ClassV6OnlyNoNAT64, PathNone, ReasonNoPrefix, false},
		"prefix of another link does not count":   {&world{World{Epoch: 1, Net: v6only().Net, Servers: v6only().Servers, Prefixes: []pref64.Candidate{{Prefix: prefixA, Link: 5}}}}, ClassV6OnlyNoNAT64, PathNone, ReasonNoPrefix, false},
		"static prefix counts on every link":      {&world{World{Epoch: 1, Net: v6only().Net, Servers: v6only().Servers, Prefixes: []pref64.Candidate{{Prefix: prefixA, Link: 0}}}}, ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
		"NAT64 without DNS64":                     {v6only().prefix(prefixA, pref64.RA), ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
		"NAT64 with DNS64":                        {v6only().prefix(prefixA, pref64.DNS).dns64(), ClassV6OnlyNAT64DNS64, PathNone, ReasonCLATStarting, true},
		"host address still tentative: start now": {v6only().tentative().prefix(prefixA, pref64.RA), ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
		"CLAT up":                                   {v6only().prefix(prefixA, pref64.RA).up(), ClassV6OnlyNAT64, PathCLAT, ReasonCLATUp, true},
		"CLAT up, server silent":                    {v6only().prefix(prefixA, pref64.RA).up().probed(PathCLAT, false), ClassV6OnlyNAT64, PathCLAT, ReasonServerSilent, true},
		"CLAT up, one of two servers silent":        {v6only().prefix(prefixA, pref64.RA).up().probed(PathCLAT, true).and(Server{Probed: map[Path]bool{PathCLAT: false}}), ClassV6OnlyNAT64, PathCLAT, ReasonSomeSilent, true},
		"CLAT up, one silent, one without address":  {v6only().prefix(prefixA, pref64.RA).up().probed(PathCLAT, false).and(Server{Lost: true}), ClassV6OnlyNAT64, PathCLAT, ReasonServerSilent, true},
		"CLAT up, one reached, one not probed":      {v6only().prefix(prefixA, pref64.RA).up().probed(PathCLAT, true).and(Server{}), ClassV6OnlyNAT64, PathCLAT, ReasonCLATUp, true},
		"our own default route is not native IPv4":  {v6only().prefix(prefixA, pref64.RA).up().probed(PathCLAT, true), ClassV6OnlyNAT64, PathCLAT, ReasonCLATUp, true},
		"another CLAT":                              {v6only().prefix(prefixA, pref64.RA).foreign(), ClassNativeCLAT, PathNone, ReasonForeignCLAT, false},
		"another CLAT that reaches the server":      {v6only().foreign().probed(PathNative, true), ClassNativeCLAT, PathNative, ReasonForeignCLAT, false},
		"server has IPv6, no NAT64":                 {v6only().probed(PathNative, true), ClassV6OnlyNativeServer, PathNative, ReasonNativeServer, false},
		"server has IPv6, NAT64 too: literals work": {v6only().probed(PathNative, true).prefix(prefixA, pref64.RA), ClassV6OnlyNativeServer, PathNative, ReasonNativeServer, true},
		"server's IPv6 address is dead":             {v6only().probed(PathNative, false).prefix(prefixA, pref64.RA), ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
		"DNS64 name works before the CLAT":          {v6only().prefix(prefixA, pref64.DNS).dns64().probed(PathSynthesized, true), ClassV6OnlyNAT64DNS64, PathSynthesized, ReasonCLATStarting, true},
		"server's IPv4 not known":                   {v6only().prefix(prefixA, pref64.RA).noServer4(), ClassV6OnlyNAT64, PathNone, ReasonNoServerIPv4, false},
		"no /64, only a DHCPv6 address":             {v6only().prefix(prefixA, pref64.RA).only128(), ClassV6OnlyNAT64, PathNone, ReasonCLATStarting, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out := New(Settings{}).Step(t0, tt.w.World)
			if out.Class != tt.class || out.Path != tt.path || out.Reason != tt.reason {
				t.Errorf("got %v, %v, %q; want %v, %v, %q", out.Class, out.Path, out.Reason, tt.class, tt.path, tt.reason)
			}
			if got := out.Intent.CLAT != (CLAT{}); got != tt.clat {
				t.Errorf("CLAT wanted = %v, want %v (%+v)", got, tt.clat, out.Intent.CLAT)
			}
			if out.Reason.Sentence() == "" {
				t.Errorf("reason %q has no sentence", out.Reason)
			}
		})
	}
}

func TestSwitchedOffChangesNothing(t *testing.T) {
	out := New(Settings{Off: true}).Step(t0, v6only().prefix(prefixA, pref64.RA).World)
	if out.Intent.CLAT != (CLAT{}) || out.Reason != ReasonOff || out.Class != ClassV6OnlyNAT64 {
		t.Errorf("out = %+v", out)
	}
}

func TestPrefixInUseStaysWhenABetterOneComes(t *testing.T) { // spec CLAT-22
	m := New(Settings{})
	m.Step(t0, v6only().prefix(prefixB, pref64.DNS).World)
	out := m.Step(t0.Add(time.Second), v6only().prefix(prefixA, pref64.RA).prefix(prefixB, pref64.DNS).World)
	if out.Intent.CLAT.Prefix != prefixB {
		t.Errorf("prefix = %v, want %v", out.Intent.CLAT.Prefix, prefixB)
	}
	out = m.Step(t0.Add(2*time.Second), v6only().prefix(prefixA, pref64.RA).World)
	if out.Intent.CLAT.Prefix != prefixA {
		t.Errorf("prefix after the old one ended = %v, want %v", out.Intent.CLAT.Prefix, prefixA)
	}
}

func TestDefaultRouteWaitsForDHCPv4(t *testing.T) { // spec CLAT-11
	m := New(Settings{All: true})
	w := v6only().prefix(prefixA, pref64.RA).World
	out := m.Step(t0, w)
	if out.Reason != ReasonWaitIPv4 || out.Intent.CLAT != (CLAT{}) || !out.Wake.Equal(t0.Add(4*time.Second)) {
		t.Fatalf("at 0s: %+v", out)
	}
	out = m.Step(t0.Add(4*time.Second), w)
	if out.Intent.CLAT == (CLAT{}) || !out.Intent.CLAT.All {
		t.Errorf("at 4s: %+v", out)
	}
}

func TestFlappingIPv4IsDamped(t *testing.T) { // spec CLAT-15
	m := New(Settings{})
	v6 := func() World { return v6only().prefix(prefixA, pref64.RA).World }
	both := func() World { return v6only().native4().prefix(prefixA, pref64.RA).World }
	now := t0
	for i := range burst + 1 { // the first start, and burst returns
		if out := m.Step(now, v6()); out.Intent.CLAT == (CLAT{}) {
			t.Fatalf("change %d: no CLAT: %q", i, out.Reason)
		}
		now = now.Add(time.Second)
		m.Step(now, both())
		now = now.Add(time.Second)
	}
	out := m.Step(now, v6())
	if out.Intent.CLAT != (CLAT{}) || out.Reason != ReasonHoldDown || !out.Wake.After(now) {
		t.Fatalf("after %d changes: %+v", burst, out)
	}
	if out = m.Step(out.Wake, v6()); out.Intent.CLAT == (CLAT{}) {
		t.Errorf("after the hold-down: %+v", out)
	}
}

func TestEpochRisesWithTheNetworkAlone(t *testing.T) {
	m := New(Settings{})
	first := m.Step(t0, v6only().World).Intent.Epoch
	if got := m.Step(t0, v6only().prefix(prefixA, pref64.RA).World).Intent.Epoch; got != first {
		t.Errorf("a prefix raised the epoch from %d to %d", first, got)
	}
	if got := m.Step(t0, v6only().prefix(prefixA, pref64.RA).up().World).Intent.Epoch; got != first {
		t.Errorf("our own CLAT raised the epoch from %d to %d", first, got)
	}
	if got := m.Step(t0, v6only().native4().World).Intent.Epoch; got != first+1 {
		t.Errorf("native IPv4: epoch %d, want %d", got, first+1)
	}
}

// Right after a change of network the old answers must not count: neither 'found'
// nor 'there is none'.
func TestAnswersOfAnOlderEpochDoNotCount(t *testing.T) {
	m := New(Settings{})
	m.Step(t0, v6only().prefix(prefixB, pref64.DNS).dns64().World)
	w := v6only().prefix(prefixB, pref64.DNS).dns64()
	w.Net.Routes[0].Gateway = netip.MustParseAddr("fe80::99")
	out := m.Step(t0.Add(time.Second), w.World)
	if out.Class != ClassUnknown || out.Reason != ReasonSearching || out.Intent.CLAT != (CLAT{}) {
		t.Errorf("DNS answer of the network before: %+v", out)
	}
	w.Epoch, w.Prefixes, w.DNS64 = out.Intent.Epoch, nil, false
	if out := m.Step(t0.Add(time.Second), w.World); out.Class != ClassV6OnlyNoNAT64 {
		t.Errorf("after this network's sources answered: %+v", out)
	}
}

func TestAddressThatBecomesUsableIsNoNewNetwork(t *testing.T) {
	m := New(Settings{})
	before := m.Step(t0, v6only().tentative().World)
	after := m.Step(t0.Add(time.Second), v6only().World)
	if before.Usable || !after.Usable || before.Intent.Epoch != after.Intent.Epoch {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestFailedDatapathIsSaid(t *testing.T) {
	m := New(Settings{Relay: RelayNever})
	w := v6only().prefix(prefixA, pref64.RA)
	want := m.Step(t0, w.World).Intent.CLAT
	w.Failed = Failure{Reason: ReasonNotPermitted, Detail: "CAP_BPF is missing", For: want}
	out := m.Step(t0, w.World)
	if out.Path != PathNone || out.Reason != ReasonNotPermitted || out.Detail != "CAP_BPF is missing" || out.Intent.CLAT != want {
		t.Errorf("out = %+v", out)
	}
}

func TestMTU(t *testing.T) {
	tests := map[string]struct{ link, ra, want int }{
		"ordinary":                     {1500, 1500, 1500},
		"router advertises less":       {1500, 1400, 1400},
		"router advertises below 1280": {1500, 1000, 1500},
		"router advertises more":       {1500, 9000, 1500},
		"nothing known of IPv6":        {1500, 0, 1500},
		"loopback-like":                {65536, 65536, 65535},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := mtu6(netstate.Link{MTU: tt.link, MTU6: tt.ra}); got != tt.want {
				t.Errorf("mtu6 = %d, want %d", got, tt.want)
			}
		})
	}
}

// A prefix that lacks the proof that is required gives no CLAT, and the reason
// says which proof.
func TestPrefixWithoutTheRequiredProof(t *testing.T) {
	w := v6only()
	w.Unproven = "2001:db8:64:ff9b::/96 from dns: not-signed"
	out := New(Settings{}).Step(time.Unix(1000, 0), w.World)
	if out.Class != ClassV6OnlyNAT64 || out.Intent.CLAT != (CLAT{}) || out.Path != PathNone || out.Reason != ReasonUnproven || out.Detail != w.Unproven {
		t.Errorf("%+v", out)
	}
	w.prefix(prefixB, pref64.Policy) // what an administrator has configured needs none
	if out := New(Settings{}).Step(time.Unix(1000, 0), w.World); out.Intent.CLAT.Prefix != prefixB {
		t.Errorf("%+v", out)
	}
}
