package endpoint

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/test/vnet"
)

func relayed(st status.Status) bool { return st.Path == "relay" && st.Exit() == status.ExitOK }

func TestRelayByConfiguration(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	s := start(t, w, conf+"[path]\ndatapath = \"relay\"\n")
	st := waitFor(t, s, "reached through the relay", relayed)
	if st.Datapath == nil || *st.Datapath != "relay" || st.CLAT == nil || st.CLAT.IPv6 != nil || st.CLAT.Steered != "" || st.Reason != "relay-carries-ipv4" {
		t.Errorf("status %+v, CLAT %+v", st, st.CLAT)
	}
	if st.DatapathNote == nil || !strings.Contains(*st.DatapathNote, "path.datapath") {
		t.Errorf("note %v, want that it is by configuration", st.DatapathNote)
	}
	roundTrip(t, w)
	if c := s.Agent.Status().Counters; c["tcp-opened"] == 0 || c["4to6-bytes"] < 1<<20 || c["6to4-bytes"] < 1<<20 {
		t.Errorf("counters %v", c)
	}
	if c, err := w.Host.DialContext(t.Context(), "tcp4", "198.51.100.10:9"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v, %v; want it refused", c, err)
	}
}

// TestRelayWithoutASlash64: the network gives single addresses.
func TestRelayWithoutASlash64(t *testing.T) {
	w := newWorld(t, vnet.Options{Managed: true})
	w.echoServer(t)
	if err := w.Host.AddAddr(vnet.Uplink, netip.MustParsePrefix("2001:db8:1::77/128"), false); err != nil { // as DHCPv6 does
		t.Fatal(err)
	}
	s := start(t, w, conf)
	st := waitFor(t, s, "reached through the relay", relayed)
	if st.DatapathNote == nil || !strings.Contains(*st.DatapathNote, "no-slash-64") {
		t.Errorf("note %v, want why packets are not translated", st.DatapathNote)
	}
	roundTrip(t, w)
}

func TestRelayTakesOverFromSteeringThatFails(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	w.NoSteering = errors.New("steering is not to be had")
	s := start(t, w, conf)
	st := waitFor(t, s, "reached through the relay", relayed)
	if st.DatapathNote == nil || !strings.Contains(*st.DatapathNote, "steering is not to be had (datapath-failed)") {
		t.Errorf("note %v, want why packets are not translated", st.DatapathNote)
	}
	roundTrip(t, w)
	tun, err := config.Parse("memory", []byte(conf+"[path]\ndatapath = \"tun\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Agent.Reload(t.Context(), tun); err != nil {
		t.Error(err)
	}
	st = waitFor(t, s, "down, since nothing else is allowed", func(st status.Status) bool { return st.Reason == "datapath-failed" })
	if st.CLAT != nil || st.Datapath != nil {
		t.Errorf("status %+v", st)
	}
}

func TestStopOfTheRelayUndoesEverything(t *testing.T) {
	w := newWorld(t, vnet.Options{})
	w.echoServer(t)
	for l, ok := w.Host.Snapshot().Link(vnet.Uplink); !ok || len(l.Usable6()) == 0; l, ok = w.Host.Snapshot().Link(vnet.Uplink) {
		select {
		case <-w.Host.Changed():
		case <-time.After(10 * time.Second):
			t.Fatal("the host has no address")
		}
	}
	before := state(w.Host)
	s, err := w.Start(conf+"[path]\ndatapath = \"relay\"\n", t.TempDir(), newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, "reached", relayed)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if after := state(w.Host); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
