package netns

import (
	"strings"
	"testing"
	"time"
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
