package icmp6

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
)

// namespaceOf runs f with the thread in a namespace and brings it back.
func namespaceOf(t *testing.T, ns netns.NsHandle, f func()) {
	t.Helper()
	here, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if err := netns.Set(ns); err != nil {
		t.Fatal(err)
	}
	f()
	if err := netns.Set(here); err != nil {
		t.Fatal(err)
	}
}

// send sends an ICMPv6 message from an address of the peer to all nodes.
func send(t *testing.T, peer netns.NsHandle, from string, hopLimit int, msg []byte) {
	t.Helper()
	namespaceOf(t, peer, func() {
		c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		cm := &ipv6.ControlMessage{IfIndex: ifi.Index, HopLimit: hopLimit, Src: net.ParseIP(from)}
		if _, err := ipv6.NewPacketConn(c).WriteTo(msg, cm, &net.IPAddr{IP: net.ParseIP("ff02::1")}); err != nil {
			t.Fatal(err)
		}
	})
}

func run(t *testing.T, command string) {
	t.Helper()
	args := strings.Fields(command)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// adv is an advertisement whose current hop limit tells it from others.
func adv(mark byte) []byte { return append([]byte{134, 0, 0, 0, mark}, make([]byte, 11)...) }

func TestOnlyValidAdvertisementsAreRead(t *testing.T) {
	inNamespaces(t, func(peer netns.NsHandle) {
		namespaceOf(t, peer, func() { run(t, "ip addr add 2001:db8::b/64 dev eth0 nodad") })
		c, err := Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		code1 := adv(1)
		code1[1] = 1
		send(t, peer, "fe80::b", 255, code1)
		send(t, peer, "fe80::b", 254, adv(2))                                      // came through a router
		send(t, peer, "2001:db8::b", 255, adv(3))                                  // not link-local
		send(t, peer, "fe80::b", 255, adv(4)[:12])                                 // too short
		send(t, peer, "fe80::b", 255, append([]byte{136, 0, 0, 0}, adv(5)[4:]...)) // a neighbour advertisement
		send(t, peer, "fe80::b", 255, adv(64))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		msg, src, _, err := c.ReadRA(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if msg[4] != 64 || src.WithZone("") != netip.MustParseAddr("fe80::b") {
			t.Errorf("read %x from %v, want the last that was sent", msg, src)
		}
	})
}

// The service stops reading at each change of network and starts again.
func TestReadAfterACancelledRead(t *testing.T) {
	inNamespaces(t, func(peer netns.NsHandle) {
		c, err := Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range byte(100) {
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			if _, _, _, err := c.ReadRA(gone); !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled read: %v", err)
			}
			send(t, peer, "fe80::b", 255, adv(i))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			msg, _, _, err := c.ReadRA(ctx)
			cancel()
			if err != nil || msg[4] != i {
				t.Fatalf("read %d after a cancelled one: %x, %v", i, msg, err)
			}
		}
	})
}

func TestSolicitNeedsALinkLocalAddress(t *testing.T) {
	inNamespaces(t, func(netns.NsHandle) {
		run(t, "ip addr del fe80::a/64 dev eth0")
		run(t, "ip addr add 2001:db8::a/64 dev eth0 nodad")
		c, err := Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Solicit(t.Context(), ifi.Index); err == nil || !strings.Contains(err.Error(), "no link-local address") {
			t.Errorf("err = %v, want one that says that there is no link-local address", err)
		}
		run(t, "ip addr add fe80::a/64 dev eth0") // with duplicate detection
		if err := c.Solicit(t.Context(), ifi.Index); err == nil {
			t.Error("solicited from an address that may be another's")
		}
		if err := c.Solicit(t.Context(), 9999); err == nil {
			t.Error("solicited on a link that does not exist")
		}
	})
}

// A link that is pulled out and put in again has its old name and another index.
func TestSolicitOnALinkThatCameBack(t *testing.T) {
	inNamespaces(t, func(netns.NsHandle) {
		c, err := Open()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 2 {
			ifi, err := net.InterfaceByName("eth0")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Solicit(t.Context(), ifi.Index); err != nil {
				t.Errorf("solicit on link %d: %v", ifi.Index, err)
			}
			run(t, "ip link del eth0")
			run(t, "ip link add eth0 type veth peer name peer0")
			run(t, "ip link set eth0 addrgenmode none")
			run(t, "ip link set eth0 up")
			run(t, "ip link set peer0 up")
			run(t, "ip addr add fe80::a/64 dev eth0 nodad")
		}
	})
}

// Close may come before the read or during it; both happen in so many rounds.
func TestCloseEndsARead(t *testing.T) {
	for range 50 {
		c, err := Open()
		if err != nil {
			skip(t, err.Error())
		}
		begun, done := make(chan struct{}), make(chan error, 1)
		go func() {
			close(begun)
			_, _, _, err := c.ReadRA(context.Background())
			done <- err
		}()
		<-begun
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if !errors.Is(err, net.ErrClosed) {
				t.Fatalf("err = %v, want net.ErrClosed", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the read goes on")
		}
	}
}

func TestMissingCapabilityIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "needs root to give capabilities away")
	}
	runtime.LockOSThread() // never unlocked: capabilities are the thread's, which dies with the test
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&hdr, &none[0]); err != nil {
		t.Fatal(err)
	}
	var denied *platform.PermissionError
	if _, err := Open(); !errors.As(err, &denied) || denied.Need != "CAP_NET_RAW" {
		t.Errorf("err = %v, want a PermissionError that needs CAP_NET_RAW", err)
	}
}
