package netns

import (
	"testing"
	"time"
)

// TestNetworkThatForgetsTheCLATsAddress: a switch with a list of addresses drops what
// comes from the CLAT's, as if it had aged out. reach64 tells that from a dead NAT64,
// and draws another one.
func TestNetworkThatForgetsTheCLATsAddress(t *testing.T) {
	need(t, "tayga", "radvd", "unbound")
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	l.online()
	s := l.service(documentation, "[probe]\ninterval = \"10s\"\ntimeout = \"1s\"\n")
	before := l.client.state()
	first := s.start().up()
	l.router.must("nft", "add table netdev savi; add chain netdev savi in { type filter hook ingress device lan priority 0; }; "+
		"add rule netdev savi in ip6 saddr "+first.CLAT.IPv6+" drop")
	l.router.ip("neigh flush dev lan")
	begin := time.Now()
	st := s.waitStatus("another address carries", 40*time.Second, func(st status) bool { return carries(st) && st.CLAT.IPv6 != first.CLAT.IPv6 })
	t.Logf("carries with another address after %v", time.Since(begin).Round(time.Millisecond))
	if st.PID != first.PID {
		t.Error("the service was started anew")
	}
	s.p.waitFor("but no longer the CLAT's")
	l.works()
	s.stop()
	l.client.unchanged(before)
}

// TestRouterForgetsItsNeighbours: it asks again, and the CLAT's address answers, though
// it is deprecated and has no prefix route.
func TestRouterForgetsItsNeighbours(t *testing.T) {
	need(t, "tayga", "radvd", "unbound")
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	l.online()
	s := l.service(documentation, "").start()
	st := s.up()
	for range 3 {
		l.router.ip("neigh flush dev lan")
		l.works()
	}
	if again, err := s.status(); err != nil || again.CLAT == nil || again.CLAT.IPv6 != st.CLAT.IPv6 {
		t.Errorf("CLAT %+v (%v), want it as before", again.CLAT, err)
	}
}
