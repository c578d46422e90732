package vnet

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/miekg/dns"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
)

// TestIPv4OnTheLink: a host with an address reaches servers while IPv4 is passed on, and
// the router alone else. The router answers ARP for its own address alone.
func TestIPv4OnTheLink(t *testing.T) {
	w := newWorld(t, Options{Addr4: netip.MustParsePrefix("192.0.2.1/24"), NoIPv4: true})
	w.online()
	w.listen(7, echoBack)
	gateway := netip.MustParseAddr("192.0.2.1")
	if err := errors.Join(w.host.AddAddr(Uplink, netip.MustParsePrefix("192.0.2.2/24"), false),
		w.host.AddRoute(netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: gateway, Link: Uplink})); err != nil {
		t.Fatal(err)
	}
	if c, err := w.host.DialContext(short(t), "tcp4", netip.AddrPortFrom(server, 7).String()); err == nil {
		c.Close()
		t.Error("a server is reached although IPv4 is not passed on")
	}
	if c, err := w.host.DialContext(w.within(), "tcp4", netip.AddrPortFrom(gateway, 7).String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the router: %v, %v; want it refused", c, err)
	}
	w.router.SetIPv4(true)
	if got := exchange(t, w.dial("tcp4", server, 7), "over IPv4"); got != "over IPv4" {
		t.Errorf("got %q", got)
	}
	// Nobody has 192.0.2.77, so nobody says so.
	if c, err := w.host.DialContext(w.within(), "tcp4", "192.0.2.77:7"); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("an address that nobody has: %v, %v; want no route to host", c, err)
	}
}

// pref64 reads router advertisements until one has a PREF64 option of this lifetime for
// each of the prefixes.
func (w *world) pref64(want map[string]bool) {
	w.Helper()
	for ctx := w.within(); ; {
		msg, _, _, err := w.host.ReadRA(ctx)
		if err != nil {
			w.Fatalf("no router advertisement with %v: %v", want, err)
		}
		m, err := ndp.ParseMessage(msg)
		if err != nil {
			w.Fatal(err)
		}
		left := len(want)
		for _, o := range m.(*ndp.RouterAdvertisement).Options {
			if p, ok := o.(*ndp.PREF64); ok && want[p.Prefix.String()] == (p.Lifetime > 0) {
				left--
			}
		}
		if left == 0 {
			return
		}
	}
}

func TestAnotherPrefix(t *testing.T) {
	const old, now, bad = "64:ff9b::/96", "2001:db8:64::/96", "2001:db8:bad::/96"
	w := newWorld(t, Options{})
	w.online()
	w.listen(7, echoBack)
	w.router.SetPrefix(nat64.MustParse(now))
	w.router.SetAlsoPref64(nat64.MustParse(bad))
	w.pref64(map[string]bool{old: false, now: true, bad: true})
	if got := exchange(t, w.dial("tcp6", nat64.MustParse(now).Embed(server), 7), "new"); got != "new" {
		t.Errorf("got %q", got)
	}
	for _, prefix := range []string{old, bad} {
		if c, err := w.host.DialContext(short(t), "tcp6", netip.AddrPortFrom(nat64.MustParse(prefix).Embed(server), 7).String()); err == nil {
			c.Close()
			t.Errorf("%s is translated", prefix)
		}
	}
	if m, err := w.ask("udp6", "ipv4only.arpa", dns.TypeAAAA); err != nil || !strings.Contains(m.String(), "2001:db8:64::c000:aa") {
		t.Errorf("DNS64 says %v, %v", m, err)
	}
	w.router.SetPrefix(nat64.MustParse(old))
	w.router.SetAlsoPref64()
	w.pref64(map[string]bool{old: true, now: false, bad: false})
}

func TestRenumbering(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	old, now := netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:9::/64")
	w.router.SetPIO(now)
	w.until("an address of the new prefix, and that of the old one deprecated", func(s netstate.Snapshot) bool {
		l, _ := s.Link(Uplink)
		deprecated := map[netip.Prefix]bool{}
		for _, a := range l.Usable6() {
			deprecated[a.Prefix.Masked()] = a.Deprecated
		}
		is, ok := deprecated[now]
		return len(deprecated) == 2 && ok && !is && deprecated[old]
	})
}

// TestMachinesOnTheLink: another one that has an address, and a switch that drops one.
func TestMachinesOnTheLink(t *testing.T) {
	w := newWorld(t, Options{})
	s := w.online()
	l, _ := s.Link(Uplink)
	own, taken, free := l.Usable6()[0].Prefix.Addr(), netip.MustParsePrefix("2001:db8:1::77/128"), netip.MustParsePrefix("2001:db8:1::78/128")
	w.router.SetClaimed(func(a netip.Addr) bool { return a == taken.Addr() })
	if err := errors.Join(w.host.AddAddr(Uplink, taken, false), w.host.AddAddr(Uplink, free, false)); err != nil {
		t.Fatal(err)
	}
	w.until("the one is taken, the other not", func(s netstate.Snapshot) bool {
		a, _ := addrState(s, taken.Addr())
		b, ok := addrState(s, free.Addr())
		return a.DADFailed && ok && !b.Tentative && !b.DADFailed
	})
	router := netip.MustParseAddr("fe80::5eff:fe00:6401")
	for _, from := range []netip.Addr{own, free.Addr()} {
		if err := w.host.Echo(w.within(), Uplink, from, router); err != nil {
			t.Error(err)
		}
	}
	w.router.SetLost(func(a netip.Addr) bool { return a == free.Addr() })
	if err := w.host.Echo(w.within(), Uplink, own, router); err != nil {
		t.Error(err)
	}
	if err := w.host.Echo(short(t), Uplink, free.Addr(), router); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("from an address that is dropped: %v", err)
	}
}

func TestNoRouteIsSaid(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	w.listen(7, echoBack)
	w.router.SetNoRoute(true)
	c, err := w.host.DialContext(w.within(), "tcp6", netip.AddrPortFrom(server6, 7).String())
	if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("%v, %v; want no route", c, err)
	}
	w.router.SetNoRoute(false)
	if got := exchange(t, w.dial("tcp6", server6, 7), "again"); got != "again" {
		t.Errorf("got %q", got)
	}
}

func TestSomebodyElseAnswersDNS(t *testing.T) {
	w := newWorld(t, Options{NoRDNSS: true, Zone: map[string][]netip.Addr{"a.test": {server}, "b.test": {server}}})
	s := w.online()
	if l, _ := s.Link(Uplink); len(l.DNS) > 0 {
		t.Errorf("name servers %v, want none to be advertised", l.DNS)
	}
	w.router.SetAnswer(func(q *dns.Msg) *dns.Msg {
		if q.Question[0].Name == "b.test." {
			return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
		}
		return nil
	})
	for name, want := range map[string]int{"a.test": dns.RcodeSuccess, "b.test": dns.RcodeServerFailure} {
		if m, err := w.ask("udp6", name, dns.TypeA); err != nil || m.Rcode != want {
			t.Errorf("%s: %v, %v; want %s", name, m, err, dns.RcodeToString[want])
		}
	}
}

// TestHostWithTwoLinks: each configures itself, by itself.
func TestHostWithTwoLinks(t *testing.T) {
	t.Parallel()
	internet, err := NewInternet()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	near0, far0 := Pipe()
	near1, far1 := Pipe()
	first, err1 := New(Options{}, far0, internet)
	second, err2 := New(Options{PIO: netip.MustParsePrefix("2001:db8:2::/64")}, far1, internet)
	host, err3 := NewHost(HostOptions{More: []HostLink{{Name: "wlan0", Port: near1, Down: true, Tunnel: true}}}, near0)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, run := range []func(context.Context) error{first.Run, second.Run, host.Run} {
		go func() { ended <- run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		internet.Close()
	})
	w := &world{t, first, host, internet}
	w.online()
	const wlan = Uplink + 1
	l, ok := host.Snapshot().LinkByName("wlan0")
	if !ok || l.Index != wlan || l.Up || !l.Tunnel || l.Ethernet || len(l.Addrs) > 0 {
		t.Errorf("second link %+v, want a tunnel that is down", l)
	}
	if err := errors.Join(host.SetLink(wlan, true), host.Rename(wlan, "wifi")); err != nil {
		t.Fatal(err)
	}
	host.SetResolvers(routerIP)
	s := w.until("an address and a default route on the second link", func(s netstate.Snapshot) bool {
		l, _ := s.LinkByName("wifi")
		return len(l.Usable6()) == 1 && l.Usable6()[0].Prefix.Masked() == netip.MustParsePrefix("2001:db8:2::/64") && len(s.Gateways(wlan)) == 1
	})
	if r, _ := s.Default(true); r.Link != Uplink || !slices.Equal(s.Resolvers, []netip.Addr{routerIP}) {
		t.Errorf("default route %+v, resolvers %v; want the first link's, and %v", r, s.Resolvers, routerIP)
	}
	if err := host.Rename(Uplink, "wifi"); err == nil {
		t.Error("two links have the same name")
	}
	w.listen(7, echoBack)
	for _, link := range []int{Uplink, wlan} {
		c, err := host.DialLink(w.within(), link, "tcp6", netip.AddrPortFrom(server6, 7).String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(limit))
		if got := exchange(t, c, "over a link"); got != "over a link" {
			t.Errorf("link %d: %q", link, got)
		}
		c.Close()
	}
}

// exchange sends text and reads as much.
func exchange(t *testing.T, c interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
}, text string) string {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}
