package icmp6

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/vishvananda/netns"
)

// inNamespaces makes two namespaces with a cable, link-local addresses without
// duplicate detection, and runs f on a thread in the first.
func inNamespaces(t *testing.T, f func(peer netns.NsHandle)) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root for network namespaces")
	}
	a, b := fmt.Sprintf("r64icmp6-%d-a", os.Getpid()), fmt.Sprintf("r64icmp6-%d-b", os.Getpid())
	t.Cleanup(func() {
		for _, ns := range []string{a, b} {
			_ = exec.Command("ip", "netns", "del", ns).Run()
		}
	})
	for _, args := range []string{
		"netns add " + a, "netns add " + b,
		"-n " + a + " link add eth0 type veth peer name eth0 netns " + b,
		"-n " + a + " link set eth0 addrgenmode none", "-n " + b + " link set eth0 addrgenmode none",
		"-n " + a + " link set eth0 up", "-n " + b + " link set eth0 up",
		"-n " + a + " addr add fe80::a/64 dev eth0 nodad", "-n " + b + " addr add fe80::b/64 dev eth0 nodad",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	runtime.LockOSThread() // never unlocked: the thread dies with the test's goroutine
	here, err := netns.GetFromName(a)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := netns.GetFromName(b)
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	defer peer.Close()
	if err := netns.Set(here); err != nil {
		t.Fatal(err)
	}
	f(peer)
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("REACH64_REQUIRE") == "all" {
		t.Fatal("required, but ", why)
	}
	t.Skip(why)
}

func TestAdvertisementAndSolicitationCross(t *testing.T) {
	inNamespaces(t, func(peer netns.NsHandle) {
		here, err := netns.Get()
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		c, err := Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		own, err := net.InterfaceByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		if err := netns.Set(peer); err != nil {
			t.Fatal(err)
		}
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		router, _, err := ndp.Listen(ifi, ndp.LinkLocal)
		if err != nil {
			t.Fatal(err)
		}
		defer router.Close()
		if err := router.JoinGroup(netip.MustParseAddr("ff02::2")); err != nil {
			t.Fatal(err)
		}
		if err := netns.Set(here); err != nil {
			t.Fatal(err)
		}
		if err := c.Solicit(t.Context(), own.Index); err != nil {
			t.Fatal(err)
		}
		if err := router.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for {
			msg, _, from, err := router.ReadFrom()
			if err != nil {
				t.Fatalf("the router got no solicitation: %v", err)
			}
			if _, ok := msg.(*ndp.RouterSolicitation); ok && from.WithZone("") == netip.MustParseAddr("fe80::a") {
				break
			}
		}
		adv := &ndp.RouterAdvertisement{CurrentHopLimit: 64, RouterLifetime: time.Minute,
			Options: []ndp.Option{&ndp.PREF64{Lifetime: 600 * time.Second, Prefix: netip.MustParsePrefix("64:ff9b::/96")}}}
		if err := router.WriteTo(adv, nil, netip.MustParseAddr("ff02::1")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		msg, src, link, err := c.ReadRA(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if src != netip.MustParseAddr("fe80::b%eth0") || link != own.Index || msg[0] != 134 || len(msg) != 32 {
			t.Errorf("got %x from %v on link %d", msg, src, link)
		}
	})
}

func TestCancelledReadReturns(t *testing.T) {
	c, err := Open()
	if err != nil {
		skip(t, err.Error())
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := c.ReadRA(ctx); err == nil {
		t.Error("a cancelled read returned without error")
	}
}
