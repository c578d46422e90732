package sock

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/test/vnet"
)

// inside dials in a network namespace, whatever thread it is called on.
type inside struct {
	Bound
	ns netns.NsHandle
}

func (d inside) do(dial func() (net.Conn, error)) (net.Conn, error) {
	type result struct {
		net.Conn
		error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(d.ns); err != nil {
			done <- result{nil, err}
			return
		}
		c, err := dial()
		done <- result{c, err}
	}()
	r := <-done
	return r.Conn, r.error
}

func (d inside) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.do(func() (net.Conn, error) { return d.Bound.DialContext(ctx, network, addr) })
}

func (d inside) DialFrom(ctx context.Context, network string, from netip.Addr, addr string) (net.Conn, error) {
	return d.do(func() (net.Conn, error) { return d.Bound.DialFrom(ctx, network, from, addr) })
}

// TestPrefixByPCPOverARealLink asks a router behind a veth pair. The link-local
// server has to see the host's global address (spec 6887-5).
func TestPrefixByPCPOverARealLink(t *testing.T) {
	inNamespace(t)
	l := pair(t)
	host, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	own := netip.MustParseAddr("2001:db8:1::10")
	give(t, l, own.String()+"/64", true)
	peer, err := netlink.LinkByName("peer0")
	if err != nil {
		t.Fatal(err)
	}
	router, err := netns.New() // this thread is in it from now on
	if err != nil {
		t.Fatal(err)
	}
	defer router.Close()
	if err := netns.Set(host); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetNsFd(peer, int(router)); err != nil {
		t.Fatal(err)
	}
	if err := netns.Set(router); err != nil {
		t.Fatal(err)
	}
	give(t, peer, "fe80::b/64", false)
	conn, err := net.ListenPacket("udp6", "[fe80::b%peer0]:5351")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var server vnet.PCP
	server.Restart(time.Now())
	server.Set(vnet.PCPSettings{Prefixes: []vnet.PCPPrefix{{Prefix: netip.MustParsePrefix("2001:db8:64::/96")}}})
	go func() { // ends when conn is closed
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(server.Reply(time.Now(), from.(*net.UDPAddr).AddrPort(), buf[:n]), from)
		}
	}()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	links := []discover.Link{{Index: l.Attrs().Index, Name: "eth0", Routers: []netip.Addr{netip.MustParseAddr("fe80::b")}}}
	r := discover.Once(ctx, discover.Config{Sources: []pref64.Source{pref64.PCP}}, links, nil,
		func(link string) dnsq.Dialer { return inside{Dialer(link), host} })
	if len(r.Candidates) != 1 || r.Candidates[0].Prefix.String() != "2001:db8:64::/96" || r.Candidates[0].Server.String() != "fe80::b%eth0" {
		t.Errorf("report %+v", r)
	}
	if q := server.Requests(); len(q) != 1 || q[0].From.Addr() != own {
		t.Errorf("asked by %+v, want once by %v", q, own)
	}
}

// give sets a link up and gives it an address, and a default route over it.
func give(t *testing.T, l netlink.Link, text string, route bool) {
	t.Helper()
	addr, err := netlink.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	addr.Flags = unix.IFA_F_NODAD
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(l, addr); err != nil {
		t.Fatal(err)
	}
	if route {
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP("fe80::b")}); err != nil {
			t.Fatal(err)
		}
	} else if err := netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: &net.IPNet{IP: net.ParseIP("2001:db8:1::"), Mask: net.CIDRMask(64, 128)}}); err != nil {
		t.Fatal(err)
	}
}
