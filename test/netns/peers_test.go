package netns

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// tayga makes the router a NAT64: tayga translates, nftables hides its pool
// behind the router's IPv4 address.
func (l *lab) tayga(prefix string) {
	l.t.Helper()
	r := l.router
	r.sysctl("ipv6/conf/all/forwarding", "1")
	r.sysctl("ipv4/ip_forward", "1")
	conf := l.write("tayga.conf", "tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr 2001:db8:ffff::64\nprefix "+prefix+
		"\ndynamic-pool 192.168.255.0/24\ndata-dir "+l.tmp+"\n")
	r.must("tayga", "--config", conf, "--mktun")
	r.ip("link set nat64 up\n addr add 192.168.255.254 dev nat64\n route add 192.168.255.0/24 dev nat64\n route add " + prefix + " dev nat64")
	r.must("nft", "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; "+
		"add rule ip nat post oifname wan ip saddr 192.168.255.0/24 masquerade")
	r.start("tayga", "tayga", "--config", conf, "-d")
}

// lan gives the router's kernel its addresses on the client's link.
func (l *lab) lan() {
	l.t.Helper()
	l.router.sysctl("ipv6/conf/lan/accept_dad", "0") // saves two seconds
	l.router.ip("link set lan up\n addr add " + lanRouter + "/64 dev lan")
	l.client.ip("link set eth0 up")
}

// radvd announces the link's prefix and the DNS server. This version knows no
// PREF64, so the NAT64 prefix has to come by DNS.
func (l *lab) radvd() {
	l.t.Helper()
	conf := l.write("radvd.conf", `interface lan {
	AdvSendAdvert on;
	MinRtrAdvInterval 3;
	MaxRtrAdvInterval 4;
	prefix `+lanPrefix+` {};
	RDNSS `+lanRouter+` {};
};
`)
	l.router.start("radvd", "radvd", "-n", "-C", conf, "-m", "stderr", "-p", l.file("radvd.pid"))
}

// zones writes the lab's zone and that of RFC 7050's name, which a DNS64 without
// an upstream needs.
func (l *lab) zones() (example, ipv4only string) {
	l.t.Helper()
	const head = "$TTL 60\n@ SOA ns hostmaster 1 60 60 60 5\n@ NS ns\nns AAAA " + lanRouter + "\n"
	return l.write("example.test.zone", head+"backup A "+l.server4.String()+"\n"),
		l.write("ipv4only.arpa.zone", head+"@ A 192.0.0.170\n@ A 192.0.0.171\n")
}

// unbound is a DNS64. Its dns64 module sees only answers from upstream, which
// `for-upstream` makes of a local zone.
func (l *lab) unbound(prefix string) {
	l.t.Helper()
	l.unboundServes(lanRouter, prefix, "")
}

// unboundServes is unbound on an address of the router's, with more records in the
// lab's zone.
func (l *lab) unboundServes(addr, prefix, records string) {
	l.t.Helper()
	example, ipv4only := l.zones()
	zone, err := os.ReadFile(example)
	if err != nil {
		l.t.Fatal(err)
	}
	example = l.write("example.test.zone", string(zone)+records)
	conf := l.write("unbound.conf", `server:
	interface: `+addr+`
	ip-freebind: yes
	access-control: ::/0 allow
	module-config: "dns64 iterator"
	dns64-prefix: `+prefix+`
	local-zone: "test." nodefault
	do-daemonize: no
	username: ""
	chroot: ""
	directory: "`+l.tmp+`"
	pidfile: "`+l.file("unbound.pid")+`"
	use-syslog: no
	logfile: ""
	num-threads: 1
	verbosity: 1
remote-control:
	control-enable: no
auth-zone:
	name: "example.test"
	for-upstream: yes
	for-downstream: no
	zonefile: "`+example+`"
auth-zone:
	name: "ipv4only.arpa"
	for-upstream: yes
	for-downstream: no
	zonefile: "`+ipv4only+`"
`)
	l.router.start("unbound", "unbound", "-d", "-c", conf).waitFor("start of service")
}

// named is a DNS64 too, another implementation.
func (l *lab) named(prefix string) {
	l.t.Helper()
	example, ipv4only := l.zones()
	l.namedServes("dns64 "+prefix+" { clients { any; }; };", map[string]string{"example.test": example, "ipv4only.arpa": ipv4only})
}

// namedServes starts named with an option and zones: files by name.
func (l *lab) namedServes(option string, zones map[string]string) {
	l.t.Helper()
	served := ""
	for name, file := range zones {
		served += "zone \"" + name + "\" { type primary; file \"" + file + "\"; };\n"
	}
	conf := l.write("named.conf", `options {
	directory "`+l.tmp+`";
	pid-file "`+l.file("named.pid")+`";
	session-keyfile "`+l.file("session.key")+`";
	listen-on { none; };
	listen-on-v6 { `+lanRouter+`; };
	allow-query { any; };
	recursion yes;
	dnssec-validation no;
	`+option+`
};
controls { };
`+served)
	l.router.start("named", "named", "-g", "-n", "1", "-c", conf).waitFor("running")
}

// embedded makes the router the program reach64-lab; flags are added to its own.
// The kernel keeps quiet on the link.
func (l *lab) embedded(flags ...string) {
	l.t.Helper()
	l.router.ip("link set lan addrgenmode none\n link set lan up")
	args := append([]string{"--link", "lan", "--pio", lanPrefix, "--ra-interval", "3s",
		"--zone", serverName + "=" + l.server4.String(), "--control", l.file("router.sock")}, flags...)
	l.router.start("reach64-lab", binary(l.t, "reach64-lab"), args...).waitFor("ready")
	l.client.ip("link set eth0 up")
}

// turn switches a part of the embedded router, such as "nat64 on".
func (l *lab) turn(line string) {
	l.t.Helper()
	l.turnAt("router.sock", line)
}

// turnAt is turn of the router with this control socket.
func (l *lab) turnAt(socket, line string) {
	l.t.Helper()
	c, err := net.DialTimeout("unix", l.file(socket), 5*time.Second)
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		l.t.Fatal(err)
	}
	answer := make([]byte, 256)
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		l.t.Fatal(err)
	}
	n, err := c.Read(answer)
	if got := strings.TrimSpace(string(answer[:n])); err != nil || got != "ok" {
		l.t.Fatalf("router, %s: %q, %v", line, got, err)
	}
}

// synthesized is the server's address in a prefix of 96 bits (RFC 6052 section
// 2.2), computed here on its own.
func synthesized(prefix string, ip netip.Addr) string {
	b := netip.MustParsePrefix(prefix).Addr().As16()
	v4 := ip.As4()
	copy(b[12:], v4[:])
	return netip.AddrFrom16(b).String()
}
