package endpoint

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/vnet"
)

const conf = `
[[server]]
name = "198.51.100.10"
port = 8443
tls = false
[probe]
interval = "10s"
timeout = "2s"
`

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

func reached(st status.Status) bool { return st.Path == "clat" && st.Exit() == status.ExitOK }

func TestServerByNameIsRouted(t *testing.T) {
	t.Parallel()
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

func TestDefaultRouteServesAddressesThatAreNotConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	s := start(t, w, strings.Replace(conf, "198.51.100.10", "198.51.100.99", 1)+"[path]\nscope = \"all\"\n")
	st := waitFor(t, s, "up", func(st status.Status) bool { return st.CLAT != nil && st.CLAT.Ready })
	if d := cmp.Diff([]string{"0.0.0.0/0"}, st.CLAT.Routes); d != "" {
		t.Error(d)
	}
	roundTrip(t, w)
}

// Whoever answers for the server's name cannot draw local traffic into the CLAT.
func TestAddressesThatNoServerHasAreNotRouted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, vnet.Options{Zone: map[string][]netip.Addr{"backup.example.test": {netip.MustParseAddr("127.0.0.1"),
		netip.MustParseAddr("169.254.1.1"), netip.MustParseAddr("192.0.0.3"), ServerAddr.Addr(), netip.MustParseAddr("224.0.0.1")}}})
	w.echoServer(t)
	s := start(t, w, strings.Replace(conf, "198.51.100.10", "backup.example.test", 1))
	st := waitFor(t, s, "up", func(st status.Status) bool { return st.CLAT != nil && st.CLAT.Ready })
	if d := cmp.Diff([]string{"198.51.100.10"}, st.CLAT.Routes); d != "" {
		t.Error(d)
	}
}
