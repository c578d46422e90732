package netns

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/reach64/reach64/test/scenario"
)

// place is a network that a laptop comes into, as a change of the lab's base network.
type place struct {
	name         string // of the scenario
	enter, leave func(*roam)
	also         func(status) bool // what holds beside what the scenario wants, nil nothing
}

// right tells whether status says what the scenario wants, which it never does in the
// base network.
func (p place) right(st status) bool {
	s, ok := scenario.Named(p.name)
	return ok && s.Want.Fits(st.Class, st.Path, st.Reason, deref(st.Prefix), deref(st.Source)) &&
		(s.Want.Reason != "clat-carries-ipv4" || carries(st)) && (p.also == nil || p.also(st))
}

const (
	probeTimeout = time.Second     // of the configuration here
	silence      = 3 * time.Second // agent/reach: how long nothing must answer
	dnsTries     = 8 * time.Second // resolver/dnsq: 1, 2 and 5 seconds
)

// evidence is how long the evidence for a place takes by the rules, beside what the
// documents on the way tell.
var evidence = map[string]time.Duration{
	"IPv4 that leads nowhere":         probeTimeout + silence,
	"another CLAT that leads nowhere": probeTimeout + silence,
	"IPv6 that leads nowhere":         dnsTries + silence,
}

// roam is the base network with all that the places need:
//
//	client                 router                       server
//	eth0  ---------------- lan   PREF64, DNS64   wan -- eth0
//	wlan0 (down at first)  lan   the same        wan -- eth1   (space wifi)
//	da0   (down at first)  lan   a corporate one wan -- eth2   (space corp)
//
// On the router there is a captive portal that lets everybody through at first, and
// another server of the same name with IPv6.
type roam struct {
	*lab
	s      *service
	routes *process // ip monitor
}

const (
	server6  = scenario.Server6
	otherPIO = "2001:db8:9::/64"
)

// access adds a network behind a link of the client's, with the way to the server on a
// cable of its own. The link is down at first.
func (l *lab) access(role, link string, n int, flags ...string) {
	l.t.Helper()
	r := l.space(role)
	cable, router4, server4 := fmt.Sprintf("eth%d", n), fmt.Sprintf("203.0.113.%d", 16*n+1), fmt.Sprintf("203.0.113.%d", 16*n+2)
	r.ip("link add lan type veth peer name " + link + " netns " + l.client.name + "\n link add wan type veth peer name " + cable + " netns " + l.server.name)
	r.ip("addr add " + router4 + "/28 dev wan\n link set wan up\n link set lan addrgenmode none\n link set lan up")
	l.server.ip("addr add " + server4 + "/28 dev " + cable + "\n link set " + cable + " up")
	r.ip("route add " + l.server4.String() + "/32 via " + server4)
	args := append([]string{"--link", "lan", "--ra-interval", "3s", "--dns-ttl", "10s", "--zone", serverName + "=" + l.server4.String(), "--control", l.file(role + ".sock")}, flags...)
	r.start("lab-"+role, binary(l.t, "reach64-lab"), args...).waitFor("ready")
}

// baseFlags are those of the base network's router.
var baseFlags = []string{"--native6", "--dns-ttl", "10s", "--dns-negative-ttl", "1s", "--portal", "https://" + portalName + "/api", "--zone", portalName + "=" + portalAddr6}

// again ends the base network's router and starts it with flags, as when its operator
// has changed the configuration.
func (r *roam) again(flags ...string) {
	r.t.Helper()
	for i := len(r.processes) - 1; i >= 0; i-- {
		if p := r.processes[i]; p.name == "reach64-lab" && !p.ended() {
			if _, err := p.end(syscall.SIGTERM, 5*time.Second); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if err := os.Remove(fmt.Sprintf("%s/reach64-lab.log", r.dir)); err != nil { // its "ready" is the old one's
		r.t.Fatal(err)
	}
	r.embedded(append(append([]string{}, baseFlags...), flags...)...)
}

func (r *roam) do(lines string) { r.t.Helper(); r.client.ip(lines) }

// post tells the portal.
func (r *roam) post(path string) {
	r.t.Helper()
	r.router.must("curl", "-sS", "-X", "POST", "http://["+portalAddr6+"]"+path)
}

func (r *roam) refresh() { r.t.Helper(); r.s.tell(0, "refresh") }

// bounce takes the link down, changes the network, and brings it up: another Wi-Fi.
func (r *roam) bounce(lines ...string) {
	r.t.Helper()
	r.do("link set eth0 down")
	for _, line := range lines {
		r.turn(line)
	}
	r.do("link set eth0 up")
}

// lease writes what a DHCP client of the service's own file system has been told.
func (r *roam) lease(text string) {
	r.t.Helper()
	file := fmt.Sprintf("/proc/%d/root/var/lib/dhcp/dhclient.eth0.leases", r.s.p.pid())
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// base is the network to come back to.
func base(st status) bool {
	return st.Class == "v6-only-nat64-dns64" && carries(st) && st.CLAT.MTU == 1480 && deref(st.Source) == "ra" && deref(st.Prefix) == ownPrefix &&
		st.Reason == "clat-carries-ipv4" && st.CLAT.Uplink == "eth0" && len(st.Uplinks) == 1
}

const (
	four   = "addr add 192.0.2.2/24 dev eth0\n route add default via 192.0.2.1"
	noFour = "route del default via 192.0.2.1\n addr del 192.0.2.2/24 dev eth0"
)

// over tells whether the CLAT carries over a link.
func over(st status, link string) bool { return carries(st) && st.CLAT.Uplink == link }

// places are reached from the base network, and left for it.
func places() []place {
	turn := func(lines ...string) func(*roam) {
		return func(r *roam) {
			for _, line := range lines {
				r.turn(line)
			}
		}
	}
	do := func(lines string) func(*roam) { return func(r *roam) { r.do(lines) } }
	return []place{
		{"no network", do("link set eth0 down"), do("link set eth0 up"), nil},
		{"IPv4 only", func(r *roam) { r.do(four); r.turn("ra off") }, func(r *roam) { r.do(noFour); r.turn("ra on") }, answers},
		{"native IPv4 beside NAT64", do(four), do(noFour), func(st status) bool { return st.CLAT == nil && answers(st) }},
		{"IPv4 that leads nowhere", func(r *roam) { r.router.sysctl("ipv4/ip_forward", "0"); r.do(four) }, func(r *roam) { r.do(noFour); r.router.sysctl("ipv4/ip_forward", "1") }, nil},
		{"server with IPv6", func(r *roam) { r.turn("name " + serverName + " " + documentation + " " + server6); r.bounce() },
			func(r *roam) { r.turn("name " + serverName + " " + documentation); r.bounce() }, nil},
		{"NAT64 without DNS64", func(r *roam) { r.turn("dns64 off"); r.refresh() }, func(r *roam) { r.turn("dns64 on"); r.refresh() }, nil},
		{"no NAT64", func(r *roam) { r.bounce("pref64 off", "dns64 off") }, func(r *roam) { r.bounce("pref64 on", "dns64 on") }, nil},
		{"DNS is silent and needed", func(r *roam) { r.bounce("pref64 off", "dns off") }, func(r *roam) { r.bounce("pref64 on", "dns on") }, nil},
		{"IPv6 that leads nowhere", func(r *roam) { r.turn("dns off"); r.turn("nat64 off"); r.refresh() }, func(r *roam) { r.turn("dns on"); r.turn("nat64 on"); r.refresh() },
			nil},
		{"sign-in wanted, by the router's API", func(r *roam) { r.post("/out"); r.turn("nat64 off"); r.refresh() }, func(r *roam) { r.post("/"); r.turn("nat64 on"); r.refresh() },
			nil},
		{"IPv6-mostly", func(r *roam) {
			r.lease("lease {\n  interface \"eth0\";\n  option unknown-108 0:0:7:8;\n  expire epoch " + strconv.FormatInt(time.Now().Unix()+3600, 10) + ";\n}\n")
		}, func(r *roam) { r.lease("") }, nil},
		{"another CLAT that nobody has asked yet", do("addr add 192.0.0.5/32 dev eth0"), do("addr del 192.0.0.5/32 dev eth0"), func(st status) bool { return st.CLAT == nil }},
		{"another CLAT that leads nowhere", do("link add v4-eth0 type veth peer name nowhere\n link set v4-eth0 addrgenmode none\n link set nowhere addrgenmode none\n link set nowhere up\n link set v4-eth0 up\n addr add 192.0.0.4/32 dev v4-eth0\n route add default dev v4-eth0"),
			do("link del v4-eth0"), func(st status) bool { return st.CLAT == nil }},
		{"DirectAccess, prefix from the server's address", func(r *roam) {
			r.do("link set da0 up\n addr add " + daNet + "2/64 dev da0 nodad\n route add fd12:3456:789a::/48 via " + daNet + "1 dev da0")
			r.turn("name " + serverName + " " + documentation + " fd12:3456:789a:7777::c633:640a")
			r.bounce("pref64 off", "dns64 off")
		}, func(r *roam) {
			r.do("link set da0 down")
			r.turn("name " + serverName + " " + documentation)
			r.bounce("pref64 on", "dns64 on")
		}, func(st status) bool { return relays(st) && st.CLAT.Uplink == "da0" }},
		{"NAT64 dies, and somebody asks", func(r *roam) { r.turn("nat64 off"); r.refresh() }, func(r *roam) { r.turn("nat64 on"); r.refresh() }, nil},
		{"prefix from DNS alone", turn("pref64 off"), turn("pref64 on"), nil},
		{"another NAT64 prefix", func(r *roam) { r.again("--prefix", scenario.OtherPrefix) }, func(r *roam) { r.again("--prefix", ownPrefix) }, nil},
		{"another network on the same link", func(r *roam) {
			r.do("link set eth0 down")
			r.again("--prefix", ownPrefix, "--pio", otherPIO)
		}, func(r *roam) {
			r.do("link set eth0 down")
			r.again("--prefix", ownPrefix)
		}, func(st status) bool { return strings.HasPrefix(st.CLAT.IPv6, "2001:db8:9:0") }},
		{"two uplinks", do("link set wlan0 up"), do("link set wlan0 down"), func(st status) bool { return len(st.Uplinks) == 2 && st.Uplinks[1].Class != "unknown" }},
		{"undocked: the second uplink alone", do("link set wlan0 up\n link set eth0 down"), do("link set eth0 up\n link set wlan0 down"),
			func(st status) bool { return over(st, "wlan0") }},
		{"the first uplink's NAT64 dies", func(r *roam) {
			r.do("link set wlan0 up")
			r.s.waitStatus("two uplinks", 20*time.Second, func(st status) bool { return len(st.Uplinks) == 2 && st.Uplinks[0].Class == st.Uplinks[1].Class })
			r.turn("nat64 off")
			r.refresh()
		}, func(r *roam) { r.turn("nat64 on"); r.do("link set wlan0 down"); r.refresh() }, func(st status) bool { return over(st, "wlan0") }},
		{"paused", func(r *roam) { r.s.tell(0, "pause") }, func(r *roam) { r.s.tell(0, "resume") }, func(st status) bool { return st.CLAT == nil }},
		{"smaller MTU", do("link set eth0 mtu 1400"), do("link set eth0 mtu 1500"), func(st status) bool { return st.CLAT.MTU == 1380 }},
		{"the link gets another name", do("link set eth0 down\n link set eth0 name lan7\n link set lan7 up"), do("link set lan7 down\n link set lan7 name eth0\n link set eth0 up"),
			func(st status) bool { return over(st, "lan7") }},
	}
}

// startRoam builds the lab and a service with a name server that has folders of its
// own for leases.
func startRoam(l *lab) *roam {
	l.t.Helper()
	l.embedded(append(append([]string{}, baseFlags...), "--prefix", ownPrefix)...)
	l.router.sysctl("ipv4/ip_forward", "1")
	l.router.ip("addr add 192.0.2.1/24 dev lan\n link set lo up\n addr add " + server6 + "/128 dev lo nodad")
	l.server.ip("route add default via " + l.gateway4())
	l.portal()
	l.web(l.router, server6)
	l.access("wifi", "wlan0", 1, "--prefix", ownPrefix, "--pio", "2001:db8:2::/64")
	l.access("corp", "da0", 2, "--prefix", daPrefix, "--pio", "fd12:3456:789a:1000::/64", "--ra=false")
	l.online()
	r := &roam{lab: l, s: l.service(serverName, fmt.Sprintf("[probe]\ninterval = \"10s\"\ntimeout = %q\n", probeTimeout))}
	r.post("/")
	return r
}

// start starts the service with an empty folder of leases.
func (r *roam) start() *follower {
	r.t.Helper()
	r.s.p = r.client.start("reach64", "sh", "-c", "mkdir -p /var/lib/dhcp; mount -t tmpfs leases /var/lib/dhcp; exec \"$0\" run --config \"$1\"", r.s.binary, r.s.conf)
	r.s.up()
	r.routes = r.client.start("monitor", "ip", "-ts", "-6", "monitor", "route")
	return r.s.follow()
}

// routed is when the kernel learned of the last default route over a link, or zero.
func (r *roam) routed(link string) (last time.Time) {
	r.t.Helper()
	for line := range strings.Lines(r.routes.output()) {
		if at, what, ok := strings.Cut(strings.TrimPrefix(line, "["), "] default via "); ok && strings.Contains(what, " dev "+link+" ") {
			t, err := time.ParseInLocation("2006-01-02T15:04:05.999999", at, time.Local)
			if err != nil {
				r.t.Fatalf("ip monitor: %v", err)
			}
			last = t
		}
	}
	return last
}
