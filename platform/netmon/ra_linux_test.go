package netmon

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netlink"

	"github.com/reach64/reach64/platform/netstate"
)

// until takes snapshots until one satisfies ok.
func until(t *testing.T, m *Monitor, what string, ok func(netstate.Snapshot) bool) netstate.Snapshot {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s := take(t, m)
		if ok(s) {
			return s
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: not seen in %+v", what, s)
		}
	}
}

func addrIn(s netstate.Snapshot, link string, in netip.Prefix) (netstate.Addr, bool) {
	l, _ := s.LinkByName(link)
	for _, a := range l.Addrs {
		if in.Contains(a.Prefix.Addr()) {
			return a, true
		}
	}
	return netstate.Addr{}, false
}

// advertise sends a router advertisement from the link.
func advertise(t *testing.T, link netlink.Link, adv *ndp.RouterAdvertisement) netip.Addr {
	t.Helper()
	ifi, err := net.InterfaceByIndex(link.Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	conn, from, err := ndp.Listen(ifi, ndp.LinkLocal)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteTo(adv, nil, netip.MustParseAddr("ff02::1")); err != nil {
		t.Fatal(err)
	}
	return from.WithZone("")
}

// settled makes a pair whose ends both have a link-local address past its check.
func settled(t *testing.T, m *Monitor) (a, b netlink.Link) {
	t.Helper()
	a, b = pair(t)
	// Package net remembers the index of a name for a minute, so each run needs another.
	peer := fmt.Sprintf("peer%d", b.Attrs().Index)
	if err := netlink.LinkSetName(b, peer); err != nil {
		t.Fatal(err)
	}
	up(t, a, b)
	linkLocal := netip.MustParsePrefix("fe80::/10")
	until(t, m, "end of duplicate detection", func(s netstate.Snapshot) bool {
		x, okx := addrIn(s, "eth0", linkLocal)
		y, oky := addrIn(s, peer, linkLocal)
		return okx && oky && !x.Tentative && !y.Tentative
	})
	return a, b
}

func TestWhatARouterAdvertises(t *testing.T) {
	m := start(t)
	_, b := settled(t, m)
	prefix := netip.MustParsePrefix("2001:db8:7::/64")
	router := advertise(t, b, &ndp.RouterAdvertisement{CurrentHopLimit: 64, RouterLifetime: time.Minute, Options: []ndp.Option{
		&ndp.PrefixInformation{PrefixLength: 64, OnLink: true, AutonomousAddressConfiguration: true,
			ValidLifetime: time.Hour, PreferredLifetime: time.Hour, Prefix: prefix.Addr()},
		&ndp.MTU{MTU: 1400},
	}})
	s := until(t, m, "address from the prefix", func(s netstate.Snapshot) bool {
		x, ok := addrIn(s, "eth0", prefix)
		return ok && !x.Tentative
	})
	x, _ := addrIn(s, "eth0", prefix)
	if !x.Autoconf || x.Deprecated || x.ValidFor <= 0 || x.ValidFor > time.Hour {
		t.Errorf("address = %+v, want it made by autoconfiguration and valid for an hour", x)
	}
	l, _ := s.LinkByName("eth0")
	if l.MTU != 1500 || l.MTU6 != 1400 {
		t.Errorf("MTU %d, IPv6 MTU %d, want 1500 and the advertised 1400", l.MTU, l.MTU6)
	}
	r, ok := s.Default(true)
	if !ok || r.Gateway != router || r.Link != l.Index {
		t.Errorf("IPv6 default = %+v, %v, want it through %v", r, ok, router)
	}
}
