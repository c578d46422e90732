package icmp6

import (
	"context"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestEcho: a neighbour answers an address that it accepts, and no other.
func TestEcho(t *testing.T) {
	inNamespaces(t, func(netns.NsHandle) {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		here, err := netns.Get()
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		if out, err := exec.Command("ip", "addr", "add", "2001:db8::a/64", "dev", "eth0", "nodad").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		own, global, peer := netip.MustParseAddr("fe80::a"), netip.MustParseAddr("2001:db8::a"), netip.MustParseAddr("fe80::b%eth0")
		within := func(limit time.Duration, from, to netip.Addr) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			return Echo(ctx, l.Attrs().Index, from, to)
		}
		ask := func(from, to netip.Addr) error { return within(700*time.Millisecond, from, to) } // nothing comes
		if err := within(20*time.Second, own, peer); err != nil {
			t.Error(err)
		}
		// The peer has no way to the network of this one, as if it did not accept it.
		if err := ask(global, peer); err == nil {
			t.Error("an answer to an address that the neighbour has no way to")
		}
		if err := ask(netip.MustParseAddr("2001:db8::99"), peer); err == nil {
			t.Error("asked from an address that is not ours")
		}
		if err := ask(global, netip.MustParseAddr("fe80::c")); err == nil {
			t.Error("an answer from nobody")
		}
	})
}
