package vnet

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"

	"github.com/reach64/reach64/platform/netstate"
)

func TestTCPThroughNAT64(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	w.listen(443, echoBack)
	c := w.dial("tcp6", server6, 443)
	sent := bytes.Repeat([]byte("reach64 "), 1<<17)
	go func() {
		c.Write(sent)
		c.(tcpConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Errorf("got %d bytes back, %v, want the %d that were sent", len(got), err, len(sent))
	}
	if n := w.router.Counters(); n.TCP != 1 || n.TCPFailed != 0 {
		t.Errorf("counters %v, want one TCP flow", n)
	}
}

// TestBulk sends much through the memory's cable and reports how fast that was.
func TestBulk(t *testing.T) {
	const size = 50 << 20
	w := newWorld(t, Options{})
	w.online()
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	w.listen(443, func(c net.Conn) {
		for range size / len(chunk) {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	})
	c := w.dial("tcp6", server6, 443)
	c.SetDeadline(time.Now().Add(4 * limit))
	begin, h, want := time.Now(), sha256.New(), sha256.New()
	for range size / len(chunk) {
		want.Write(chunk)
	}
	n, err := io.Copy(h, c)
	if err != nil || n != size || !bytes.Equal(h.Sum(nil), want.Sum(nil)) {
		t.Errorf("got %d bytes, %v, want the %d that were sent", n, err, size)
	}
	t.Logf("%.0f MB/s", float64(n)/1e6/time.Since(begin).Seconds())
}

func TestServerSeesTheRouter(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	w.listen(80, func(c net.Conn) { io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String()) })
	got, err := io.ReadAll(w.dial("tcp6", server6, 80))
	if err != nil || string(got) != "203.0.113.254" {
		t.Errorf("server saw %q, %v, want the router's IPv4 address", got, err)
	}
}

// TestHalfClose: each direction of a flow ends by itself.
func TestHalfClose(t *testing.T) {
	t.Run("the client ends first", func(t *testing.T) {
		w := newWorld(t, Options{})
		w.online()
		w.listen(443, func(c net.Conn) {
			all, _ := io.ReadAll(c) // returns only after the client's end of stream
			io.WriteString(c, "got "+string(all))
		})
		c := w.dial("tcp6", server6, 443)
		io.WriteString(c, "hello")
		c.(tcpConn).CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "got hello" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("the server ends first", func(t *testing.T) {
		w := newWorld(t, Options{})
		w.online()
		heard := make(chan string, 1)
		w.listen(443, func(c net.Conn) {
			io.WriteString(c, "bye")
			c.(interface{ CloseWrite() error }).CloseWrite()
			all, _ := io.ReadAll(c)
			heard <- string(all)
		})
		c := w.dial("tcp6", server6, 443)
		if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
			t.Fatalf("got %q, %v", got, err)
		}
		io.WriteString(c, "still here")
		c.(tcpConn).CloseWrite()
		select {
		case got := <-heard:
			if got != "still here" {
				t.Errorf("server heard %q after its own end", got)
			}
		case <-time.After(limit):
			t.Error("server heard nothing after its own end")
		}
	})
}

func TestRefusedPort(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	if err := w.net.AddHost(server); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err := w.host.DialContext(w.within(), "tcp6", netip.AddrPortFrom(server6, 81).String())
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v, want connection refused", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("it took %v, want a reset at once", d)
	}
}

// TestAbsentServer: without a server there must be no SYN-ACK, or clients would
// believe in a path.
func TestAbsentServer(t *testing.T) {
	w := newWorld(t, Options{DialTimeout: time.Second})
	w.online()
	for range 2 {
		c, err := w.host.DialContext(short(t), "tcp6", netip.AddrPortFrom(server6, 443).String())
		if err == nil {
			c.Close()
			t.Fatal("connected to a server that does not exist")
		}
	}
	if n := w.router.Counters(); n.TCP != 0 || n.TCPFailed == 0 {
		t.Errorf("counters %v, want failed flows only", n)
	}
}

// TestForbiddenAddresses: nobody gets to the router's own machine (spec SEC-11).
func TestForbiddenAddresses(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	for _, ip := range []string{"64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::224.0.0.1", "2001:db8:2::1"} {
		if c, err := w.host.DialContext(short(t), "tcp6", netip.AddrPortFrom(netip.MustParseAddr(ip), 80).String()); err == nil {
			c.Close()
			t.Errorf("connected to %s", ip)
		}
	}
	if n := w.router.Counters(); n.TCP+n.TCPFailed != 0 {
		t.Errorf("counters %v, want nothing dialled", n)
	}
}

func TestUDP(t *testing.T) {
	w := newWorld(t, Options{UDPIdle: 300 * time.Millisecond})
	w.online()
	p, err := w.net.ListenPacket(netip.AddrPortFrom(server, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(buf[:n], from)
		}
	}()
	c := w.dial("udp6", server6, 53)
	for _, size := range []int{0, 1, 1200, 1452, 8000} { // the last one is fragmented
		sent := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 65536)
		n, err := c.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], sent) {
			t.Errorf("%d bytes: got %d, %v", size, n, err)
		}
	}
	if n := w.router.Counters(); n.UDP != 1 {
		t.Errorf("counters %v, want one UDP flow", n)
	}
	eventually(t, "the idle flow ends", func() bool { return w.router.Counters().Flows == 0 })
}

func TestFlowsAreBounded(t *testing.T) {
	w := newWorld(t, Options{MaxFlows: 2})
	w.online()
	w.listen(443, echoBack)
	for range 2 {
		w.dial("tcp6", server6, 443)
	}
	if c, err := w.host.DialContext(short(t), "tcp6", netip.AddrPortFrom(server6, 443).String()); err == nil {
		c.Close()
		t.Error("a third flow was made, want two at most")
	}
	if n := w.router.Counters(); n.Flows != 2 || n.Dropped == 0 {
		t.Errorf("counters %v, want 2 flows and drops", n)
	}
}

func TestNAT64Off(t *testing.T) {
	w := newWorld(t, Options{})
	w.online()
	w.listen(443, echoBack)
	c := w.dial("tcp6", server6, 443)
	w.router.SetNAT64(false)
	io.WriteString(c, "lost")
	c.SetDeadline(time.Now().Add(time.Second))
	var timeout net.Error
	if n, err := c.Read(make([]byte, 8)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read %d bytes, %v, want silence", n, err)
	}
	if d, err := w.host.DialContext(short(t), "tcp6", netip.AddrPortFrom(server6, 443).String()); err == nil {
		d.Close()
		t.Error("connected, want silence")
	}
	w.router.SetNAT64(true)
	c.SetDeadline(time.Now().Add(limit))
	buf := make([]byte, 4)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "lost" {
		t.Errorf("after the NAT64 came back: %q, %v, want the flow to go on", buf, err)
	}
}

func TestNativeIPv6(t *testing.T) {
	internet, err := NewInternet()
	if err != nil {
		t.Fatal(err)
	}
	defer internet.Close()
	at := netip.MustParseAddrPort("[2001:db8:2::10]:443")
	l, err := internet.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, "native")
			c.Close()
		}
	}()
	w := newWorld(t, Options{Dial6: internet})
	w.online()
	if got, err := io.ReadAll(w.dial("tcp6", at.Addr(), at.Port())); err != nil || string(got) != "native" {
		t.Errorf("got %q, %v", got, err)
	}
}

// nextRA waits for an advertisement that holds.
func (w *world) nextRA(what string, holds func(*ndp.RouterAdvertisement) bool) {
	w.Helper()
	ctx := w.within()
	for {
		msg, src, link, err := w.host.ReadRA(ctx)
		if err != nil {
			w.Fatalf("never came: %s: %v", what, err)
		}
		if src != netip.MustParseAddr("fe80::5eff:fe00:6401") || link != Uplink {
			w.Fatalf("advertisement from %v on link %d", src, link)
		}
		m, err := ndp.ParseMessage(msg)
		if err != nil {
			w.Fatalf("parse %x: %v", msg, err)
		}
		if holds(m.(*ndp.RouterAdvertisement)) {
			return
		}
	}
}

// pref64Of returns the lifetime of the PREF64 option, false without one.
func pref64Of(ra *ndp.RouterAdvertisement) (time.Duration, bool) {
	for _, o := range ra.Options {
		if p, ok := o.(*ndp.PREF64); ok {
			return p.Lifetime, true
		}
	}
	return 0, false
}

func TestAdvertisementSwitches(t *testing.T) {
	w := newWorld(t, Options{RAInterval: 200 * time.Millisecond, AdvertiseMTU: true, MTU: 1400})
	w.nextRA("the whole advertisement", func(ra *ndp.RouterAdvertisement) bool {
		want := &ndp.RouterAdvertisement{CurrentHopLimit: 64, RouterLifetime: 30 * time.Minute, Options: []ndp.Option{
			&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: net.HardwareAddr{2, 0, 0x5e, 0, 0x64, 1}},
			&ndp.PrefixInformation{PrefixLength: 64, OnLink: true, AutonomousAddressConfiguration: true,
				ValidLifetime: time.Hour, PreferredLifetime: time.Hour, Prefix: netip.MustParseAddr("2001:db8:1::")},
			&ndp.RecursiveDNSServer{Lifetime: 30 * time.Minute, Servers: []netip.Addr{routerIP}},
			&ndp.MTU{MTU: 1400},
			&ndp.PREF64{Lifetime: 30 * time.Minute, Prefix: netip.MustParsePrefix("64:ff9b::/96")},
		}}
		if diff := cmp.Diff(want, ra, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("advertisement (-want +got):\n%s", diff)
		}
		return true
	})
	w.router.SetPref64(false)
	w.nextRA("PREF64 with lifetime 0 (RFC 8781 section 5)", func(ra *ndp.RouterAdvertisement) bool {
		life, ok := pref64Of(ra)
		return ok && life == 0 && ra.RouterLifetime > 0
	})
	w.nextRA("no PREF64", func(ra *ndp.RouterAdvertisement) bool { _, ok := pref64Of(ra); return !ok })
	w.router.SetPref64(true)
	w.nextRA("PREF64 again", func(ra *ndp.RouterAdvertisement) bool { life, _ := pref64Of(ra); return life > 0 })
	w.online()
	w.router.SetRA(false)
	w.nextRA("the last advertisement", func(ra *ndp.RouterAdvertisement) bool {
		life, ok := pref64Of(ra)
		return ra.RouterLifetime == 0 && ok && life == 0
	})
	w.until("the default route goes", func(s netstate.Snapshot) bool { _, ok := s.Default(true); return !ok })
	sent := w.router.Counters().RA
	time.Sleep(500 * time.Millisecond) // two intervals: real time passes in gVisor
	if got := w.router.Counters().RA; got != sent {
		t.Errorf("%d advertisements after the last one, want none", got-sent)
	}
	w.router.SetRA(true)
	w.online()
}

func TestSolicitationIsAnswered(t *testing.T) {
	w := newWorld(t, Options{RAInterval: time.Hour})
	w.online() // by the host's own solicitation
	for {      // forget those that came already
		ctx := short(t)
		if _, _, _, err := w.host.ReadRA(ctx); err != nil {
			break
		}
	}
	begin := time.Now()
	if err := w.host.Solicit(w.within(), Uplink); err != nil {
		t.Fatal(err)
	}
	w.nextRA("an answer", func(*ndp.RouterAdvertisement) bool { return true })
	if d := time.Since(begin); d > 500*time.Millisecond {
		t.Errorf("answered after %v, want 0.5 s at most (RFC 4861 section 6.2.6)", d)
	}
	if n := w.router.Counters(); n.RS == 0 || !strings.Contains(n.String(), "rs=") {
		t.Errorf("counters %v, want solicitations", n)
	}
}
