package netns

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// relays tells whether the server answers through the relay.
func relays(st status) bool { return st.Path == "relay" && st.CLAT != nil && answers(st) }

func (s *service) relaying() status {
	s.l.t.Helper()
	return s.waitStatus("the server answers through the relay", 20*time.Second, relays)
}

// managed makes the network one that gives single addresses: the router
// advertises no prefix to make addresses of, and DHCPv6's answer is put in place.
func managed(t *testing.T, flags ...string) (*lab, *service) {
	t.Helper()
	need(t, "restic", "rclone", "dig", "unbound")
	l := newLab(t, documentation)
	l.embedded(append([]string{"--prefix", ownPrefix, "--managed"}, flags...)...)
	l.client.ip("addr add 2001:db8:1::77/128 dev eth0")
	l.online()
	return l, l.service(documentation, "")
}

// TestRelayWithoutASlash64: nothing but one address, and a backup as everywhere.
func TestRelayWithoutASlash64(t *testing.T) {
	l, s := managed(t)
	l.backupServer()
	conf := l.write("dns.conf", `server:
	chroot: ""
	username: ""
	use-syslog: no
	directory: "`+l.tmp+`"
	pidfile: "`+l.file("dns.pid")+`"
	do-ip6: no
	interface: 0.0.0.0
	access-control: 0.0.0.0/0 allow
	local-zone: "relay.test." static
	local-data: "relay.test. TXT over-udp"
`)
	l.server.start("dns", "unbound", "-d", "-c", conf).waitFor("start of service")
	l.server.role("echo", "udp4", ":5000")
	l.fails()
	before, sysctls := l.client.state(), l.client.sysctls()
	st := s.start().relaying()
	if deref(st.Datapath) != "relay" || st.Reason != "relay-carries-ipv4" || !strings.Contains(deref(st.DatapathNote), "no-slash-64") || st.CLAT.IPv6 != "" || st.code != 0 {
		t.Errorf("datapath %s (%s), reason %s, CLAT %+v, exit code %d", deref(st.Datapath), deref(st.DatapathNote), st.Reason, st.CLAT, st.code)
	}
	l.present(before)
	if addrs, err := l.client.addrs(); err != nil || slices.ContainsFunc(addrs, func(a address) bool {
		return a.Link == "eth0" && a.Family == "inet6" && a.Scope == "global" && a.Local != "2001:db8:1::77"
	}) {
		t.Errorf("addresses %v, %v: the relay needs no second one", addrs, err)
	}
	l.works()
	l.transfers(20 << 20)
	l.backUp(100 << 20)
	if out := l.client.must("dig", "+short", "+tries=1", "+time=3", "@"+documentation, "relay.test", "TXT"); !strings.Contains(out, "over-udp") {
		t.Errorf("DNS over UDP: %q", out)
	}
	for _, size := range []int{0, 1, 1452, 1473, 9000, 65507} {
		l.asks("udp4", documentation+":5000", size)
	}
	if out, err := l.ping("-s", "20000"); err != nil {
		t.Errorf("a large echo request: %v: %s", err, out)
	}
	if diff := changed(sysctls, l.client.sysctls()); len(diff) > 0 {
		t.Errorf("sysctls changed: %q", diff)
	}
	s.stop()
	l.client.unchanged(before)
	l.fails()
}

// asks wants n bytes to come back.
func (l *lab) asks(network, addr string, n int) {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	if out, err := l.client.try(5*time.Second, "env", roleVariable+"=ask", self, network, addr, strconv.Itoa(n)); err != nil {
		l.t.Errorf("%d bytes over %s: %v: %s", n, network, err, out)
	}
}

// TestRelayShowsWhatTheServerIs: a client cannot tell the relay from the server.
func TestRelayShowsWhatTheServerIs(t *testing.T) {
	l, s := managed(t)
	s.start().relaying()
	for _, tt := range []struct{ name, port, want string }{
		{"nobody listens", "9", "Connection refused"},
		{"positive control", strconv.Itoa(webPort), "200"},
	} {
		out, _ := l.client.try(10*time.Second, "curl", "-4", "-sS", "-o", os.DevNull, "-w", "%{http_code}", "--cacert", l.ca, "--max-time", "5", "https://"+documentation+":"+tt.port+"/")
		if !strings.Contains(out, tt.want) && !strings.Contains(out, "Failed to connect") || tt.want == "200" && !strings.Contains(out, tt.want) {
			t.Errorf("%s: curl says %q, want %q", tt.name, out, tt.want)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := l.client.try(8*time.Second, "env", roleVariable+"=ask", self, "udp4", documentation+":9", "4"); err == nil || !strings.Contains(out, "refused") {
		t.Errorf("a datagram to a closed port: %v: %s", err, out)
	}
	begin := time.Now()
	l.server.must("nft", "add table ip wall; add chain ip wall input { type filter hook input priority 0; }; add rule ip wall input tcp dport 10 drop; "+
		"add rule ip wall input tcp dport 11 reject with icmp host-unreachable")
	if out, err := l.curlPort("10", 3); err == nil || !strings.Contains(out, "timed out") && !strings.Contains(out, "timeout") {
		t.Errorf("a server that drops everything: %v after %v: %s, want silence", err, time.Since(begin), out)
	}
	// The host's own firewall's word, and the network's.
	l.client.must("nft", "add table ip6 wall; add chain ip6 wall output { type filter hook output priority 0; }; add rule ip6 wall output ip6 daddr "+ownPrefix+" udp dport 12 reject with icmpv6 no-route")
	for _, dial := range []string{"udp/" + documentation + "/12", "tcp/" + documentation + "/11"} {
		out, err := l.client.try(8*time.Second, "bash", "-c", "exec 3<>/dev/"+dial+" && echo x >&3 && sleep 0.2 && echo y >&3")
		if err == nil || !strings.Contains(out, "Network is unreachable") && !strings.Contains(out, "No route to host") {
			t.Errorf("an unreachable server, %s: %v: %s", dial, err, out)
		}
	}
	st, err := s.status()
	if err != nil || st.Counters["tcp-refused"] == 0 || st.Counters["udp-refused"] == 0 || st.Counters["tcp-unreachable"] == 0 || st.Counters["udp-unreachable"] == 0 {
		t.Errorf("counters %v, %v", st.Counters, err)
	}
}

// curlPort asks a port of the server's for at most limit seconds.
func (l *lab) curlPort(port string, limit int) (string, error) {
	return l.client.try(time.Duration(limit+3)*time.Second, "curl", "-4", "-sS", "-k", "--max-time", strconv.Itoa(limit), "https://"+documentation+":"+port+"/")
}

// TestRelayKilled: kill -9 leaves nothing that the next start or cleanup does not
// remove.
func TestRelayKilled(t *testing.T) {
	l, s := managed(t)
	before := l.client.state()
	first := s.start().relaying()
	s.kill9()
	s.start()
	st := s.relaying()
	if st.CLAT.Device != first.CLAT.Device || st.CLAT.IPv4 != first.CLAT.IPv4 {
		t.Errorf("CLAT %+v, before it was killed %+v", st.CLAT, first.CLAT)
	}
	l.works()
	s.kill9()
	if out, code, err := runFor(10*time.Second, l.client.command(t.Context(), s.binary, "cleanup", "--config", s.conf)); err != nil || code != 0 {
		t.Errorf("cleanup: exit code %d, %v: %s%s", code, err, out.stdout, out.stderr)
	}
	l.client.unchanged(before)
}

// TestDemoWithoutRoot plays the demo as nobody. This machine's /dev/net/tun may be
// root's alone, so a folder of its own holds one for everybody, as distributions
// have it.
func TestDemoWithoutRoot(t *testing.T) {
	need(t, "setpriv", "unshare", "mount")
	lab := binary(t, "reach64-lab")
	out, code, err := runFor(60*time.Second, exec.Command("unshare", "--mount", "sh", "-c",
		`mount -t tmpfs none /dev/net && mknod /dev/net/tun c 10 200 && chmod 755 /dev/net && chmod 666 /dev/net/tun &&
		exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0" demo --bytes 20000000`, lab))
	if strings.Contains(out.stdout, "User namespaces cannot be used here") {
		if os.Getenv("REACH64_REQUIRE") == "all" {
			t.Fatalf("REACH64_REQUIRE=all, but: %s", out.stdout)
		}
		t.Skip(out.stdout)
	}
	if err != nil || code != 0 || !strings.Contains(out.stdout, "namespaces of uid 65534") || !strings.Contains(out.stdout, "relay (relay-carries-ipv4)") ||
		!strings.Contains(out.stdout, "The demo worked") {
		t.Errorf("exit code %d, %v:\n%s%s", code, err, out.stdout, out.stderr)
	}
}
