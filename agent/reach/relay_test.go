package reach

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/pref64"
)

// relaying adds what a running relay leaves in the network state.
func (w *world) relaying() *world {
	w.Own = Own{Device: 9, Ready: true}
	w.Net.Links = append(w.Net.Links, netstate.Link{Index: 9, Name: "clat0", Up: true, Tunnel: true,
		Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("192.0.0.3/32")}}})
	return w
}

// TestRelayTakesThePlaceOfTranslation: with the reason that a person is shown.
func TestRelayTakesThePlaceOfTranslation(t *testing.T) {
	nat64 := func() *world { return v6only().prefix(prefixA, pref64.RA) }
	want := New(Settings{}).Step(t0, nat64().World).Intent.CLAT
	tunnel := func() *world { return v6only().tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.OS, 7) }
	failed := func(r Reason) *world {
		w := nat64()
		w.Failed = Failure{Reason: r, Detail: "steer packets: not permitted; it needs CAP_BPF", For: want}
		return w
	}
	for name, tt := range map[string]struct {
		w      *world
		set    Settings
		relay  bool
		reason Reason
		note   string // a part of it
	}{
		"a /64":                               {nat64(), Settings{}, false, ReasonCLATStarting, ""},
		"no /64":                              {nat64().only128(), Settings{}, true, ReasonCLATStarting, "no-slash-64"},
		"no /64, a relay is not allowed":      {nat64().only128(), Settings{Relay: RelayNever}, false, ReasonNo64, ""},
		"a tunnel, a relay is not allowed":    {tunnel(), Settings{Relay: RelayNever}, false, ReasonOneAddress, ""},
		"a tunnel, a relay is wanted":         {tunnel(), Settings{Relay: RelayAlways}, true, ReasonCLATStarting, "path.datapath"},
		"a /64, a relay is wanted":            {nat64(), Settings{Relay: RelayAlways}, true, ReasonCLATStarting, "path.datapath"},
		"no BPF":                              {failed(ReasonNotPermitted), Settings{}, true, ReasonCLATStarting, "CAP_BPF"},
		"steering failed":                     {failed(ReasonDatapath), Settings{}, true, ReasonCLATStarting, "datapath-failed"},
		"every address is in use":             {failed(ReasonDuplicate), Settings{}, true, ReasonCLATStarting, "duplicate-address"},
		"no BPF, a relay is not allowed":      {failed(ReasonNotPermitted), Settings{Relay: RelayNever}, false, ReasonNotPermitted, ""},
		"others keep taking the address away": {failed(ReasonContested), Settings{}, false, ReasonContested, ""},
		"native IPv4: neither":                {nat64().only128().native4(), Settings{Relay: RelayAlways}, false, ReasonNativeIPv4, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(tt.set)
			m.Step(t0, nat64().World)
			out := m.Step(t0, tt.w.World)
			if c := out.Intent.CLAT; c.Uplink != 0 && tt.reason == ReasonOneAddress {
				t.Errorf("a CLAT %+v", c)
			}
			if out.Intent.CLAT.Relay != tt.relay || out.Reason != tt.reason || !strings.Contains(out.Note, tt.note) || (out.Note == "") != (tt.note == "") {
				t.Errorf("relay %v, %q, note %q; want %v, %q, %q", out.Intent.CLAT.Relay, out.Reason, out.Note, tt.relay, tt.reason, tt.note)
			}
		})
	}
}

// TestRelayStaysUntilTheNetworkChanges: trying the faster way again would break
// every flow.
func TestRelayStaysUntilTheNetworkChanges(t *testing.T) {
	m, now := New(Settings{}), t0
	step := func(w *world) Out {
		now = now.Add(time.Minute)
		w.Epoch = m.epoch
		return m.Step(now, w.World)
	}
	nat64 := func() *world { return v6only().prefix(prefixA, pref64.RA) }
	translating := step(nat64()).Intent.CLAT
	w := nat64()
	w.Failed = Failure{Reason: ReasonNotPermitted, Detail: "no BPF", For: translating}
	if out := step(w); !out.Intent.CLAT.Relay {
		t.Fatalf("no relay: %+v", out)
	}
	for range 3 {
		if out := step(nat64().relaying().probed(PathRelay, true)); out.Path != PathRelay || out.Reason != ReasonRelayUp || out.Note == "" {
			t.Fatalf("%v, %q, note %q; want the relay", out.Path, out.Reason, out.Note)
		}
	}
	if out := step(nat64().relaying().probed(PathRelay, false)); out.Path != PathRelay || out.Reason != ReasonServerSilent {
		t.Errorf("%v, %q; want that the server is silent over the relay", out.Path, out.Reason)
	}
	step(v6only().down())
	if out := step(nat64()); out.Intent.CLAT.Relay {
		t.Errorf("the faster way is not tried in the next network: %+v", out)
	}
	w = nat64()
	w.Failed = Failure{Reason: ReasonNotPermitted, Detail: "no BPF", For: m.intent}
	step(w)
	m.Set(Settings{})
	if out := step(nat64()); out.Intent.CLAT.Relay {
		t.Errorf("the faster way is not tried after a reload: %+v", out)
	}
}

// TestRelayThatFailsIsSaid: there is nothing behind it.
func TestRelayThatFailsIsSaid(t *testing.T) {
	m := New(Settings{})
	nat64 := func() *world { return v6only().prefix(prefixA, pref64.RA).only128() }
	relay := m.Step(t0, nat64().World).Intent.CLAT
	w := nat64()
	w.Failed = Failure{Reason: ReasonNotPermitted, Detail: "open device", For: relay}
	if out := m.Step(t0, w.World); out.Path != PathNone || out.Reason != ReasonNotPermitted || out.Detail != "open device" {
		t.Errorf("%v, %q, %q", out.Path, out.Reason, out.Detail)
	}
}
