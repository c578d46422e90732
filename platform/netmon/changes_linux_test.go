package netmon

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/netstate"
)

// TestEveryChangeIsTold: what happens to a link and its addresses is told by a signal
// and stands in the snapshot after it.
func TestEveryChangeIsTold(t *testing.T) {
	m := start(t)
	m.root = t.TempDir()
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(m.root, "none"))
	a, b := settled(t, m)
	run(t, m)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	six := netip.MustParsePrefix("2001:db8:9::7/64")
	addr := func(flags, preferred int) *netlink.Addr {
		x, err := netlink.ParseAddr(six.String())
		must(err)
		x.Flags, x.ValidLft, x.PreferedLft = flags, 3600, preferred
		return x
	}
	// One with a lifetime the kernel would take away when it fails.
	twin, forever := addr(unix.IFA_F_NODAD, 3600), &netlink.Addr{IPNet: addr(0, 0).IPNet}
	index := a.Attrs().Index
	of := func(s netstate.Snapshot) netstate.Addr {
		l, _ := s.Link(index)
		for _, x := range l.Addrs {
			if x.Prefix == six {
				return x
			}
		}
		return netstate.Addr{}
	}
	var router netip.Addr
	for _, step := range []struct {
		what string
		do   func()
		seen func(s netstate.Snapshot) bool
	}{
		{"an address", func() { must(netlink.AddrAdd(a, addr(unix.IFA_F_NODAD, 3600))) }, func(s netstate.Snapshot) bool { x := of(s); return x.Prefix == six && !x.Deprecated && !x.Tentative }},
		{"its deprecation", func() { must(netlink.AddrReplace(a, addr(unix.IFA_F_NODAD, 0))) }, func(s netstate.Snapshot) bool { return of(s).Deprecated }},
		{"its end", func() { must(netlink.AddrDel(a, addr(0, 0))) }, func(s netstate.Snapshot) bool { return of(s).Prefix != six }},
		{"an address that is in use", func() { must(netlink.AddrAdd(b, twin)); must(netlink.AddrAdd(a, forever)) }, func(s netstate.Snapshot) bool { return of(s).DADFailed && !of(s).Tentative }},
		{"a smaller MTU", func() { must(netlink.LinkSetMTU(a, 1400)) }, func(s netstate.Snapshot) bool { l, _ := s.Link(index); return l.MTU == 1400 && l.MTU6 == 1400 }},
		{"an advertised MTU", func() {
			router = advertise(t, b, &ndp.RouterAdvertisement{RouterLifetime: time.Minute, Options: []ndp.Option{&ndp.MTU{MTU: 1300}}})
		}, func(s netstate.Snapshot) bool { l, _ := s.Link(index); return l.MTU6 == 1300 && l.MTU == 1400 }},
		{"the router, by then", func() {}, func(s netstate.Snapshot) bool { r, ok := s.Default(true); return ok && r.Gateway == router }},
		{"no carrier", func() { must(netlink.LinkSetDown(b)) }, func(s netstate.Snapshot) bool { l, _ := s.Link(index); return !l.Up }},
		{"the carrier again", func() { must(netlink.LinkSetUp(b)) }, func(s netstate.Snapshot) bool { l, _ := s.Link(index); return l.Up }},
		{"another name", func() { must(netlink.LinkSetName(a, "lan7")) }, func(s netstate.Snapshot) bool { l, _ := s.Link(index); return l.Name == "lan7" }},
		{"a link that is pulled out", func() { must(netlink.LinkDel(a)) }, func(s netstate.Snapshot) bool { _, ok := s.Link(index); return !ok }},
	} {
		step.do()
		deadline := time.After(10 * time.Second)
		for !step.seen(take(t, m)) {
			select {
			case <-m.Changed():
			case <-deadline:
				t.Fatalf("%s: not told, or not seen in %+v", step.what, take(t, m))
			}
		}
	}
}
