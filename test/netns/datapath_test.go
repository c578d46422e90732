package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/platform/tun"
)

// useDatapath is the setting of a datapath.
func useDatapath(name string) string { return fmt.Sprintf("[path]\ndatapath = %q\n", name) }

// translated is how many packets the kernel and the program translated.
func translated(st status, direction string) (kernel, program uint64) {
	kernel = st.Counters["steer-"+direction+"-translated"]
	return kernel, st.Counters[direction+"-translated"] - kernel
}

// TestDatapathIsSwitchedByReload has a flow go on through all datapaths, and status
// name the one in use and why it is not a faster one.
func TestDatapathIsSwitchedByReload(t *testing.T) {
	need(t, "iperf3")
	l, s := ready(t)
	l.server.start("iperf3", "iperf3", "-s", "-4")
	st := s.start().up()
	flow := l.client.start("flow", "iperf3", "-c", documentation, "-b", "50M", "-t", "6", "-i", "1")
	flow.waitFor("local")
	for _, step := range []struct{ value, datapath, note string }{
		{"auto", "bpf", ""},
		{"tun", "tun", `path.datapath is "tun"; "auto" would try bpf first`},
		{"bpf", "bpf", ""},
		{"auto", "bpf", ""},
		{"tun", "tun", `path.datapath is "tun"; "auto" would try bpf first`},
	} {
		s.rewrite(func(text string) string {
			text, _, _ = strings.Cut(text, "[path]")
			return text + useDatapath(step.value)
		})
		s.tell(0, "reload")
		st = s.waitStatus("datapath "+step.datapath, 5*time.Second, func(st status) bool { return deref(st.Datapath) == step.datapath && carries(st) })
		if deref(st.DatapathNote) != step.note {
			t.Errorf("path.datapath %s: note %q, want %q", step.value, deref(st.DatapathNote), step.note)
		}
		kernel, program := translated(st, "4to6")
		if _, err := l.ping(); err != nil {
			t.Errorf("path.datapath %s: %v", step.value, err)
		}
		st, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		nowKernel, nowProgram := translated(st, "4to6")
		if bpf := step.datapath == "bpf"; (nowKernel >= kernel+3) != bpf || !bpf && nowProgram < program+3 {
			t.Errorf("path.datapath %s: packets translated in the kernel %d to %d, by the program %d to %d", step.value, kernel, nowKernel, program, nowProgram)
		}
	}
	if out := s.tell(0, "status"); !regexp.MustCompile(`(?m)^Datapath +tun, steered by tcx\n +path\.datapath is "tun"`).MatchString(out) {
		t.Errorf("status for a person does not say why it is not bpf:\n%s", out)
	}
	<-flow.done
	if flow.err != nil || !strings.Contains(flow.output(), "receiver") {
		t.Errorf("the flow did not live on: %v\n%s", flow.err, flow.output())
	}
	s.rewrite(func(text string) string { return strings.Replace(text, `"tun"`, `"fast"`, 1) })
	if out := s.tell(5, "reload"); !strings.Contains(out, `"fast" is none of auto, bpf, tun`) {
		t.Errorf("a datapath that is none: %s", out)
	}
}

// TestFirewallSees is what ARCHITECTURE.md says of it: the host's firewall and its
// connection tracking see the CLAT's traffic as IPv4 on clat0, and what is translated
// in the kernel not at all on the uplink.
func TestFirewallSees(t *testing.T) {
	for _, datapath := range []string{"bpf", "tun"} {
		t.Run(datapath, func(t *testing.T) {
			l, s := ready(t)
			s.rewrite(func(text string) string { return text + useDatapath(datapath) })
			s.start().up()
			l.client.must("nft", `add table inet look
add chain inet look out { type filter hook output priority 0; }
add chain inet look in { type filter hook input priority 0; }
add chain inet look forward { type filter hook forward priority 0; }
add rule inet look out oifname clat0 ip daddr 198.51.100.10 ct state new,established counter comment "IPv4 out"
add rule inet look in iifname clat0 ip saddr 198.51.100.10 ct state established counter comment "IPv4 in, tracked"
add rule inet look out oifname eth0 ip6 daddr 2001:db8:64:ff9b::/96 counter comment "IPv6 out"
add rule inet look in iifname eth0 ip6 saddr 2001:db8:64:ff9b::/96 counter comment "IPv6 in"
add rule inet look forward counter comment "forwarded"
add table netdev look
add chain netdev look in { type filter hook ingress device eth0 priority 0; }
add chain netdev look out { type filter hook egress device eth0 priority 0; }
add rule netdev look in ip6 saddr 2001:db8:64:ff9b::/96 counter comment "IPv6 on the wire in"
add rule netdev look out ip6 daddr 2001:db8:64:ff9b::/96 counter comment "IPv6 on the wire out"`)
			if _, err := l.ping(); err != nil {
				t.Error(err)
			}
			if out, err := l.curl(5*time.Second, l.url("/1000")); err != nil || len(out) != 1000 {
				t.Errorf("curl: %v", err)
			}
			seen := l.counted()
			t.Logf("%s: %v", datapath, seen)
			for _, c := range []string{"IPv4 out", "IPv4 in, tracked"} {
				if seen[c] < 6 {
					t.Errorf("%s: %d packets, want all of ping and curl", c, seen[c])
				}
			}
			for _, c := range []string{"IPv6 out", "IPv6 in", "forwarded", "IPv6 on the wire in", "IPv6 on the wire out"} {
				if n, ok := seen[c]; !ok || n != 0 {
					t.Errorf("%s: %d packets, want none", c, n)
				}
			}
			// A firewall on clat0 has its way.
			l.client.must("nft", "add rule inet look in iifname clat0 meta l4proto icmp drop")
			if _, err := l.ping(); err == nil {
				t.Error("the answers to ping came through a firewall that drops them on clat0")
			}
			// Native IPv6 to the same NAT64 is seen there.
			l.client.must("ping", "-6", "-c", "3", "-i", "0.2", synthesized(ownPrefix, l.server4))
			for c, n := range l.counted() {
				if strings.HasPrefix(c, "IPv6") && n < 3 {
					t.Errorf("%s: %d packets of the host's own IPv6, want 3", c, n)
				}
			}
		})
	}
}

// counted reads the counters of the client's firewall by their comments.
func (l *lab) counted() map[string]int {
	l.t.Helper()
	out := map[string]int{}
	for _, m := range regexp.MustCompile(`counter packets (\d+) bytes \d+ comment "([^"]+)"`).FindAllStringSubmatch(l.client.must("nft", "list", "ruleset"), -1) {
		out[m[2]], _ = strconv.Atoi(m[1])
	}
	return out
}

// playModem is a link without Ethernet: a TUN device wwan0 here and one in the
// namespace args[0], and what is sent into one comes out of the other.
func playModem(args []string) error {
	if len(args) != 1 {
		return errors.New("want the name of the other namespace")
	}
	here, err := tun.Open("wwan0")
	if err != nil {
		return err
	}
	there, err := tun.Open("wwan1")
	if err != nil {
		return err
	}
	if err := ip("link", "set", "wwan1", "netns", args[0], "name", "wwan0"); err != nil {
		return err
	}
	fmt.Println("ready")
	var g errgroup.Group
	for _, d := range [][2]*tun.Device{{here, there}, {there, here}} {
		g.Go(func() error {
			buf := make([]byte, tun.MaxPacket)
			for {
				h, n, err := d[0].ReadPacket(buf)
				if err != nil {
					return err
				}
				_ = d[1].WritePacket(h, buf[:n], nil) // lost like on the air
			}
		})
	}
	return g.Wait()
}

// TestUplinkWithoutEthernet is that of a modem or a VPN.
func TestUplinkWithoutEthernet(t *testing.T) {
	for _, datapath := range []string{"bpf", "tun"} {
		t.Run(datapath, func(t *testing.T) {
			need(t, "iperf3")
			l := bareLab(t)
			l.server4 = netip.MustParseAddr(documentation)
			l.client, l.server = l.space("client"), l.space("peer")
			l.client.role("modem", l.server.name).waitFor("ready")
			peer6 := synthesized(ownPrefix, l.server4)
			l.server.ip("link set wwan0 addrgenmode none\n link set wwan0 up\n addr add 2001:db8:1::1/64 dev wwan0 nodad\n addr add " + peer6 + "/128 dev wwan0 nodad")
			l.client.ip("link set wwan0 addrgenmode none\n link set wwan0 up\n addr add 2001:db8:1::2/64 dev wwan0 nodad\n -6 route add default dev wwan0")
			l.resolver("2001:db8:1::1") // nobody listens there
			l.web(l.server, peer6)
			l.server.start("iperf3", "iperf3", "-s")
			s := l.service(documentation, "[discovery]\nprefixes = [\""+ownPrefix+"\"]\n"+useDatapath(datapath)).start()
			st := s.up()
			if deref(st.Datapath) != datapath || deref(st.Uplink) != "wwan0" {
				t.Errorf("datapath %s on %s, want %s on wwan0", deref(st.Datapath), deref(st.Uplink), datapath)
			}
			if _, err := l.ping(); err != nil {
				t.Error(err)
			}
			l.transfers(5 << 20)
			st, err := s.status()
			if err != nil {
				t.Fatal(err)
			}
			kernel, program := translated(st, "6to4")
			if bpf := datapath == "bpf"; (kernel > 10) != bpf || (program > 10) == bpf {
				t.Errorf("%d packets translated in the kernel, %d by the program", kernel, program)
			}
		})
	}
}
