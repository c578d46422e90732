package diag

import (
	"slices"
	"testing"

	"github.com/reach64/reach64/agent/status"
)

// TestDoctorTellsOfTheRelay: what it carries, and why it is not a faster datapath.
func TestDoctorTellsOfTheRelay(t *testing.T) {
	e := well()
	st := &e.Service.Status
	st.Datapath, st.DatapathNote = status.Ptr("relay"), status.Ptr("packets are not translated: da0 (directaccess-one-address)")
	st.Counters = map[string]uint64{"tcp-opened": 3, "tcp-ended": 1, "4to6-bytes": 70, "6to4-bytes": 9}
	want := []string{"relay; flows: 3, of which 2 are open; 70 bytes out, 9 in", *st.DatapathNote}
	if got := judgeDatapath(e); got.verdict != Pass || !slices.Equal(got.evidence, want) {
		t.Errorf("%s, %q; want %q", got.verdict, got.evidence, want)
	}
	st.CLAT, st.Reason = nil, "directaccess-one-address"
	if got := judgeCLAT(e); got.verdict != Fail {
		t.Errorf("without the relay: %s, want a failure", got.verdict)
	}
}
