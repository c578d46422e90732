package endpoint

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/vnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const conf = `
[[server]]
name = "198.51.100.10"
port = 8443
tls = false
[probe]
interval = "10s"
timeout = "2s"
`

// testLog writes to the test.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func newLog(t *testing.T) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(testLog{t})
	return log
}

func newWorld(t *testing.T, opts vnet.Options) *World {
	t.Helper()
	if !opts.Prefix.IsValid() {
		opts.Prefix = nat64.MustParse("2001:db8:64:ff9b::/96")
	}
	w, err := NewWorld(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// echoServer sends back what it gets, at an IPv4 address and nowhere else.
func (w *World) echoServer(t *testing.T) {
	t.Helper()
	w.echoServerAt(t, ServerAddr)
}

func (w *World) echoServerAt(t *testing.T, at netip.AddrPort) {
	t.Helper()
	l, err := w.Internet.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

func start(t *testing.T, w *World, text string) *Service {
	t.Helper()
	s, err := w.Start(text, t.TempDir(), newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			stopped = true
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// waitFor polls the status until ok, for 20 s at most.
func waitFor(t *testing.T, s *Service, what string, ok func(status.Status) bool) status.Status {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		st := s.Agent.Status()
		if ok(st) {
			return st
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never %s: class %s, path %s, reason %s", what, st.Class, st.Path, st.Reason)
		}
	}
}

func reached(st status.Status) bool { return st.Path == "clat" && st.Exit() == status.ExitOK }

// roundTrip sends a megabyte over IPv4 to the server and back.
func roundTrip(t *testing.T, w *World) {
	t.Helper()
	c, err := w.Host.DialContext(t.Context(), "tcp4", ServerAddr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := make([]byte, 1<<20)
	_, _ = rand.Read(sent)
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, len(sent))
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(sent) != sha256.Sum256(got) {
		t.Error("what came back is not what was sent")
	}
}

func TestIPv4OnlyClientReachesItsServer(t *testing.T) {
	for name, opts := range map[string]vnet.Options{
		"prefix from router advertisements": {NoDNS64: true},
		"prefix from DNS64":                 {NoPref64: true},
		"well-known prefix":                 {Prefix: nat64.WellKnown()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, opts)
			w.echoServer(t)
			if _, err := w.Host.DialContext(t.Context(), "tcp4", ServerAddr.String()); err == nil {
				t.Fatal("the server is reachable without reach64: the test would prove nothing")
			}
			s := start(t, w, conf)
			st := waitFor(t, s, "reached", reached)
			if st.CLAT == nil || !st.CLAT.Ready || st.Prefix == nil {
				t.Errorf("status = %+v", st)
			}
			roundTrip(t, w)
		})
	}
}

func TestServerByNameIsRouted(t *testing.T) {
	w := newWorld(t, vnet.Options{Zone: map[string][]netip.Addr{"backup.example.test": {ServerAddr.Addr()}}})
	w.echoServer(t)
	s := start(t, w, strings.Replace(conf, "198.51.100.10", "backup.example.test", 1))
	st := waitFor(t, s, "reached", reached)
	if d := cmp.Diff([]string{"198.51.100.10"}, st.CLAT.Routes); d != "" {
		t.Error(d)
	}
	// The name has a synthesized AAAA too; both ways are shown.
	waitFor(t, s, "shown over both paths", func(st status.Status) bool {
		return len(st.Servers[0].Others) == 1 && st.Servers[0].Others[0].Path == "synthesized"
	})
	roundTrip(t, w)
}

// The server's name has an IPv6 address of its own: the class says so, and a
// client that knows only the IPv4 address is served all the same.
func TestServerWithIPv6OfItsOwn(t *testing.T) {
	six := netip.MustParseAddrPort("[2001:db8:77::10]:8443")
	w := newWorld(t, vnet.Options{Zone: map[string][]netip.Addr{"backup.example.test": {ServerAddr.Addr(), six.Addr()}}})
	w.echoServer(t)
	w.echoServerAt(t, six)
	s := start(t, w, strings.Replace(conf, "198.51.100.10", "backup.example.test", 1))
	st := waitFor(t, s, "native", func(st status.Status) bool {
		return st.Class == "v6-only-native-server" && st.CLAT != nil && st.CLAT.Ready && st.Exit() == status.ExitOK
	})
	if st.Path != "native" || st.Reason != "server-has-ipv6" || *st.Servers[0].Address != "2001:db8:77::10" {
		t.Errorf("status = %+v, server %+v", st, st.Servers[0])
	}
	roundTrip(t, w)
}

func TestDefaultRouteServesAddressesThatAreNotConfigured(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	s := start(t, w, strings.Replace(conf, "198.51.100.10", "198.51.100.99", 1)+"[path]\nscope = \"all\"\n")
	st := waitFor(t, s, "up", func(st status.Status) bool { return st.CLAT != nil && st.CLAT.Ready })
	if d := cmp.Diff([]string{"0.0.0.0/0"}, st.CLAT.Routes); d != "" {
		t.Error(d)
	}
	roundTrip(t, w)
}

func TestServerWhoseNameIsUnknownIsNotOverlooked(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	s := start(t, w, conf+"[[server]]\nname = \"nosuch.example.test\"\n")
	st := waitFor(t, s, "said that one server is not reached", func(st status.Status) bool { return st.Reason == "some-servers-do-not-answer" })
	if v := st.Servers[1]; st.Exit() != status.ExitDegraded || v.Reason != "name-not-resolved" || v.Reachable == nil || *v.Reachable {
		t.Errorf("exit %d, server %+v", st.Exit(), v)
	}
	roundTrip(t, w)
}

// Whoever answers for the server's name cannot draw local traffic into the CLAT.
func TestAddressesThatNoServerHasAreNotRouted(t *testing.T) {
	w := newWorld(t, vnet.Options{Zone: map[string][]netip.Addr{"backup.example.test": {netip.MustParseAddr("127.0.0.1"),
		netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("192.0.0.3"), ServerAddr.Addr(), netip.MustParseAddr("224.0.0.1")}}})
	w.echoServer(t)
	s := start(t, w, strings.Replace(conf, "198.51.100.10", "backup.example.test", 1))
	st := waitFor(t, s, "up", func(st status.Status) bool { return st.CLAT != nil && st.CLAT.Ready })
	if d := cmp.Diff([]string{"198.51.100.10"}, st.CLAT.Routes); d != "" {
		t.Error(d)
	}
}

func TestNoNAT64IsSaidAndItComesUpByItself(t *testing.T) {
	w := newWorld(t, vnet.Options{NoPref64: true, NoDNS64: true, NegativeTTL: time.Second})
	w.echoServer(t)
	s := start(t, w, conf)
	st := waitFor(t, s, "said that there is no NAT64", func(st status.Status) bool { return st.Class == "v6-only-no-nat64" })
	if st.Exit() != status.ExitPathBroken || st.Advice == nil {
		t.Errorf("exit %d, advice %v; want a broken path and what to do", st.Exit(), st.Advice)
	}
	asked := map[string]string{}
	for _, src := range st.Sources {
		asked[src.Source] = src.Verdict
	}
	if asked["dns"] != "none" || asked["ra"] != "none" {
		t.Errorf("sources = %v, want ra and dns asked, with none", asked)
	}
	w.Router.SetPref64(true)
	waitFor(t, s, "reached after NAT64 came", reached)
}

func TestSilentResolverIsNotReadAsNoNAT64(t *testing.T) {
	w := newWorld(t, vnet.Options{NoPref64: true, NoDNS: true})
	s := start(t, w, conf)
	st := waitFor(t, s, "said that the resolver is silent", func(st status.Status) bool { return st.Reason == "dns-does-not-answer" })
	if st.Exit() != status.ExitPathBroken || st.Class != "broken-dns" || st.Detail == nil {
		t.Errorf("exit %d, status = %+v", st.Exit(), st)
	}
}

func TestDNS64ThatComesLaterIsFound(t *testing.T) {
	w := newWorld(t, vnet.Options{NoPref64: true, NoDNS64: true, NegativeTTL: time.Second})
	w.echoServer(t)
	s := start(t, w, conf)
	waitFor(t, s, "said that there is no NAT64", func(st status.Status) bool { return st.Class == "v6-only-no-nat64" })
	w.Router.SetDNS64(true)
	waitFor(t, s, "reached after DNS64 came", reached)
}

func TestStandsDownForNativeIPv4(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	s := start(t, w, conf)
	waitFor(t, s, "reached", reached)
	addr, route := netip.MustParsePrefix("192.0.2.7/24"), netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"),
		Gateway: netip.MustParseAddr("192.0.2.1"), Link: vnet.Uplink}
	if err := w.Host.AddAddr(vnet.Uplink, addr, false); err != nil {
		t.Fatal(err)
	}
	if err := w.Host.AddRoute(route); err != nil {
		t.Fatal(err)
	}
	st := waitFor(t, s, "stood down", func(st status.Status) bool { return st.Path == "native" })
	if st.CLAT != nil || st.Class != "dual-stack" || st.Reason != "native-ipv4" {
		t.Errorf("status = %+v", st)
	}
	if err := w.Host.RemoveRoute(route); err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, "back after IPv4 went away", reached)
}

func TestAnotherCLATIsLeftAlone(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	other, err := w.Host.OpenTUN("clat", 1480)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := w.Host.AddAddr(other.Index(), netip.MustParsePrefix("192.0.0.1/32"), false); err != nil {
		t.Fatal(err)
	}
	s := start(t, w, conf)
	st := waitFor(t, s, "stood down", func(st status.Status) bool { return st.Class == "native-clat" })
	if st.Exit() != status.ExitStoodDown || st.CLAT != nil || st.Detail == nil || !strings.Contains(*st.Detail, "192.0.0.1") {
		t.Errorf("exit %d, status = %+v", st.Exit(), st)
	}
}

func TestDeadNAT64IsNotSilent(t *testing.T) {
	w := newWorld(t, vnet.Options{NoNAT64: true})
	w.echoServer(t)
	s := start(t, w, conf)
	st := waitFor(t, s, "said that the server does not answer", func(st status.Status) bool { return st.Reason == "server-does-not-answer" })
	if st.Exit() != status.ExitPathBroken || st.Servers[0].Reason != "timeout" {
		t.Errorf("exit %d, server = %+v", st.Exit(), st.Servers[0])
	}
	w.Router.SetNAT64(true)
	waitFor(t, s, "reached after the NAT64 came back", reached)
}

func TestRefusedIsNotATimeout(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	if err := w.Internet.AddHost(ServerAddr.Addr()); err != nil {
		t.Fatal(err)
	}
	s := start(t, w, conf)
	st := waitFor(t, s, "probed", func(st status.Status) bool { return st.Servers[0].Reachable != nil })
	if st.Servers[0].Reason != "refused" {
		t.Errorf("server = %+v", st.Servers[0])
	}
}

// state is what the host has, but for what changes with time.
func state(h *vnet.Host) string {
	s := h.Snapshot()
	out := ""
	for _, l := range s.Links {
		out += fmt.Sprintln(l.Index, l.Name, l.Up, l.MTU)
		for _, a := range l.Addrs {
			out += fmt.Sprintln("  ", a.Prefix, a.Deprecated)
		}
	}
	for _, r := range s.Routes {
		out += fmt.Sprintln(r.Dst, r.Gateway, r.Link, r.Metric)
	}
	return out
}

func TestStopUndoesEverything(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	// Wait for the host's own address, which belongs to the state before.
	deadline := time.After(10 * time.Second)
	for {
		if l, ok := w.Host.Snapshot().Link(vnet.Uplink); ok && len(l.Usable6()) > 0 {
			break
		}
		select {
		case <-w.Host.Changed():
		case <-deadline:
			t.Fatal("the host has no address")
		}
	}
	before := state(w.Host)
	s, err := w.Start(conf, t.TempDir(), newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, "reached", reached)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, state(w.Host)); d != "" {
		t.Errorf("what is left (-before +after):\n%s", d)
	}
}
