package netns

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPathOf1280Bytes has the smallest link that IPv6 allows behind two routers.
// Each side learns of it by an ICMP error that was translated: the client by the
// CLAT, the server by the NAT64.
func TestPathOf1280Bytes(t *testing.T) {
	l, core, plat := deepLab(t)
	core.ip("link set next mtu 1280")
	plat.ip("link set prev mtu 1280")
	l.service(documentation, "").start().up()
	if out, err := l.ping("-M", "do", "-s", "1400"); err == nil || !strings.Contains(out, "1260") {
		t.Errorf("ping with 1428 bytes that must not be fragmented: %v, want an error that names 1260:\n%s", err, out)
	}
	if _, err := l.ping("-M", "do", "-s", "1232"); err != nil { // 1260 bytes of IPv4, 1280 of IPv6
		t.Error(err)
	}
	l.client.must("ip", "-4", "route", "flush", "cache") // TCP shall find out by itself
	l.transfers(5 << 20)
	if out := l.client.must("ip", "-4", "route", "get", documentation); !strings.Contains(out, "mtu 1260") {
		t.Errorf("path MTU of the client's kernel: %s, want mtu 1260", out)
	}
}

// TestIPv4LinkOf1000Bytes has a link behind the NAT64 that is smaller than IPv6
// can be told of. An IPv6 sender then goes down to 1280 bytes and no further, and
// the NAT64 lets what becomes 1260 bytes be fragmented (RFC 7915 section 5.1).
func TestIPv4LinkOf1000Bytes(t *testing.T) {
	l, _, plat := deepLab(t)
	plat.ip("route change 198.51.100.0/24 dev wan mtu lock 1000")
	// tayga 0.9.2 sets DF on everything, as RFC 6145 had it; RFC 7915 does not.
	plat.must("nft", "add table ip conform; add chain ip conform forward { type filter hook forward priority -150; }; "+
		"add rule ip conform forward iifname nat64 ip length <= 1260 ip frag-off set 0")
	l.service(documentation, "").start().up()
	l.transfers(5 << 20)
	if out := l.client.must("ip", "-4", "route", "get", documentation); !strings.Contains(out, "mtu 1260") {
		t.Errorf("path MTU of the client's kernel: %s, want mtu 1260 and no less", out)
	}
}

// TestBlackHole has a router that drops what is too big and says nothing. No
// translator can know; small packets pass, and TCP recovers only by probing (RFC
// 7915 section 7, RFC 4821), which the client's kernel does when it is told to.
func TestBlackHole(t *testing.T) {
	need(t, "ethtool")
	l, core, plat := deepLab(t)
	// The hole shall see packets as they are on a wire, not super-packets.
	l.router.must("ethtool", "-K", "next", "tso", "off", "gso", "off", "gro", "off")
	l.client.must("ethtool", "-K", "eth0", "tso", "off", "gso", "off")
	plat.must("ethtool", "-K", "prev", "tso", "off", "gso", "off", "gro", "off")
	core.must("ethtool", "-K", "prev", "gro", "off")
	core.must("ethtool", "-K", "next", "gro", "off")
	core.must("nft", "add table ip6 hole; add chain ip6 hole forward { type filter hook forward priority 0; }; add rule ip6 hole forward meta length > 1300 drop")
	// The probe's ClientHello is larger than the hole lets pass, so that status says
	// what a person sees who uses such a path.
	s := l.service(documentation, "").start()
	s.waitStatus("TLS is silent", 30*time.Second, func(st status) bool {
		return st.Reason == "server-does-not-answer" && len(st.Servers) == 1 && st.Servers[0].Reason == "tls-timeout"
	})
	if _, err := l.curl(5*time.Second, l.url("/1000")); err != nil {
		t.Errorf("a small answer does not come: %v", err)
	}
	if _, err := l.ping("-M", "do", "-s", "1000"); err != nil {
		t.Error(err)
	}
	upload := l.write("upload", strings.Repeat("x", 1<<20))
	if out, err := l.curl(4*time.Second, "-T", upload, l.url("/")); err == nil {
		t.Errorf("a large upload passed through a black hole: %s", out)
	}
	// The administrator's doing; reach64 writes no sysctl.
	l.client.must("sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_mtu_probing")
	begin := time.Now()
	if out, err := l.curl(20*time.Second, "-T", upload, l.url("/")); err != nil || out != "1048576" {
		t.Errorf("upload with MTU probing: %s, %v", out, err)
	}
	t.Logf("with tcp_mtu_probing=1 the upload took %v", time.Since(begin).Round(10*time.Millisecond))
}

// TestPingOfEverySize sends echo requests with and without DF, in one packet and
// in fragments. Fragments of ICMPv6 are not translated by anybody (RFC 7915
// section 1.2), and answers of more than 1260 bytes come in such: a large ping
// that fails says nothing about TCP.
func TestPingOfEverySize(t *testing.T) {
	l, _, _ := deepLab(t)
	l.service(documentation, "").start().up()
	tests := []struct {
		name              string
		args              []string
		reaches, answered bool
	}{
		{"1480 bytes, the MTU of the CLAT", []string{"-M", "do", "-s", "1452"}, true, false},
		{"one byte more", []string{"-M", "do", "-s", "1453"}, false, false},
		{"1260 bytes, 1280 in IPv6", []string{"-M", "do", "-s", "1232"}, true, true},
		{"the same without DF", []string{"-M", "dont", "-s", "1232"}, true, true},
		{"one byte more without DF is cut", []string{"-M", "dont", "-s", "1233"}, false, false},
		{"fragments from the host", []string{"-M", "dont", "-s", "3000"}, false, false},
	}
	for _, tt := range tests {
		before := l.echoes()
		out, err := l.ping(tt.args...)
		if reached := l.echoes() > before; reached != tt.reaches || (err == nil) != tt.answered {
			t.Errorf("%s: reached the server %v, answered %v (%v); want %v, %v\n%s", tt.name, reached, err == nil, err, tt.reaches, tt.answered, out)
		}
	}
}

// echoes is how many echo requests the server has received.
func (l *lab) echoes() (n int) {
	l.t.Helper()
	var names []string
	for line := range strings.Lines(l.server.must("cat", "/proc/net/snmp")) {
		fields := strings.Fields(line)
		if fields[0] != "Icmp:" {
			continue
		}
		if i := slices.Index(names, "InEchos"); i >= 0 {
			n, _ = strconv.Atoi(fields[i])
			return n
		}
		names = fields
	}
	l.t.Fatal("no InEchos in /proc/net/snmp")
	return 0
}
