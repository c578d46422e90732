package endpoint

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/test/vnet"
)

func relayed(st status.Status) bool { return st.Path == "relay" && st.Exit() == status.ExitOK }

func TestRelayByConfiguration(t *testing.T) {
	t.Parallel()
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
	waitFor(t, s, "counted", func(st status.Status) bool { // what is through is counted a moment later
		return st.Counters["tcp-opened"] > 0 && st.Counters["4to6-bytes"] >= 64<<10 && st.Counters["6to4-bytes"] >= 64<<10
	})
	if c, err := w.Host.DialContext(t.Context(), "tcp4", "198.51.100.10:9"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v, %v; want it refused", c, err)
	}
}
