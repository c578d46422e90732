package netns

import (
	"strings"
	"testing"
	"time"
)

func TestNoNAT64SaysSoAndComesUpByItself(t *testing.T) {
	for _, c := range []struct {
		name     string
		switches []string
		limit    time.Duration
	}{
		{"the router begins to advertise PREF64", []string{"nat64 on", "pref64 on"}, 30 * time.Second},
		{"the resolver begins to synthesize", []string{"nat64 on", "dns64 on"}, 60 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, s := ready(t, "--pref64=false", "--dns64=false", "--nat64=false")
			s.start()
			st := s.waitStatus("there is no NAT64", 30*time.Second, func(st status) bool { return st.Class == "v6-only-no-nat64" })
			if st.Path != "none" || st.code == 0 || st.Reason == "" || st.CLAT != nil {
				t.Errorf("path %s, exit code %d, reason %q, CLAT %v; want none, not 0, one, none", st.Path, st.code, st.Reason, st.CLAT)
			}
			asked := map[string]bool{}
			for _, v := range st.Sources {
				asked[v.Source] = v.Verdict == "none" && v.Reason != ""
			}
			if !asked["ra"] || !asked["dns"] {
				t.Errorf("sources %+v, want ra and dns with the verdict none and a reason", st.Sources)
			}
			begin := time.Now()
			for _, line := range c.switches {
				l.turn(line)
			}
			s.waitStatus("the server answers through the CLAT", c.limit, carries)
			t.Logf("up %v after the switch", time.Since(begin).Round(time.Millisecond))
			l.works()
		})
	}
}

func TestNativeIPv4StandsDown(t *testing.T) {
	l, s := ready(t)
	l.router.sysctl("ipv4/ip_forward", "1")
	l.router.ip("addr add 192.0.2.1/24 dev lan")
	l.server.ip("route add default via " + l.gateway4())
	before := l.client.state()
	s.start().up()

	l.client.ip("addr add 192.0.2.2/24 dev eth0\n route add default via 192.0.2.1")
	st := s.waitStatus("reach64 stands down", 20*time.Second, func(st status) bool {
		return st.Class == "dual-stack" && st.CLAT == nil && answers(st)
	})
	if st.Path != "native" || st.code != 0 {
		t.Errorf("path %s, exit code %d, want native and 0", st.Path, st.code)
	}
	if out := l.client.must("ip", "-4", "route", "get", documentation); !strings.Contains(out, "via 192.0.2.1 dev eth0") {
		t.Errorf("the server's route is %s, want the native one", out)
	}
	if _, err := l.curl(5*time.Second, l.url("/")); err != nil {
		t.Errorf("over native IPv4: %v", err)
	}

	l.client.ip("route del default via 192.0.2.1\n addr del 192.0.2.2/24 dev eth0")
	if again := s.up(); again.PID != st.PID {
		t.Errorf("pid %d, then %d: the service was restarted", st.PID, again.PID)
	}
	l.works()
	s.stop()
	l.client.unchanged(before)
}

// TestRouterGoesAndComesBack takes the default route away while the CLAT runs.
func TestRouterGoesAndComesBack(t *testing.T) {
	l, s := ready(t)
	before := l.client.state()
	first := s.start().up()
	l.turn("ra off") // ends with an advertisement of lifetime zero
	st := s.waitStatus("there is no network", 20*time.Second, func(st status) bool { return st.CLAT == nil && st.Class == "offline" })
	if st.Path != "none" || st.code == 0 {
		t.Errorf("path %s, exit code %d, want none and not 0", st.Path, st.code)
	}
	l.turn("ra on")
	if again := s.up(); again.PID != first.PID {
		t.Errorf("pid %d, then %d: the service was restarted", first.PID, again.PID)
	}
	l.works()
	if out := s.p.output(); strings.Contains(out, "another-clat") {
		t.Errorf("reach64 took its own CLAT for another's:\n%s", out)
	}
	s.stop()
	l.client.unchanged(before)
}

// TestPacketTooBig has a link of 1400 bytes behind the NAT64. The server does
// not tell so in its MSS, so the client learns it by an ICMPv6 error, which the
// CLAT has to translate (RFC 7915 section 5.2, spec SIIT).
func TestPacketTooBig(t *testing.T) {
	need(t, "tayga", "radvd", "unbound")
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	l.router.ip("link set wan mtu 1400")
	l.server.ip("route change 198.51.100.0/24 dev eth0 src " + documentation + " mtu 1400 advmss 1460")
	l.online()
	s := l.service(documentation, "").start()
	st := s.up()
	if st.CLAT.MTU != 1480 {
		t.Fatalf("MTU of the CLAT: %d, want 1480", st.CLAT.MTU)
	}
	// The path carries small packets, and refuses a big one with a size.
	if _, err := l.ping("-M", "do", "-s", "1000"); err != nil {
		t.Error(err)
	}
	if out, err := l.ping("-M", "do", "-s", "1440"); err == nil || !strings.Contains(out, "1400") {
		t.Errorf("ping with 1468 bytes that must not be fragmented: %v, want an error that names 1400: %s", err, out)
	}
	if out := l.client.must("ip", "-4", "route", "get", documentation); !strings.Contains(out, "mtu 1400") {
		t.Errorf("path MTU of the client's kernel: %s, want mtu 1400", out)
	}
	l.client.must("ip", "-4", "route", "flush", "cache") // TCP shall find out by itself
	l.transfers(20 << 20)
	if out := l.client.must("ip", "-4", "route", "get", documentation); !strings.Contains(out, "mtu 1400") {
		t.Errorf("path MTU after the transfer: %s, want mtu 1400", out)
	}
}

// With host routes alone a strict reverse-path filter would drop ICMP errors
// from all but the server itself; the client must learn of them all the same.
func TestICMPErrorsPassAStrictReversePathFilter(t *testing.T) {
	need(t, "tayga", "radvd", "unbound")
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	// The client's system is set up so before reach64 comes; reach64 writes none.
	l.client.must("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter")
	l.online()
	s := l.service(documentation, "").start()
	s.up()
	l.router.ip("route add unreachable " + documentation + "/32")
	out, err := l.ping()
	if err == nil || !strings.Contains(out, "From 192.0.0.8") || !strings.Contains(out, "Unreachable") {
		t.Errorf("ping of a server that is gone: %v, want 'unreachable' from 192.0.0.8:\n%s", err, out)
	}
}

// TestAnotherNAT64TakesOver: the best prefix leads nowhere, and then the one that
// took its place dies. Each time the other one is used, and status says why.
func TestAnotherNAT64TakesOver(t *testing.T) {
	need(t, "tayga", "radvd", "unbound")
	const dead = "2001:db8:dead::/96"
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	l.online()
	s := l.service(documentation, "\n[discovery]\nprefixes = [\""+dead+"\"]\n").start()
	begin := time.Now()
	st := s.up()
	t.Logf("from the start to the first handshake, past a dead NAT64: %v", time.Since(begin).Round(10*time.Millisecond))
	if deref(st.Prefix) != ownPrefix || !strings.Contains(st.text, "through "+dead+" no server answered") {
		t.Errorf("prefix %s; want %s, and a word about the other:\n%s", deref(st.Prefix), ownPrefix, st.text)
	}
	l.works()
}
