package netns

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// playEcho sends back what comes to args[1] over network args[0]: udp4, or
// ip4:NUMBER for an IP protocol.
func playEcho(args []string) error {
	if len(args) != 2 {
		return errors.New("want a network and an address")
	}
	c, err := net.ListenPacket(args[0], args[1])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(buf[:n], from); err != nil {
			return err
		}
	}
}

// playAsk sends args[2] bytes to args[1] over network args[0] and wants them back.
func playAsk(args []string) error {
	if len(args) != 3 {
		return errors.New("want a network, an address and a size")
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	c, err := net.Dial(args[0], args[1])
	if err != nil {
		return err
	}
	defer c.Close()
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(rand.Uint32())
	}
	got := make([]byte, 1<<16)
	for range 3 { // the first may only teach the server the path MTU
		if _, err = c.Write(want); err != nil {
			continue
		}
		if err = c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		var n int
		if n, _, err = c.(net.PacketConn).ReadFrom(got); err != nil { // without the IPv4 header, unlike Read
			continue
		}
		if !bytes.Equal(got[:n], want) {
			return fmt.Errorf("%d other bytes came back", n)
		}
		fmt.Println("the same came back")
		return nil
	}
	return err
}

// role starts this test binary as another program in a namespace.
func (s *space) role(name string, args ...string) *process {
	s.l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.l.t.Fatal(err)
	}
	return s.start(name+"-"+strings.NewReplacer(":", "-").Replace(args[0]), "env", append([]string{roleVariable + "=" + name, self}, args...)...)
}

// TestDatagramsAndOtherProtocols sends UDP in fragments both ways, GRE and SCTP,
// as packets that the kernel lets a raw socket send.
func TestDatagramsAndOtherProtocols(t *testing.T) {
	l, _, plat := deepLab(t)
	// The kernel's NAT wants to understand GRE and SCTP; they go by their addresses.
	plat.must("nft", "add table ip raw; add chain ip raw prerouting { type filter hook prerouting priority -300; }; "+
		"add rule ip raw prerouting ip protocol { 47, 132 } notrack")
	l.server.ip("route add 192.168.255.0/24 via " + l.gateway4())
	l.service(documentation, "").start().up()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		network, port string
		sizes         []int
	}{
		{"udp4", ":5000", []int{4, 1232, 1233, 1452, 1453, 4000, 9000, 30000}}, // one, two, and up to 25 fragments
		{"ip4:47", "", []int{4, 1400, 4000}},                                   // GRE
		{"ip4:132", "", []int{12, 1400, 4000}},                                 // SCTP
		{"ip4:253", "", []int{40}},                                             // for experiments, RFC 3692
	} {
		l.server.role("echo", tt.network, documentation+tt.port).waitFor("ready")
		for _, n := range tt.sizes {
			if _, err := l.client.try(6*time.Second, "env", roleVariable+"=ask", self, tt.network, documentation+tt.port, strconv.Itoa(n)); err != nil {
				t.Errorf("%s, %d bytes: %v", tt.network, n, err)
			}
		}
	}
}

// TestLargeDNSAnswersOverUDP asks a server on the IPv4 side for answers of up to
// 4096 bytes, which come in fragments.
func TestLargeDNSAnswersOverUDP(t *testing.T) {
	need(t, "named", "dig")
	l, _, _ := deepLab(t)
	var zone strings.Builder
	zone.WriteString("$TTL 60\n@ SOA ns hostmaster 1 60 60 60 5\n@ NS ns\nns A " + documentation + "\n")
	for _, n := range []int{1, 5, 7, 15} {
		fmt.Fprintf(&zone, "t%d TXT", n)
		for range n {
			zone.WriteString(" \"" + strings.Repeat("x", 250) + "\"")
		}
		zone.WriteByte('\n')
	}
	conf := l.write("big.conf", fmt.Sprintf(`options { directory %q; listen-on { %s; }; listen-on-v6 { none; }; recursion no; pid-file %q; session-keyfile none;
	max-udp-size 4096; edns-udp-size 4096; allow-query { any; }; };
controls { };
zone "big.test" { type primary; file %q; };
`, l.tmp, documentation, l.file("named.pid"), l.write("big.test.zone", zone.String())))
	l.server.start("named", "named", "-g", "-n", "1", "-c", conf).waitFor("running")
	l.service(documentation, "").start().up()
	for _, n := range []int{1, 5, 7, 15} {
		out, err := l.client.try(10*time.Second, "dig", "-4", "@"+documentation, "+notcp", "+ignore", "+bufsize=4096", "+tries=1", "+timeout=4", fmt.Sprintf("t%d.big.test", n), "TXT")
		size := regexp.MustCompile(`MSG SIZE +rcvd: (\d+)`).FindStringSubmatch(out)
		if err != nil || size == nil || strings.Contains(out, "flags: qr aa tc") || strings.Count(out, "x") < n*250 {
			t.Errorf("TXT of %d bytes: %v\n%s", n*250, err, out)
			continue
		}
		t.Logf("TXT of %d bytes: an answer of %s bytes over UDP", n*250, size[1])
	}
}
