package sock

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inNamespace puts the test's thread into a new network namespace, which ends
// with the thread, with the loopback link up.
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
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

// pair makes a veth pair eth0 and peer0 with fe80::a and fe80::b.
func pair(t *testing.T) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer0"}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"eth0": "fe80::a/64", "peer0": "fe80::b/64"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, addr); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestBoundSocketUsesNoOtherLink dials a server on the loopback link by an address that
// is not a loopback one.
func TestBoundSocketUsesNoOtherLink(t *testing.T) {
	inNamespace(t)
	pair(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for network, ip := range map[string]string{"tcp4": "192.0.2.1", "tcp6": "2001:db8::1"} {
		addr, err := netlink.ParseAddr(ip + map[string]string{"tcp4": "/32", "tcp6": "/128"}[network])
		if err != nil {
			t.Fatal(err)
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(lo, addr); err != nil {
			t.Fatal(err)
		}
		host := net.JoinHostPort(ip, "0")
		l, err := net.Listen(network, host)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		// The kernel makes the address's route a moment after the address.
		c, err := Dialer("lo").DialContext(t.Context(), "tcp", l.Addr().String())
		for try := 0; err != nil && try < 100; try++ {
			<-time.After(20 * time.Millisecond)
			c, err = Dialer("lo").DialContext(t.Context(), "tcp", l.Addr().String())
		}
		if err != nil {
			t.Errorf("%s over lo: %v", network, err)
		} else {
			_ = c.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if c, err := Dialer("eth0").DialContext(ctx, "tcp", l.Addr().String()); err == nil {
			_ = c.Close()
			t.Errorf("%s over eth0 reached a server on the loopback link", network)
		}
	}
}

// TestStubOfThisMachine: a resolver such as systemd-resolved's 127.0.0.53 is asked, whatever
// link the question is for.
func TestStubOfThisMachine(t *testing.T) {
	inNamespace(t)
	pair(t)
	for _, host := range []string{"127.0.0.53:0", "[::1]:0"} {
		stub, err := net.ListenPacket("udp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer stub.Close()
		go func() { // ends when stub is closed
			buf := make([]byte, 10)
			for {
				n, from, err := stub.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = stub.WriteTo(buf[:n], from)
			}
		}()
		c, err := Dialer("eth0").DialContext(t.Context(), "udp", stub.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("who")); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 10)); err != nil {
			t.Errorf("no answer from %s: %v", host, err)
		}
	}
}

// A link that is pulled out and put in again has its old name and another index.
func TestZoneOfALinkThatCameBack(t *testing.T) {
	inNamespace(t)
	for range 2 {
		l := pair(t)
		c, err := Dialer("").DialContext(t.Context(), "udp", "[fe80::b%eth0]:53")
		if err != nil {
			t.Fatalf("dial over link %d: %v", l.Attrs().Index, err)
		}
		_ = c.Close()
		if err := netlink.LinkDel(l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Dialer("").DialContext(t.Context(), "udp", "[fe80::b%eth0]:53"); err == nil || !strings.Contains(err.Error(), "eth0") {
		t.Errorf("err = %v, want one that names the link that is gone", err)
	}
}

// TestGlobalSourceToALinkLocalServer: the system alone would choose the link-local
// address (spec 6887-5).
func TestGlobalSourceToALinkLocalServer(t *testing.T) {
	inNamespace(t)
	l := pair(t)
	addr, err := netlink.ParseAddr("2001:db8::a/64")
	if err != nil {
		t.Fatal(err)
	}
	addr.Flags = unix.IFA_F_NODAD
	if err := netlink.AddrAdd(l, addr); err != nil {
		t.Fatal(err)
	}
	c, err := Dialer("eth0").DialFrom(t.Context(), "udp", netip.MustParseAddr("2001:db8::a"), "[fe80::b%eth0]:5351")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.LocalAddr().String(); !strings.HasPrefix(got, "[2001:db8::a]:") {
		t.Errorf("source %s", got)
	}
}
