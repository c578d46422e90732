package netns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// playCrowd opens args[0] connections to args[1] at once, sends a byte over each and
// wants it back, says so, and holds them until SIGTERM.
func playCrowd(args []string) error {
	if len(args) != 2 {
		return errors.New("want a number and an address")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var g errgroup.Group
	var mu sync.Mutex
	var held []net.Conn
	begin := time.Now()
	for range n {
		g.Go(func() error {
			c, err := net.DialTimeout("tcp4", args[1], 30*time.Second)
			if err != nil {
				return err
			}
			mu.Lock()
			held = append(held, c)
			mu.Unlock()
			if _, err := c.Write([]byte{7}); err != nil {
				return err
			}
			_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
			_, err = io.ReadFull(c, make([]byte, 1))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Printf("all %d are open after %v\n", len(held), time.Since(begin).Round(time.Millisecond))
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return nil
}

// playTCPEcho sends back what comes over TCP to args[0].
func playTCPEcho(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			for b := make([]byte, 512); ; { // io.Copy would take a pipe for each
				n, err := c.Read(b)
				if err != nil {
					return
				}
				_, _ = c.Write(b[:n])
			}
		}()
	}
}

// TestRelayCarriesManyFlows opens as many connections at once as a relay has to
// hold, in steps, and measures its memory. None may be lost.
func TestRelayCarriesManyFlows(t *testing.T) {
	need(t)
	l := bareLab(t)
	l.server4 = netip.MustParseAddr(documentation)
	l.client, l.server = l.space("client"), l.space("peer")
	l.server.ip("link add eth0 type veth peer name eth0 netns " + l.client.name + "\n addr add 2001:db8:1::1/64 dev eth0 nodad\n addr add " +
		synthesized(ownPrefix, l.server4) + "/128 dev eth0 nodad\n link set eth0 up")
	l.client.ip("addr add 2001:db8:1::2/128 dev eth0 nodad\n link set eth0 up\n -6 route add 2001:db8:1::/64 dev eth0\n -6 route add default via 2001:db8:1::1")
	l.resolver("2001:db8:1::1") // nobody listens there
	l.server.role("tcpecho", "[::]:7000")
	s := l.service(documentation, "[discovery]\nprefixes = [\""+ownPrefix+"\"]\n").start()
	s.waitStatus("the relay is up", 20*time.Second, func(st status) bool { return deref(st.Datapath) == "relay" && st.CLAT.Ready })
	before, _, err := resident(s.p.pid())
	if err != nil {
		t.Fatal(err)
	}
	flows := 0
	for _, n := range []int{1000, 4000, 5000} {
		l.client.role("crowd", strconv.Itoa(n), documentation+":7000").waitFor("are open")
		flows += n
		rss, _, err := resident(s.p.pid())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%5d flows: %d MiB resident, %d MiB before, %.1f KiB for each", flows, rss>>10, before>>10, float64(rss-before)/float64(flows))
		if rss >= 400<<10 {
			t.Errorf("%d flows: %d MiB, want less than 400", flows, rss>>10)
		}
	}
	if st, err := s.status(); err != nil || st.Counters["tcp-opened"] < uint64(flows) || st.Counters["tcp-ended"] > st.Counters["tcp-opened"]-uint64(flows) {
		t.Errorf("counters %v, %v; want %d flows open", st.Counters, err, flows)
	}
}

// TestRelayBesideTayga measures the relay, tayga as a CLAT and native IPv6 in turn,
// with no NAT64 in the way: the peer holds the synthesized addresses itself.
func TestRelayBesideTayga(t *testing.T) {
	need(t, "iperf3", "tayga")
	const viaTayga, taygas4, taygas6 = "198.51.100.11", "192.0.0.5", "2001:db8:1::c1a7"
	l := bareLab(t)
	l.server4 = netip.MustParseAddr(documentation)
	peer6 := synthesized(ownPrefix, l.server4)
	l.client, l.server = l.space("client"), l.space("peer")
	l.server.ip("link add eth0 type veth peer name eth0 netns " + l.client.name)
	l.server.ip("addr add 2001:db8:1::1/64 dev eth0 nodad\n addr add " + peer6 + "/128 dev eth0 nodad\n addr add " +
		synthesized(ownPrefix, netip.MustParseAddr(viaTayga)) + "/128 dev eth0 nodad\n link set eth0 up")
	l.client.ip("addr add 2001:db8:1::2/128 dev eth0 nodad\n link set eth0 up\n -6 route add 2001:db8:1::/64 dev eth0\n -6 route add default via 2001:db8:1::1")
	l.resolver("2001:db8:1::1") // nobody listens there
	l.web(l.server, peer6)
	l.server.start("iperf3", "iperf3", "-s")

	other := l.space("other")
	l.server.ip("link add eth1 type veth peer name eth0 netns " + other.name + "\n addr add 2001:db8:2::1/64 dev eth1 nodad\n link set eth1 up\n -6 route add " + taygas6 + "/128 via 2001:db8:2::2")
	other.ip("addr add 2001:db8:2::2/64 dev eth0 nodad\n link set eth0 up\n -6 route add default via 2001:db8:2::1")
	conf := l.write("tayga.conf", "tun-device tayga\nipv4-addr 192.0.2.254\nipv6-addr 2001:db8:2::fe\nprefix "+ownPrefix+"\nmap "+taygas4+" "+taygas6+"\ndata-dir "+l.tmp+"\n")
	other.must("tayga", "--config", conf, "--mktun")
	other.sysctl("ipv6/conf/all/forwarding", "1")
	other.ip("link set tayga up mtu 1480\n addr add " + taygas4 + "/32 dev tayga\n route add " + viaTayga + "/32 dev tayga src " + taygas4 +
		" mtu 1480\n -6 route add " + taygas6 + "/128 dev tayga")
	other.start("tayga", "tayga", "--config", conf, "-d")

	s := l.service(documentation, "[discovery]\nprefixes = [\""+ownPrefix+"\"]\n[path]\nother_clat = \"take-over\"\ndatapath = \"relay\"\n").start()
	st := s.waitStatus("the relay is up", 20*time.Second, func(st status) bool { return st.CLAT != nil && st.CLAT.Ready })
	t.Logf("datapath %s, MTU %d", deref(st.Datapath), st.CLAT.MTU)

	for _, streams := range []string{"1", "4"} {
		for _, direction := range [][]string{{}, {"-R"}} {
			runs := []struct {
				name  string
				in    *space
				args  []string
				rates []float64
			}{{"relay", l.client, []string{"-4", "-c", documentation}, nil}, {"tayga", other, []string{"-4", "-c", viaTayga}, nil}, {"native", l.client, []string{"-6", "-c", "2001:db8:1::1"}, nil}}
			for range 3 {
				for i := range runs {
					rate, err := runs[i].in.iperf(slices.Concat(runs[i].args, direction, []string{"-P", streams})...)
					if err != nil {
						t.Fatalf("%s: %v", runs[i].name, err)
					}
					runs[i].rates = append(runs[i].rates, rate)
				}
			}
			var text []string
			for i := range runs {
				slices.Sort(runs[i].rates)
				text = append(text, fmt.Sprintf("%s %.2f", runs[i].name, runs[i].rates[1]/1e9))
			}
			t.Logf("%s streams %v, medians of 3 in Gbit/s: %s; relay/tayga %.1f; relay %.2f", streams, direction, strings.Join(text, ", "),
				runs[0].rates[1]/runs[1].rates[1], scaled(runs[0].rates))
		}
	}
	if st, err := s.status(); err == nil {
		t.Logf("counters %v", st.Counters)
	}
}
