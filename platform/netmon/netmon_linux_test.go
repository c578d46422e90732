package netmon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
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
	// The first signals may stand for the subscription's own start; a change that
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
