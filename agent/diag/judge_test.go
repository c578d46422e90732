package diag

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/portal"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/probe"
	"github.com/reach64/reach64/resolver/system"
	"github.com/reach64/reach64/tunnel/dial"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRulesFitTogether(t *testing.T) {
	state := map[string]int{}
	var walk func(code string)
	walk = func(code string) {
		if state[code] == 1 {
			t.Fatalf("%s depends on itself", code)
		}
		if state[code] == 2 {
			return
		}
		state[code] = 1
		for _, c := range ruleOf(code).after { // panics for one that does not exist
			walk(c)
		}
		state[code] = 2
	}
	for _, code := range Codes() {
		walk(code)
		if len(ruleOf(code).title) > 21 {
			t.Errorf("the title of %s does not fit its column", code)
		}
	}
	for name, codes := range groups {
		for _, c := range codes {
			if !slices.Contains(Codes(), c) {
				t.Errorf("%s: there is no check %s", name, c)
			}
		}
	}
}

// broken are networks with one fault each; want is the only check that may fail.
var brokenNetworks = map[string]struct {
	want   string // "" none
	code   int
	change func(e *Evidence)
}{
	"all is well": {"", 0, func(*Evidence) {}},
	"no interface": {"links", 11, func(e *Evidence) {
		e.silent(probe.Unreachable)
		e.noPrefix()
		e.Net = netstate.Snapshot{}
		e.Answers = nil
	}},
	"cable pulled out": {"links", 11, func(e *Evidence) {
		e.silent(probe.Unreachable)
		e.noPrefix()
		e.Net.Links[1].Up = false
		e.Net.Routes = nil
	}},
	"no router advertisement": {"addresses", 11, func(e *Evidence) {
		e.noPrefix()
		e.Net.Links[1].Addrs, e.Net.Routes, e.Answers = e.Net.Links[1].Addrs[:1], nil, nil
	}},
	"address in use": {"addresses", 11, func(e *Evidence) {
		e.noPrefix()
		e.Net.Links[1].Addrs[1].DADFailed = true
	}},
	"router without lifetime": {"routes", 11, func(e *Evidence) {
		e.noPrefix()
		e.Net.Routes = nil
		e.Answers[0] = Resolver{Server: dnsAt, Err: "network is unreachable"}
	}},
	"DNS silent": {"resolvers", 11, func(e *Evidence) {
		e.noPrefix()
		e.Answers[0] = Resolver{Server: dnsAt, Err: "ask: i/o timeout"}
		e.Servers[0].Answers, e.Servers[0].View = nil, system.View{Err: "no such host"}
	}},
	"no DNS server": {"resolvers", 11, func(e *Evidence) {
		e.noPrefix()
		e.Answers, e.Servers[0].Answers, e.Servers[0].View = nil, nil, system.View{Err: "no such host"}
	}},
	"captive": {"captive", 11, func(e *Evidence) {
		e.silent(probe.Timeout)
		e.Portal = &portal.Answer{Known: true, Captive: true, SignIn: "https://portal.example/", Reason: "the API says that a sign-in is wanted"}
		e.stopped("captive-portal")
	}},
	"captive, as the service knows": {"captive", 11, func(e *Evidence) {
		e.silent(probe.Timeout)
		e.stopped("captive-portal")
		e.Service.Status.Class, e.Service.Status.Detail = "captive", status.Ptr("sign in at https://portal.example/")
	}},
	"name misspelt": {"name", 11, func(e *Evidence) {
		e.Servers[0].Answers, e.Servers[0].View, e.Servers[0].Given = e.Servers[0].Answers[:0], system.View{Err: "no such host"}, nil
		e.Servers[0].Paths, e.Servers[0].Echo = nil, nil
		e.stopped("server-ipv4-unknown")
	}},
	"a VPN's DNS settings": {"name", 10, func(e *Evidence) { e.Servers[0].View = system.View{Err: "no such host"} }},
	"ipv4only.arpa filtered": {"ipv4only", 11, func(e *Evidence) {
		e.noPrefix()
		e.Answers[0].Prefixes, e.Answers[0].HasA, e.Answers[0].Rcode = nil, false, "NXDOMAIN"
	}},
	"DNS64 off": {"dns64", 11, func(e *Evidence) { e.noPrefix(); e.Answers[0].Prefixes = nil }},
	"policy forbids the prefix": {"prefix", 11, func(e *Evidence) {
		e.noPrefix()
		e.Sources[0].Refused = []nat64.Prefix{prefix}
	}},
	"prefix not proven": {"prefix", 11, func(e *Evidence) {
		e.noPrefix()
		e.Sources[0].Prefixes = []nat64.Prefix{prefix}
		e.stopped("prefix-not-validated")
		e.Service.Status.Detail = status.Ptr("no DNSSEC")
	}},
	"wrong prefix advertised": {"prefix-sources", 10, func(e *Evidence) {
		e.Sources[0].Prefixes = []nat64.Prefix{wrong}
		s := &e.Servers[0]
		s.Paths = append(s.Paths, Path{Kind: dial.Synthesized, Addr: netip.AddrPortFrom(wrong.Embed(v4), 443), Prefix: wrong, Result: lost(probe.Timeout)})
	}},
	"NAT64 down": {"nat64", 11, func(e *Evidence) { e.silent(probe.Timeout) }},
	"no route to the NAT64": {"nat64", 11, func(e *Evidence) {
		e.silent(probe.Unreachable)
		e.Servers[0].Echo[0].Heard = []Heard{{1, netip.MustParseAddr("2001:db8:1::1"), "unreachable"}}
	}},
	"black hole": {"mtu", 11, func(e *Evidence) {
		small := good()
		e.set(func(Path) probe.Result { return probe.Result{Connect: time.Millisecond, Reason: probe.TLSTimeout} })
		for i := range e.Servers[0].Paths {
			e.Servers[0].Paths[i].Small = &small
		}
		e.Servers[0].Echo[0].Sizes = []int{1280}
	}},
	"server down": {"server-tcp", 11, func(e *Evidence) {
		e.silent(probe.Timeout)
		e.Servers[0].Echo[0].Heard = []Heard{{3, prefix.Embed(netip.MustParseAddr("198.51.100.1")), "unreachable"}}
	}},
	"server refuses": {"server-tcp", 11, func(e *Evidence) { e.set(func(Path) probe.Result { return lost(probe.Refused) }) }},
	"server takes and says nothing": {"server-tls", 11, func(e *Evidence) {
		e.set(func(Path) probe.Result { return probe.Result{Connect: time.Millisecond, Reason: probe.TLSTimeout} })
	}},
	"no TLS there": {"server-tls", 11, func(e *Evidence) {
		e.set(func(Path) probe.Result { return probe.Result{Connect: time.Millisecond, Reason: probe.TLSFailed} })
	}},
	"TLS inspection": {"server-identity", 11, func(e *Evidence) {
		r := good()
		r.Reachable, r.Reason = false, probe.TLSAuthority
		e.set(func(Path) probe.Result { return r })
	}},
	"pin does not match": {"server-identity", 11, func(e *Evidence) {
		r := good()
		r.Reachable, r.Reason = false, probe.TLSPinMismatch
		e.Servers[0].Identity.PinSHA256 = [][]byte{{1}}
		e.set(func(Path) probe.Result { return r })
	}},
	"certificate for another name": {"server-certificate", 11, func(e *Evidence) {
		r := good()
		r.Reachable, r.Reason = false, probe.TLSNameMismatch
		r.Chain[0].DNSNames = []string{"other.example"}
		e.set(func(Path) probe.Result { return r })
	}},
	"clock wrong": {"clock", 11, func(e *Evidence) {
		r := good()
		r.Reachable, r.Reason = false, probe.TLSNameMismatch // whatever is said of a certificate from the future
		r.Chain[0].NotBefore = now.Add(time.Hour)
		e.set(func(Path) probe.Result { return r })
	}},
	"clock before this program": {"clock", 10, func(e *Evidence) { e.Built = now.Add(time.Hour) }},
	"CLAT's address taken":      {"clat", 10, func(e *Evidence) { e.stopped("duplicate-address") }},
	"CLAT's route taken away":   {"clat-route", 10, func(e *Evidence) { e.Net.Routes[1].Link = 2 }},
	"firewall on this machine": {"clat-path", 10, func(e *Evidence) {
		e.Servers[0].Paths[1].Result = lost(probe.Timeout)
	}},
	"another CLAT that leads nowhere": {"other-clat", 13, func(e *Evidence) {
		e.stopped("another-clat-without-path")
		e.Foreign = &Foreign{"clatd", "clat", "clat has the address 192.0.0.1"}
		e.Servers[0].Paths = append(e.Servers[0].Paths, Path{Kind: dial.CLAT, Addr: netip.AddrPortFrom(v4, 443), Link: "clat", Routed: true, Result: lost(probe.Timeout)})
	}},
	"another CLAT that works": {"", 0, func(e *Evidence) {
		e.stopped("another-clat")
		e.Foreign = &Foreign{"clatd", "clat", "clat has the address 192.0.0.1"}
		e.Servers[0].Paths = append(e.Servers[0].Paths, Path{Kind: dial.CLAT, Addr: netip.AddrPortFrom(v4, 443), Link: "clat", Routed: true, Result: good()})
	}},
	"VPN takes the route": {"vpn", 10, func(e *Evidence) {
		e.stopped("native-ipv4")
		e.Servers[0].Paths = append(e.Servers[0].Paths, Path{Kind: dial.NativeIPv4, Tunnel: true, Addr: netip.AddrPortFrom(v4, 443), Link: "vpn0", Routed: true, Result: lost(probe.Timeout)})
	}},
	"IPv4 half alive": {"ipv4", 10, func(e *Evidence) {
		e.Net.Links[1].Addrs = append(e.Net.Links[1].Addrs, netstate.Addr{Prefix: netip.MustParsePrefix("192.0.2.2/24")})
		e.Net.Routes = append(e.Net.Routes, netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Link: 2})
		e.Servers[0].Paths = append(e.Servers[0].Paths, Path{Kind: dial.NativeIPv4, Addr: netip.AddrPortFrom(v4, 443), Link: "eth0", Result: lost(probe.Timeout)})
	}},
	"the service may not": {"permission", 4, func(e *Evidence) { e.stopped("not-permitted") }},
	"root without rights": {"permission", 4, func(e *Evidence) {
		e.stopped("x")
		e.Service, e.Rights.Missing = Service{}, []string{"CAP_NET_ADMIN"}
	}},
	"service stopped":       {"service", 3, func(e *Evidence) { e.stopped("x"); e.Service = Service{} }},
	"service hangs":         {"service", 3, func(e *Evidence) { e.stopped("x"); e.Service = Service{Running: true, Err: "i/o timeout"} }},
	"configuration stale":   {"loaded", 10, func(e *Evidence) { e.Config.Digest = "d2" }},
	"configuration invalid": {"configuration", 5, func(e *Evidence) { e.stopped("x"); e.Service = Service{}; e.Config.Err = "reach64.toml:3: unknown key" }},
}

// TestTheFirstFailureIsTheBrokenStep: one fault, one failure, with a remedy, and
// 80 columns.
func TestTheFirstFailureIsTheBrokenStep(t *testing.T) {
	for name, tt := range brokenNetworks {
		t.Run(name, func(t *testing.T) {
			e := well()
			tt.change(e)
			r := Make(e, nil)
			var failed []string
			for _, c := range r.Checks {
				if c.Verdict == Fail {
					failed = append(failed, c.Code)
					if c.Remedy == nil {
						t.Errorf("%s fails without a remedy", c.Code)
					}
				}
				if len(c.Evidence) == 0 || c.Evidence[0] == "" {
					t.Errorf("%s gives no evidence", c.Code)
				}
			}
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			text := show(t, r)
			if !slices.Equal(failed, want) {
				t.Errorf("fails %v, want %v\n%s", failed, want, text)
			}
			if got := r.Exit(OnFail); got != tt.code {
				t.Errorf("exit code %d, want %d", got, tt.code)
			}
			if got := r.Exit(OnNothing); got != 0 {
				t.Errorf("--fail-on never: exit code %d", got)
			}
			if marked := strings.Contains(text, "XX before "); marked != (tt.want != "") {
				t.Errorf("a link is marked as broken: %v\n%s", marked, text)
			}
			for line := range strings.Lines(text) {
				if utf8.RuneCountInString(line) > 81 {
					t.Errorf("too wide: %q", line)
				}
			}
		})
	}
}

func show(t *testing.T, r Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Text(&b, status.Style{Verbose: true}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestWhatIsNoFailure: what works all the same, what does not apply, and what could
// not be seen.
func TestWhatIsNoFailure(t *testing.T) {
	tests := map[string]struct {
		change func(e *Evidence)
		code   string
		want   Verdict
	}{
		"DNS64 off, with PREF64":             {func(e *Evidence) { e.Answers[0].Prefixes = nil }, "dns64", Warn},
		"ipv4only.arpa filtered with PREF64": {func(e *Evidence) { e.Answers[0].Prefixes, e.Answers[0].HasA = nil, false }, "ipv4only", Warn},
		"one of two DNS servers silent": {func(e *Evidence) {
			e.Answers = append(e.Answers, Resolver{Server: system.Server{Addr: netip.MustParseAddrPort("[2001:db8:1::54]:53")}, Err: "timeout"})
		}, "resolvers", Warn},
		"a literal has no name":      {func(e *Evidence) { e.Servers[0].Literal = true }, "name", Skip},
		"NAT64, without root":        {func(e *Evidence) { e.silent(probe.Timeout); e.Servers[0].Echo[0].Err = "not permitted" }, "nat64", Unknown},
		"the network cannot be read": {func(e *Evidence) { e.Net, e.NetErr = netstate.Snapshot{}, "not supported" }, "addresses", Unknown},
		"configuration not readable": {func(e *Evidence) { e.Config.Closed = "permission denied" }, "loaded", Unknown},
		"another configuration file": {func(e *Evidence) { e.Service.Status.Configuration.Files[0] = "/other.toml" }, "loaded", Unknown},
		"service not set up here":    {func(e *Evidence) { e.stopped("x"); e.Service, e.Config.Found = Service{}, false }, "service", Warn},
		"paused":                     {func(e *Evidence) { e.stopped("paused") }, "clat", Warn},
		"starting":                   {func(e *Evidence) { e.stopped("clat-starting") }, "clat", Unknown},
		"another version":            {func(e *Evidence) { e.Service.Version = "1.0" }, "service", Warn},
		"certificate ends soon": {func(e *Evidence) {
			r := good()
			r.Chain[0].NotAfter = now.Add(24 * time.Hour)
			e.set(func(Path) probe.Result { return r })
		}, "server-certificate", Warn},
		"certificate that lives for a day": {func(e *Evidence) {
			r := good()
			r.Chain[0].NotBefore, r.Chain[0].NotAfter = now.Add(-time.Hour), now.Add(23*time.Hour)
			e.set(func(Path) probe.Result { return r })
		}, "server-certificate", Pass},
		"pinned, whatever the name": {func(e *Evidence) {
			e.Servers[0].Identity.PinSHA256 = [][]byte{{1}}
			e.Servers[0].Identity.ServerName = "other.example"
		}, "server-certificate", Pass},
		"slow": {func(e *Evidence) {
			r := good()
			r.Connect = 2 * time.Second
			e.set(func(Path) probe.Result { return r })
		}, "server-rtt", Warn},
		"two prefixes that work": {func(e *Evidence) {
			e.Sources = append(e.Sources, Source{Source: pref64.PCP, Prefixes: []nat64.Prefix{wrong}, Heard: true})
			s := &e.Servers[0]
			s.Paths = append(s.Paths, Path{Kind: dial.Synthesized, Prefix: wrong, Result: good()})
		}, "prefix-sources", Pass},
		"records differ": {func(e *Evidence) {
			e.Servers[0].Answers[0].Chain.Addrs = []netip.Addr{netip.MustParseAddr("2001:db8:64::c633:6499")}
		}, "records", Warn},
		"DirectAccess not connected": {func(e *Evidence) { e.Policy = DirectAccess{Supported: true, Configured: true} }, "directaccess", Warn},
		"portal that is open":        {func(e *Evidence) { e.Portal = &portal.Answer{Known: true, Reason: "open"} }, "captive", Pass},
		"no server":                  {func(e *Evidence) { e.Servers = nil }, "server-tcp", Skip},
		"policy in force":            {func(e *Evidence) { e.Config.Policy = []string{"/etc/reach64/policy.d/1.toml"} }, "policy", Pass},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := well()
			tt.change(e)
			for _, c := range Judge(e) {
				if c.Code == tt.code && c.Verdict != tt.want {
					t.Errorf("%s is %s, want %s: %v", c.Code, c.Verdict, tt.want, c.Evidence)
				}
			}
		})
	}
}

// TestWorstServerCounts: of several servers the failed one is told first.
func TestWorstServerCounts(t *testing.T) {
	e := well()
	other := well().Servers[0]
	other.Name = "second.example"
	e.Servers = append(e.Servers, other)
	for i := range e.Servers[1].Paths {
		e.Servers[1].Paths[i].Result = lost(probe.Refused)
	}
	r := Make(e, nil)
	if r.FirstFailure == nil || *r.FirstFailure != "server-tcp" || *r.Reached {
		t.Fatalf("first failure %v, reached %v", r.FirstFailure, *r.Reached)
	}
	for _, c := range r.Checks {
		if c.Code == "server-tcp" && (!strings.Contains(c.Evidence[0], "refused") || len(c.Evidence) < 3) {
			t.Errorf("evidence %q", c.Evidence)
		}
	}
}

// TestDrawing: a CLAT that is not there is no good way, and what lies behind the broken
// link is dark.
func TestDrawing(t *testing.T) {
	states := func(change func(*Evidence)) (out string) {
		e := well()
		change(e)
		for _, h := range Make(e, nil).Hops {
			out += h.Name + " " + string(h.State) + ", "
		}
		return out
	}
	for name, tt := range map[string]struct {
		change func(*Evidence)
		want   string
	}{
		"all is well":         {func(*Evidence) {}, "this machine good, CLAT good, router good, DNS good, NAT64 good, server good, "},
		"no service, no CLAT": {func(e *Evidence) { e.stopped("x"); e.Service, e.Config.Found = Service{}, false }, "this machine good, CLAT unknown, router good, DNS good, NAT64 good, server good, "},
		"NAT64 down":          {func(e *Evidence) { e.silent(probe.Timeout) }, "this machine good, CLAT good, router good, DNS good, NAT64 broken, server unknown, "},
		"configuration stale": {func(e *Evidence) { e.Config.Digest = "d2" }, "this machine good, CLAT broken, router good, DNS good, NAT64 good, server good, "},
	} {
		if got := states(tt.change); got != tt.want {
			t.Errorf("%s: %s\nwant %s", name, got, tt.want)
		}
	}
}

func TestFailOn(t *testing.T) {
	e := well()
	e.Service.Version = "1.0"
	r := Make(e, nil)
	for on, want := range map[FailOn]int{OnFail: 0, OnWarn: 10, OnUnknown: 10, OnNothing: 0} {
		if got := r.Exit(on); got != want {
			t.Errorf("%s: %d, want %d", on, got, want)
		}
	}
	if _, err := ParseFailOn("skip"); err == nil {
		t.Error("skip is taken for a word of --fail-on")
	}
}
