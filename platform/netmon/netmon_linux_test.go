package netmon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform/netstate"
)

// inside says that this process is in a network namespace of its own.
const inside = "REACH64_TEST_NETMON"

// TestMain runs the tests in a network namespace of their own, which needs a
// process of its own: goroutines of one process share no namespace for sure.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		goleak.VerifyTestMain(m)
		return
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := c.Run(); err != nil {
		os.Exit(1)
	}
}

// start returns a monitor of the test's own namespace, emptied of links.
func start(t *testing.T) *Monitor {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("REACH64_REQUIRE") == "all" {
			t.Fatal("required, but needs root for network namespaces")
		}
		t.Skip("needs root for network namespaces")
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	m, err := New(log)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pair makes a veth pair and returns the two links, down.
func pair(t *testing.T) (a, b netlink.Link) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer0"}); err != nil {
		t.Fatal(err)
	}
	a, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if b, err = netlink.LinkByName("peer0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(a) })
	return a, b
}

func up(t *testing.T, links ...netlink.Link) {
	t.Helper()
	for _, l := range links {
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
}

// waitUp waits until the kernel has noticed the carrier, which it does a moment
// after both ends are up.
func waitUp(t *testing.T, m *Monitor, name string) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		if l, _ := take(t, m).LinkByName(name); l.Up {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s does not come up", name)
		}
	}
}

func take(t *testing.T, m *Monitor) netstate.Snapshot {
	t.Helper()
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshotShowsWhatTheKernelHas(t *testing.T) {
	m := start(t)
	a, b := pair(t)
	if l, _ := take(t, m).LinkByName("eth0"); l.Up || !l.Ethernet || l.Loopback || l.MTU != 1500 {
		t.Errorf("link that is down = %+v", l)
	}
	up(t, a)
	if l, _ := take(t, m).LinkByName("eth0"); l.Up {
		t.Error("a link without carrier counts as up")
	}
	up(t, b)
	waitUp(t, m, "eth0")
	for _, text := range []string{"2001:db8:1::2/64", "192.0.2.7/24"} {
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(a, addr); err != nil {
			t.Fatal(err)
		}
	}
	s := take(t, m)
	l, _ := s.LinkByName("eth0")
	if !l.Up || l.MTU6 != 1500 {
		t.Errorf("link that is up = %+v", l)
	}
	found := map[netip.Prefix]netstate.Addr{}
	for _, x := range l.Addrs {
		found[x.Prefix] = x
	}
	six, ok := found[netip.MustParsePrefix("2001:db8:1::2/64")]
	if !ok || !six.Tentative || six.Autoconf {
		t.Errorf("new IPv6 address = %+v, %v; want it tentative and static", six, ok)
	}
	if _, ok := found[netip.MustParsePrefix("192.0.2.7/24")]; !ok {
		t.Errorf("no IPv4 address in %v", l.Addrs)
	}
}

func TestDefaultRoutes(t *testing.T) {
	m := start(t)
	a, b := pair(t)
	up(t, a, b)
	waitUp(t, m, "eth0")
	addr, err := netlink.ParseAddr("192.0.2.7/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(a, addr); err != nil {
		t.Fatal(err)
	}
	_, all4, err := net.ParseCIDR("0.0.0.0/0")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*netlink.Route{
		{LinkIndex: a.Attrs().Index, Dst: all4, Gw: []byte{192, 0, 2, 1}, Priority: 100},
		{Dst: all4, Type: unix.RTN_UNREACHABLE, Priority: 50},
	} {
		if err := netlink.RouteAdd(r); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = netlink.RouteDel(r) })
	}
	r, ok := take(t, m).Default(false)
	if !ok || r.Gateway != netip.MustParseAddr("192.0.2.1") || r.Metric != 100 || r.Link != a.Attrs().Index {
		t.Errorf("IPv4 default = %+v, %v; the unreachable one must not count", r, ok)
	}
	if r, ok := take(t, m).Default(true); ok {
		t.Errorf("IPv6 default = %+v, want none", r)
	}
}

func TestChangesAreSignalled(t *testing.T) {
	m := start(t)
	a, _ := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	// The first signal stands for the begin of the watch; a change that
	// is made until it is seen cannot be missed.
	deadline := time.After(10 * time.Second)
	for i := 0; ; i++ {
		name := fmt.Sprintf("eth0-%d", i)
		if err := netlink.LinkSetName(a, name); err != nil {
			t.Fatal(err)
		}
		select {
		case <-m.Changed():
			if _, ok := take(t, m).LinkByName(name); !ok {
				t.Errorf("no link %s after the signal", name)
			}
			return
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			t.Fatal("no signal")
		}
	}
}

func TestRoutesWithSeveralNextHops(t *testing.T) {
	m := start(t)
	a, b := pair(t)
	up(t, a, b)
	waitUp(t, m, "eth0")
	addr, err := netlink.ParseAddr("192.0.2.7/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(a, addr); err != nil {
		t.Fatal(err)
	}
	index := a.Attrs().Index
	one, two := net.ParseIP("192.0.2.1").To4(), net.ParseIP("192.0.2.2").To4()
	inet6 := net.ParseIP("fe80::1")
	for dst, r := range map[string]*netlink.Route{
		"198.51.100.0/24":   {MultiPath: []*netlink.NexthopInfo{{LinkIndex: index, Gw: one}, {LinkIndex: index, Gw: two}}},
		"203.0.113.0/24":    {LinkIndex: index, Via: &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: inet6}, MTU: 1380},
		"203.0.113.7/32":    {LinkIndex: index, Scope: netlink.SCOPE_LINK},
		"2001:db8:99::/48":  {LinkIndex: index, Gw: inet6, Priority: 77},
		"2001:db8:98::1/48": {Type: unix.RTN_BLACKHOLE},
	} {
		if _, r.Dst, err = net.ParseCIDR(dst); err != nil {
			t.Fatal(err)
		}
		if err := netlink.RouteAdd(r); err != nil {
			t.Fatalf("add route to %s: %v", dst, err)
		}
		t.Cleanup(func() { _ = netlink.RouteDel(r) })
	}
	tests := map[string][]netstate.Route{
		"198.51.100.0/24":  {{Gateway: netip.MustParseAddr("192.0.2.1"), Link: index}, {Gateway: netip.MustParseAddr("192.0.2.2"), Link: index}},
		"203.0.113.0/24":   {{Gateway: netip.MustParseAddr("fe80::1"), Link: index, MTU: 1380}},
		"203.0.113.7/32":   {{Link: index}},
		"2001:db8:99::/48": {{Gateway: netip.MustParseAddr("fe80::1"), Link: index, Metric: 77}},
		"2001:db8:98::/48": {{Reject: true, Link: 1, Metric: 1024}}, // the kernel hangs it on the loopback link
	}
	s := take(t, m)
	for dst, want := range tests {
		var got []netstate.Route
		for _, r := range s.Routes {
			if r.Dst == netip.MustParsePrefix(dst) {
				r.Dst = netip.Prefix{}
				got = append(got, r)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: routes %+v, want %+v", dst, got, want)
		}
	}
}

func TestKindsOfLinks(t *testing.T) {
	m := start(t)
	pair(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "tun0"
	tun := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN}
	if err := netlink.LinkAdd(tun); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(tun) })
	type kind struct{ loopback, tunnel, ethernet bool }
	s := take(t, m)
	for name, want := range map[string]kind{"lo": {loopback: true}, "tun0": {tunnel: true}, "eth0": {ethernet: true}} {
		l, ok := s.LinkByName(name)
		if got := (kind{l.Loopback, l.Tunnel, l.Ethernet}); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for encap, want := range map[string]bool{"ppp": true, "unknown519": true, "sit": true, "ether": false, "loopback": false, "unknown1": false} {
		if isTunnel(encap) != want {
			t.Errorf("isTunnel(%q) = %v", encap, !want)
		}
	}
}

// What changed between a first snapshot and the subscription would be missed
// without a signal when the watch begins.
func TestBeginOfTheWatchIsSignalled(t *testing.T) {
	m := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	select {
	case <-m.Changed():
	case <-time.After(5 * time.Second):
		t.Error("no signal")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
