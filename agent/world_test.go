package agent

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/discover"
)

// A snapshot that was read before a CLAT was taken down must not make it
// somebody else's.
func TestSnapshotWithoutWhatIsGone(t *testing.T) {
	prefix := netip.MustParsePrefix
	old := netip.MustParseAddr("2001:db8:1::c1a7")
	s := netstate.Snapshot{
		Links: []netstate.Link{
			{Index: 2, Name: "eth0", Addrs: []netstate.Addr{{Prefix: prefix("2001:db8:1::2/64")}, {Prefix: netip.PrefixFrom(old, 128)}}},
			{Index: 9, Name: "clat0", Addrs: []netstate.Addr{{Prefix: prefix("192.0.0.3/32")}}}},
		Routes:    []netstate.Route{{Dst: prefix("::/0"), Link: 2}, {Dst: prefix("198.51.100.10/32"), Link: 9}},
		Resolvers: []netip.Addr{netip.MustParseAddr("2001:db8:1::1")},
	}
	want := netstate.Snapshot{
		Links:     []netstate.Link{{Index: 2, Name: "eth0", Addrs: []netstate.Addr{{Prefix: prefix("2001:db8:1::2/64")}}}},
		Routes:    []netstate.Route{{Dst: prefix("::/0"), Link: 2}},
		Resolvers: s.Resolvers,
	}
	compare := []cmp.Option{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	if d := cmp.Diff(want, without(s, reach.Own{Device: 9, Addr6: old}), compare...); d != "" {
		t.Error(d)
	}
	if len(s.Links[0].Addrs) != 2 {
		t.Error("the snapshot itself was changed")
	}
	if d := cmp.Diff(s, without(s, reach.Own{}), compare...); d != "" {
		t.Error(d)
	}
}

// The address of a CLAT that has gone is free, also to a decision on a snapshot from
// before: the next one takes it, so that it is the same in the same network.
func TestAddressOfTheLastCLATIsFree(t *testing.T) {
	log, _ := logtest.NewNullLogger()
	a, err := New(log, config.Config{}, Edges{DialLink: func(string) Dialer { return nil }}, 1)
	if err != nil {
		t.Fatal(err)
	}
	a.gone = reach.Own{Device: 9, Addr6: netip.MustParseAddr("2001:db8:1::c1a7")}
	s := netstate.Snapshot{Links: []netstate.Link{{Index: 9, Name: "clat0", Up: true, Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("192.0.0.3/32")}}}}}
	if got := reach.FreeIPv4(a.world(time.Now(), s, discover.Report{}).Net); got != netip.MustParseAddr("192.0.0.3") {
		t.Errorf("the next CLAT would take %v", got)
	}
}
