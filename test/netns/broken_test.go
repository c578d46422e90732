package netns

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reach64/reach64/platform/tun"
)

// TestIPv4ThatLeadsNowhere: an address, a default route, and a router that passes no
// IPv4. 'There is IPv4' would be a wrong verdict; the CLAT works. When the router
// mends it, the machine goes back to native IPv4.
func TestIPv4ThatLeadsNowhere(t *testing.T) {
	l, s := ready(t)
	l.router.ip("addr add 192.0.2.1/24 dev lan")
	l.server.ip("route add default via " + l.gateway4())
	before := l.client.state()
	l.client.ip("addr add 192.0.2.2/24 dev eth0\n route add default via 192.0.2.1")
	broken := l.client.state()
	begin := time.Now()
	s.start()
	st := s.waitStatus("the CLAT takes over", 40*time.Second, func(st status) bool { return st.Class == "broken-ipv4" && carries(st) })
	t.Logf("taken over %v after the start", time.Since(begin).Round(time.Millisecond))
	if st.code != 0 || st.Reason != "clat-carries-ipv4" {
		t.Errorf("exit code %d, reason %s", st.code, st.Reason)
	}
	l.works()
	if out := l.client.must("ip", "-4", "route", "get", "192.0.2.77"); !strings.Contains(out, "dev eth0") {
		t.Errorf("the rest of IPv4 goes %s, want eth0 as before", out)
	}
	l.router.sysctl("ipv4/ip_forward", "1")
	begin = time.Now()
	s.waitStatus("native IPv4 is taken back", 60*time.Second, func(st status) bool { return st.Class == "dual-stack" && st.CLAT == nil && answers(st) })
	t.Logf("taken back %v after the router was mended", time.Since(begin).Round(time.Millisecond))
	l.client.unchanged(broken)
	l.client.ip("route del default via 192.0.2.1\n addr del 192.0.2.2/24 dev eth0")
	s.up()
	s.stop()
	l.client.unchanged(before)
}

// TestServerDownIsNotBrokenIPv4: where the NAT64 leads to no server either, native IPv4
// is left alone, and status says that no server answers.
func TestServerDownIsNotBrokenIPv4(t *testing.T) {
	l, s := ready(t, "--nat64=false")
	l.router.ip("addr add 192.0.2.1/24 dev lan")
	l.client.ip("addr add 192.0.2.2/24 dev eth0\n route add default via 192.0.2.1")
	before := l.client.state()
	s.start()
	st := s.waitStatus("no server answers", 40*time.Second, func(st status) bool { return st.Class == "broken-ipv4" })
	if st.code != 11 || st.CLAT != nil || st.Reason != "ipv4-without-path" {
		t.Errorf("exit code %d, CLAT %v, reason %s; want 11, none, ipv4-without-path", st.code, st.CLAT, st.Reason)
	}
	l.client.unchanged(before)
}

// TestIPv6ThatLeadsNowhere: an address, a default route, and a router that passes
// nothing on. It is told apart from a server that is down, and from DNS that is.
func TestIPv6ThatLeadsNowhere(t *testing.T) {
	l, s := ready(t)
	s.start().up()
	l.turn("dns off")
	l.turn("nat64 off")
	s.tell(0, "refresh")
	begin := time.Now()
	st := s.waitStatus("nothing answers", 40*time.Second, func(st status) bool { return st.Class == "broken-ipv6" })
	t.Logf("noticed %v after the last packet", time.Since(begin).Round(time.Millisecond))
	if st.code != 11 || st.Path != "none" || st.Reason != "ipv6-without-path" || !strings.Contains(st.Detail, "does not answer on eth0") {
		t.Errorf("exit code %d, path %s, reason %s, detail %q; want 11, none, ipv6-without-path and the DNS server", st.code, st.Path, st.Reason, st.Detail)
	}
	l.turn("nat64 on")
	s.waitStatus("the server answers", 40*time.Second, carries)
	l.turn("dns on")
	l.works()
	s.stop()
}

// TestSilentDNS: the prefix is to be had from DNS alone, and no DNS server answers.
func TestSilentDNS(t *testing.T) {
	l, s := ready(t, "--pref64=false")
	l.turn("dns off")
	s.start()
	st := s.waitStatus("DNS does not answer", 40*time.Second, func(st status) bool { return st.Class == "broken-dns" })
	if st.code != 11 || st.CLAT != nil || st.Reason != "dns-does-not-answer" || !strings.Contains(st.Detail, lanRouter) {
		t.Errorf("exit code %d, CLAT %v, reason %s, detail %q; want 11, none, dns-does-not-answer and %s", st.code, st.CLAT, st.Reason, st.Detail, lanRouter)
	}
	l.turn("dns on")
	s.up()
	l.works()
	s.stop()
}

// TestOtherCLATThatLeadsNowhere: another program's CLAT is there and has lost its
// NAT64. reach64 says so, and with leave reaches the servers itself, nothing else.
func TestOtherCLATThatLeadsNowhere(t *testing.T) {
	l, yields := ready(t)
	l.client.ip("link add v4-eth0 type veth peer name nowhere\n link set v4-eth0 addrgenmode none\n link set nowhere addrgenmode none\n link set nowhere up\n link set v4-eth0 up\n addr add 192.0.0.4/32 dev v4-eth0\n route add default dev v4-eth0")
	before := l.client.state()
	yields.start()
	st := yields.waitStatus("the other CLAT is found out", 40*time.Second, func(st status) bool { return st.Class == "broken-clat" && st.Path == "synthesized" })
	if st.Reason != "another-clat-without-path" || st.CLAT != nil || !strings.Contains(st.Detail, "v4-eth0 has the address 192.0.0.4") {
		t.Errorf("reason %s, CLAT %v, detail %q; want another-clat-without-path, none, v4-eth0", st.Reason, st.CLAT, st.Detail)
	}
	yields.stop()
	s := l.service(documentation, "[path]\nother_clat = \"take-over\"\nscope = \"all\"\n")
	s.start()
	st = s.waitStatus("taken over", 40*time.Second, func(st status) bool { return st.Class == "broken-clat" && carries(st) })
	if st.CLAT.IPv4 == "192.0.0.4" || len(st.CLAT.Routes) != 1 || st.CLAT.Routes[0] != documentation {
		t.Errorf("CLAT %+v; want another address than 192.0.0.4, and one route", st.CLAT)
	}
	l.works()
	if out := l.client.must("ip", "-4", "route", "get", "192.0.2.77"); !strings.Contains(out, "dev v4-eth0") {
		t.Errorf("the rest of IPv4 goes %s, want v4-eth0 as before", out)
	}
	s.stop()
	l.client.unchanged(before)
}

// playVPN keeps a tunnel open that drops what is sent into it.
func playVPN(args []string) error {
	if len(args) != 1 {
		return errors.New("want a name")
	}
	d, err := tun.Open(args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for buf := make([]byte, tun.MaxPacket); err == nil; {
		_, _, err = d.ReadPacket(buf)
	}
	return err
}

// TestVPNIsNativeIPv4: a VPN with both halves of the IPv4 space goes before the
// CLAT, and status says that IPv4 goes through a tunnel.
func TestVPNIsNativeIPv4(t *testing.T) {
	l, s := ready(t)
	before := l.client.state()
	s.start().up()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	vpn := l.client.start("vpn", "env", roleVariable+"=vpn", self, "vpn0")
	vpn.waitFor("ready")
	l.client.ip("addr add 10.9.0.2/24 dev vpn0\n link set vpn0 up\n route add 0.0.0.0/1 dev vpn0\n route add 128.0.0.0/1 dev vpn0")
	st := s.waitStatus("stands down for the VPN", 20*time.Second, func(st status) bool { return st.Path == "native" && st.CLAT == nil })
	if st.Class != "dual-stack" || st.Detail != "IPv4 default route on vpn0, a tunnel such as a VPN's" {
		t.Errorf("class %s, detail %q; want dual-stack and vpn0", st.Class, st.Detail)
	}
	if _, err := vpn.end(syscall.SIGTERM, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	s.up()
	s.stop()
	l.client.unchanged(before)
}

// TestUnreachableIsHeard: a router that answers 'no route' to the NAT64's prefix is
// believed at once, not at the next probe a minute later, and so is its recovery soon
// after.
func TestUnreachableIsHeard(t *testing.T) {
	need(t, "tayga", "radvd", "unbound")
	l := newLab(t, documentation)
	l.lan()
	l.tayga(ownPrefix)
	l.unbound(ownPrefix)
	l.radvd()
	l.online()
	s := l.service(documentation, "")
	s.start().up()
	l.router.ip("route del " + ownPrefix + " dev nat64")
	l.router.ip("route add unreachable " + ownPrefix)
	begin := time.Now()
	l.fails() // the client's own traffic is what tells
	st := s.waitStatus("the NAT64 is lost", 10*time.Second, func(st status) bool { return st.Reason == "server-does-not-answer" })
	t.Logf("noticed %v after the client's first try, exit code %d", time.Since(begin).Round(time.Millisecond), st.code)
	l.router.ip("route del unreachable " + ownPrefix)
	l.router.ip("route add " + ownPrefix + " dev nat64")
	s.up()
	l.works()
	s.stop()
}
