package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// These tests print what they measure. Only the memory has a limit: the rest
// depends on the machine.

func TestTimeFromRAToHandshake(t *testing.T) {
	need(t)
	l := newLab(t, documentation)
	l.router.ip("link set lan addrgenmode none\n link set lan up")
	s := l.service(documentation, "").start()
	s.waitStatus("offline", 10*time.Second, func(st status) bool { return st.Class == "offline" })
	begin := time.Now()
	l.embedded("--prefix", ownPrefix) // ends with the client's link going up
	up := time.Now()
	st := s.up()
	done := time.Now()
	ra := "not known"
	if st.Times.RAToHandshake != nil {
		ra = fmt.Sprintf("%.0f ms", *st.Times.RAToHandshake*1000)
	}
	t.Logf("first router advertisement to first handshake through the CLAT, by status: %s", ra)
	t.Logf("link up to the same: %d ms (the router's own start before: %d ms)", done.Sub(up).Milliseconds(), up.Sub(begin).Milliseconds())
}

// TestIdleFootprint: a service with nothing to do, in a network whose router advertises
// as seldom as real ones do. REACH64_IDLE=10m looks for longer.
func TestIdleFootprint(t *testing.T) {
	l, s := ready(t, "--ra-interval", "200s", "--dns-ttl", "10m")
	s.start().up()
	period := 20 * time.Second
	if d, err := time.ParseDuration(os.Getenv("REACH64_IDLE")); err == nil {
		period = d
	}
	<-time.After(20 * time.Second) // what belongs to the start is over
	pid := s.p.pid()
	cpu, err := cpuTime(pid)
	if err != nil {
		t.Skipf("no scheduler statistics: %v", err)
	}
	woken := wakeUps(t, pid)
	<-time.After(period) // what is measured is that nothing happens
	again, err := cpuTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	rate := float64(wakeUps(t, pid)-woken) / period.Seconds()
	rss, _, err := resident(pid)
	if err != nil {
		t.Fatal(err)
	}
	used := again - cpu
	t.Logf("idle for %v: %d KiB resident; %.2f wake-ups a second of all threads; %v of CPU (%.3f %% of one)", period, rss, rate, used.Round(10*time.Microsecond), 100*used.Seconds()/period.Seconds())
	if rss >= 25<<10 {
		t.Errorf("resident memory: %d KiB, want less than 25 MiB", rss)
	}
	if rate >= 1 && period >= time.Minute {
		t.Errorf("%.2f wake-ups a second, want less than 1", rate)
	}
	if st, err := s.status(); err != nil || !carries(st) {
		t.Errorf("the service was not idle but broken: %v %s", err, st.text)
	}
	l.works()
}

// wakeUps is how often the threads of a process have gone to sleep by themselves, and
// so been woken.
func wakeUps(t *testing.T, pid int) (sum int64) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no thread of %d found: %v", pid, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += n
			}
		}
	}
	return sum
}

// cpuTime is what all threads of a process have used. /proc/PID/stat counts in
// 10 ms, too coarse for an idle process.
func cpuTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no thread of %d found: %v", pid, err)
	}
	var sum time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// resident is a process' memory in KiB, and what of it is its own: the rest are pages
// of files, which the system reads again, and takes back, as it likes.
func resident(pid int) (all, own int, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(b), "\n"+name+":")
		n, e := strconv.Atoi(strings.Fields(rest + " none")[0])
		err = errors.Join(err, e)
		return n
	}
	return field("VmRSS"), field("RssAnon"), err
}

// besidePeer makes a lab with no NAT64 in the way: the peer holds the synthesized
// address itself, so that the CLAT and native IPv6 to 2001:db8:1::1 differ in nothing
// but the CLAT.
func besidePeer(t *testing.T, datapath string) (*lab, *service) {
	t.Helper()
	l := bareLab(t)
	l.server4 = netip.MustParseAddr(documentation)
	peer6 := synthesized(ownPrefix, l.server4)
	l.client, l.server = l.space("client"), l.space("peer")
	l.server.ip("link add eth0 type veth peer name eth0 netns " + l.client.name)
	l.server.ip("addr add 2001:db8:1::1/64 dev eth0 nodad\n addr add " + peer6 + "/128 dev eth0 nodad\n link set eth0 up")
	l.client.ip("addr add 2001:db8:1::2/64 dev eth0 nodad\n link set eth0 up\n -6 route add default via 2001:db8:1::1")
	l.resolver("2001:db8:1::1") // nobody listens there
	l.web(l.server, peer6)
	s := l.service(documentation, "[path]\ndatapath = \""+datapath+"\"\n[discovery]\nprefixes = [\""+ownPrefix+"\"]\n").start()
	st := s.up()
	t.Logf("datapath %s, MTU %d", deref(st.Datapath), st.CLAT.MTU)
	return l, s
}

func TestThroughputBesideNative(t *testing.T) {
	need(t, "iperf3")
	l, _ := besidePeer(t, "auto")
	l.server.start("iperf3", "iperf3", "-s")
	for _, direction := range [][]string{{}, {"-R"}} {
		var clat, native []float64
		for range 3 {
			for _, run := range []struct {
				rates *[]float64
				args  []string
			}{{&clat, []string{"-4", "-c", documentation}}, {&native, []string{"-6", "-c", "2001:db8:1::1"}}} {
				rate, err := l.iperf(append(run.args, direction...)...)
				if err != nil {
					t.Fatal(err)
				}
				*run.rates = append(*run.rates, rate)
			}
		}
		slices.Sort(clat)
		slices.Sort(native)
		t.Logf("one TCP stream, iperf3 %v, median of 3: CLAT %.2f Gbit/s, native IPv6 %.2f Gbit/s, ratio %.2f; CLAT %.2f, native %.2f",
			direction, clat[1]/1e9, native[1]/1e9, clat[1]/native[1], scaled(clat), scaled(native))
	}
}

// scaled gives rates in Gbit/s.
func scaled(rates []float64) []float64 {
	out := make([]float64, len(rates))
	for i, r := range rates {
		out[i] = r / 1e9
	}
	return out
}

// TestPrefixIsUsableAtOnce measures from the packet that carries the prefix, as
// the client's capture has it, to the decision that uses it, as status tells.
func TestPrefixIsUsableAtOnce(t *testing.T) {
	tests := []struct {
		name   string
		need   []string
		router func(l *lab)
		answer string // what tcpdump prints of the packet
	}{
		{"router advertisement", nil, func(l *lab) { l.embedded("--prefix", ownPrefix, "--dns64=false") }, "router advertisement"},
		{"DNS", []string{"tayga", "radvd", "unbound"}, func(l *lab) { taygaUnbound(l, ownPrefix) }, "AAAA " + strings.TrimSuffix(ownPrefix, "/96") + "c000:a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			need(t, tt.need...)
			l := newLab(t, documentation)
			s := l.service(documentation, "").start()
			s.waitStatus("offline", 10*time.Second, func(st status) bool { return st.Class == "offline" })
			tt.router(l)
			var since time.Time
			s.waitStatus("a prefix", 20*time.Second, func(st status) bool {
				since = st.Since
				return st.Prefix != nil
			})
			var arrived time.Time
			eventually(t, 5*time.Second, "the capture has the packet", func() error {
				out := l.client.must("tcpdump", "-tt", "-n", "-v", "-r", filepath.Join(l.dir, "client.pcap0"))
				var at string
				for line := range strings.Lines(out) {
					if fields := strings.Fields(line); len(fields) > 0 && strings.Contains(fields[0], ".") && !strings.HasPrefix(line, " ") {
						at = fields[0]
					}
					if strings.Contains(line, tt.answer) {
						seconds, err := strconv.ParseFloat(at, 64)
						if err != nil {
							return err
						}
						arrived = time.UnixMicro(int64(seconds * 1e6))
						return nil
					}
				}
				return fmt.Errorf("no %q in it", tt.answer)
			})
			took := since.Sub(arrived)
			t.Logf("from the %s to the decision on its prefix: %.1f ms", tt.name, float64(took.Microseconds())/1000)
			if took < 0 || took > 5*time.Second {
				t.Errorf("the decision came %v after the packet", took)
			}
		})
	}
}
