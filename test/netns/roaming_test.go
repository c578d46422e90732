package netns

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// place is a network that a laptop comes into, as a change of the lab's base network.
type place struct {
	name         string
	enter, leave func(*lab)
	right        func(status) bool // and never so in the base network
}

// base is the network to come back to.
func base(st status) bool {
	return carries(st) && st.CLAT.MTU == 1480 && *st.Source == "ra" && st.Reason == "clat-carries-ipv4"
}

// places are reached from the base network, and left for it.
func places() []place {
	four := func(l *lab) { l.client.ip("addr add 192.0.2.2/24 dev eth0\n route add default via 192.0.2.1") }
	noFour := func(l *lab) { l.client.ip("route del default via 192.0.2.1\n addr del 192.0.2.2/24 dev eth0") }
	return []place{
		{"offline", func(l *lab) { l.client.ip("link set eth0 down") }, func(l *lab) { l.client.ip("link set eth0 up") },
			func(st status) bool { return st.Class == "offline" && st.Path == "none" && st.CLAT == nil }},
		{"dual stack", four, noFour,
			func(st status) bool { return st.Class == "dual-stack" && st.Path == "native" && st.CLAT == nil }},
		{"dead NAT64", func(l *lab) {
			l.turn("nat64 off")
			l.services[0].tell(0, "refresh")
		}, func(l *lab) { l.turn("nat64 on") },
			func(st status) bool { return st.Reason == "server-does-not-answer" && st.code == 11 }},
		{"no advertisements of a prefix", func(l *lab) { l.turn("pref64 off") }, func(l *lab) { l.turn("pref64 on") },
			func(st status) bool { return carries(st) && *st.Source == "dns" }},
		{"paused", func(l *lab) { l.services[0].tell(0, "pause") }, func(l *lab) { l.services[0].tell(0, "resume") },
			func(st status) bool { return st.Reason == "paused" && st.CLAT == nil }},
		{"smaller link", func(l *lab) {
			l.client.ip("link set eth0 down\n link set eth0 mtu 1400\n link set eth0 up")
		}, func(l *lab) { l.client.ip("link set eth0 mtu 1500") },
			func(st status) bool { return carries(st) && st.CLAT.MTU == 1380 }},
	}
}

// TestRoaming goes to each network and back, and with REACH64_ROAM=N to N at random.
// After each change class and path are right; at the end nothing has leaked.
func TestRoaming(t *testing.T) {
	l, s := ready(t)
	l.router.sysctl("ipv4/ip_forward", "1")
	l.router.ip("addr add 192.0.2.1/24 dev lan")
	l.server.ip("route add default via " + l.gateway4())
	l.client.ip("link set eth0 down\n link set eth0 up") // so that the kernel's lists have the order that they get
	s.start().up()
	s.stop()
	l.unique()
	before := l.client.state()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s.start().up()
	took := map[string][]time.Duration{}
	change := func(name string, do func(*lab), right func(status) bool) {
		t.Helper()
		do(l)
		begin := time.Now()
		s.waitStatus(name, 45*time.Second, right)
		took[name] = append(took[name], time.Since(begin))
	}
	var fds, rss int
	list := places()
	more, _ := strconv.Atoi(os.Getenv("REACH64_ROAM"))
	for i := range len(list) + more {
		p := list[i%len(list)]
		if i >= len(list) {
			p = list[random.IntN(len(list))]
		}
		change(p.name, p.enter, p.right)
		change("from "+p.name, p.leave, base)
		if i == len(list)-1 { // warm
			fds, rss = l.held(s)
		}
	}
	l.works()
	fds2, rss2 := l.held(s)
	t.Logf("descriptors %d, then %d; resident %d KiB, then %d", fds, fds2, rss, rss2)
	if fds2 > fds+2 {
		t.Errorf("descriptors: %d, then %d", fds, fds2)
	}
	for name, list := range took {
		slices.Sort(list)
		t.Logf("%-40s %2d times, median %6v, worst %6v", name, len(list), list[len(list)/2].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond))
	}
	s.stop()
	l.unique()
	l.client.unchanged(before)
}

// unique waits until the kernel has looked for duplicates of each address.
func (l *lab) unique() {
	l.t.Helper()
	eventually(l.t, 10*time.Second, "every address is unique", func() error {
		if out := l.client.must("ip", "addr", "show", "tentative"); out != "" {
			return fmt.Errorf("tentative: %s", out)
		}
		return nil
	})
}

// held is what the service holds: open descriptors, and resident memory in KiB.
func (l *lab) held(s *service) (fds, rss int) {
	l.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.p.pid()))
	if err != nil {
		l.t.Fatal(err)
	}
	if rss, err = resident(s.p.pid()); err != nil {
		l.t.Fatal(err)
	}
	return len(list), rss
}
