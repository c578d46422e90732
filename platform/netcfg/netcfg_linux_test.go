package netcfg

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netmon"
	"github.com/reach64/reach64/platform/netstate"
)

// inNamespace puts the test's thread into a new network namespace, which ends
// with the thread.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("REACH64_REQUIRE") == "all" {
			t.Fatal("required, but needs root for network namespaces")
		}
		t.Skip("needs root for network namespaces")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test's goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

func addLink(t *testing.T, name string) netstate.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{name, name + "p"} {
		l, err := netlink.LinkByName(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	l, ok := read(t).LinkByName(name)
	if !ok {
		t.Fatalf("link %s is not in the snapshot", name)
	}
	return l
}

func read(t *testing.T) netstate.Snapshot {
	t.Helper()
	m, err := netmon.New(quiet())
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wanted is a CLAT's state on two links of the test.
func wanted(uplink, dev int) Want {
	w := Want{Devices: []Device{{Link: dev, MTU: 1400}}}
	a6, a4, r := addr6, addr4, routeA
	a6.Link, a4.Link, r.Link, r.MTU = uplink, dev, dev, 1380
	w.Addrs, w.Routes = []Addr{a6, a4}, []Route{r}
	return w
}

func has(s netstate.Snapshot, link int, a Addr) (netstate.Addr, bool) {
	l, _ := s.Link(link)
	for _, x := range l.Addrs {
		if x.Prefix == a.Prefix {
			return x, true
		}
	}
	return netstate.Addr{}, false
}

func TestKernelTakesTheWholeStateAndGivesItBack(t *testing.T) {
	inNamespace(t)
	up, dev := addLink(t, "up0"), addLink(t, "dev0")
	j, path := openJournal(t)
	c := New(j, quiet())
	w := wanted(up.Index, dev.Index)
	for range 2 { // idempotent
		if err := c.Apply(t.Context(), read(t), w); err != nil {
			t.Fatal(err)
		}
	}
	s := read(t)
	if a, ok := has(s, up.Index, w.Addrs[0]); !ok || !a.Deprecated || a.Autoconf {
		t.Errorf("CLAT address = %+v, %v; want it deprecated", a, ok)
	}
	if l, _ := s.Link(dev.Index); l.MTU != 1400 {
		t.Errorf("MTU = %d, want 1400", l.MTU)
	}
	if lostRoute(s, w.Routes[0]) {
		t.Errorf("no route: %+v", s.Routes)
	}
	for _, r := range s.Routes {
		if r.Dst == w.Routes[0].Dst && r.MTU != 1380 {
			t.Errorf("MTU of the route = %d, want 1380", r.MTU)
		}
		if r.Dst == w.Addrs[0].Prefix {
			t.Errorf("the CLAT address made a prefix route: %+v", r)
		}
	}
	// A process that is killed here leaves all of it; the next one undoes it.
	next := reopen(t, path)
	if _, err := New(next, quiet()).Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := read(t)
	if !lostRoute(after, w.Routes[0]) {
		t.Errorf("the route is still there: %+v", after.Routes)
	}
	for i, link := range []int{up.Index, dev.Index} {
		if _, ok := has(after, link, w.Addrs[i]); ok {
			t.Errorf("address %v is still there", w.Addrs[i])
		}
	}
	if left := next.Entries(); len(left) != 0 {
		t.Errorf("journal still holds %v", left)
	}
}

func TestUndoOfALinkThatIsGone(t *testing.T) {
	inNamespace(t)
	j, path := openJournal(t)
	if _, err := j.Add(journal.Entry{Kind: journal.Address, Link: "gone0", Prefix: addr6.Prefix}); err != nil {
		t.Fatal(err)
	}
	next := reopen(t, path)
	undone, err := New(next, quiet()).Undo(t.Context())
	if err != nil || len(undone) != 0 || len(next.Entries()) != 0 {
		t.Errorf("undone %v, err %v, journal %v", undone, err, next.Entries())
	}
}

// An uplink that is pulled out takes its addresses along. What was ours on it
// must not stand in the way of what comes next.
func TestLinkThatIsPulledOut(t *testing.T) {
	inNamespace(t)
	up, dev := addLink(t, "up0"), addLink(t, "dev0")
	j, _ := openJournal(t)
	c := New(j, quiet())
	if err := c.Apply(t.Context(), read(t), wanted(up.Index, dev.Index)); err != nil {
		t.Fatal(err)
	}
	for _, index := range []int{up.Index, dev.Index} {
		link, err := netlink.LinkByIndex(index)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkDel(link); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Apply(t.Context(), read(t), Want{}); err != nil {
		t.Errorf("take away what went with its link: %v", err)
	}
	if left := j.Entries(); len(left) != 0 {
		t.Errorf("journal still holds %v", left)
	}
	up, dev = addLink(t, "up1"), addLink(t, "dev1")
	if err := c.Apply(t.Context(), read(t), wanted(up.Index, dev.Index)); err != nil {
		t.Errorf("next uplink: %v", err)
	}
}

// The agent may decide twice on one snapshot, which then does not show yet what
// the first decision has added.
func TestKernelSnapshotFromBeforeOurAddition(t *testing.T) {
	inNamespace(t)
	up, dev := addLink(t, "up0"), addLink(t, "dev0")
	j, path := openJournal(t)
	c := New(j, quiet())
	w := wanted(up.Index, dev.Index)
	before := read(t)
	if err := c.Apply(t.Context(), before, w); err != nil {
		t.Fatal(err)
	}
	more := w
	route := routeB
	route.Link = dev.Index
	more.Routes = append([]Route{route}, w.Routes...)
	if err := c.Apply(t.Context(), before, more); err != nil {
		t.Errorf("one route more, on the old snapshot: %v", err)
	}
	if s := read(t); lostRoute(s, route) || lostRoute(s, w.Routes[0]) {
		t.Errorf("routes are missing: %+v", s.Routes)
	}
	if _, err := New(reopen(t, path), quiet()).Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := read(t)
	if _, found := has(s, up.Index, w.Addrs[0]); found || !lostRoute(s, route) {
		t.Error("what was confirmed on an old snapshot is not undone after a crash")
	}
}

func TestMissingCapabilityIsNamed(t *testing.T) {
	inNamespace(t)
	up, dev := addLink(t, "up0"), addLink(t, "dev0")
	j, _ := openJournal(t)
	// Capabilities are the thread's own, and it ends with the test.
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&hdr, &none[0]); err != nil {
		t.Fatal(err)
	}
	w := wanted(up.Index, dev.Index)
	for name, want := range map[string]Want{"device": {Devices: w.Devices}, "address": {Addrs: w.Addrs}, "route": {Routes: w.Routes}} {
		var denied *platform.PermissionError
		if err := New(j, quiet()).Apply(t.Context(), netstate.Snapshot{}, want); !errors.As(err, &denied) || denied.Need != "CAP_NET_ADMIN" {
			t.Errorf("%s: err = %v, want a PermissionError that needs CAP_NET_ADMIN", name, err)
		}
	}
	if left := j.Entries(); len(left) != 0 {
		t.Errorf("journal holds %v, though nothing was changed", left)
	}
}

// What another program has put there stays, also when our journal is undone.
func TestKernelKeepsWhatOthersMade(t *testing.T) {
	inNamespace(t)
	up, dev := addLink(t, "up0"), addLink(t, "dev0")
	w := wanted(up.Index, dev.Index)
	link, err := netlink.LinkByIndex(up.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(link, toAddr(w.Addrs[0])); err != nil {
		t.Fatal(err)
	}
	j, path := openJournal(t)
	c := New(j, quiet())
	if err := c.Apply(t.Context(), read(t), w); !errors.Is(err, fs.ErrExist) {
		t.Errorf("err = %v, want one that says that it is somebody else's", err)
	}
	if err := c.Apply(t.Context(), read(t), Want{}); err != nil {
		t.Error(err)
	}
	if _, err := New(reopen(t, path), quiet()).Undo(t.Context()); err != nil {
		t.Error(err)
	}
	if _, found := has(read(t), up.Index, w.Addrs[0]); !found {
		t.Error("the other's address was taken away")
	}
}

// TestKernelConforms runs the suite that the fake passes.
func TestKernelConforms(t *testing.T) {
	conform(t, func(t *testing.T) machine {
		inNamespace(t)
		up, dev := addLink(t, "up0"), addLink(t, "dev0")
		return machine{system{}, up.Index, dev.Index, func() netstate.Snapshot { return read(t) }, func(link int) {
			l, err := netlink.LinkByIndex(link)
			if err == nil {
				err = netlink.LinkSetDown(l)
			}
			if err != nil {
				t.Fatal(err)
			}
		}}
	})
}
