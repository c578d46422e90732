package packet

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestSniffSeesBothWays: on the loopback link a packet goes out and comes in.
func TestSniffSeesBothWays(t *testing.T) {
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
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := Sniff("lo", 64)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := net.Dial("udp6", "[::1]:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ways := map[bool]int{}
	for ways[true] == 0 || ways[false] == 0 {
		p, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if p.Length == 548 && len(p.Data) == 64 && p.Data[0]>>4 == 6 {
			ways[p.Outbound]++
		}
	}
	if s.Lost() != 0 {
		t.Errorf("%d packets lost", s.Lost())
	}
	cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := Sniff("nolink", 64); err == nil {
		t.Error("a link that there is not")
	}
}
