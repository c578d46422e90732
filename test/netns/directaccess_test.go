package netns

import (
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/test/scenario"
)

// The addresses of the organization: its network, its DNS64, and the prefix of its
// NAT64, as DirectAccess lays them out (a unique local /48, :3333::1, :7777::/96).
const (
	daNet    = "fd12:3456:789a:1000::"
	daDNS    = "fd12:3456:789a:3333::1"
	daPrefix = scenario.Corporate
)

// directAccess is the network of a DirectAccess client at home: an IPv6-only
// provider without NAT64 whose resolver gives ipv4only.arpa no AAAA, and a link
// like a tunnel that leads to the organization's DNS64 and NAT64.
//
//	client              isp                       corp                  server
//	eth0 ---------- lan   radvd, named            wan ------------ eth0
//	da0  ---------------------------------------- tun   unbound, tayga
func directAccess(t *testing.T) (l *lab, corp *space) {
	t.Helper()
	return directAccessWith(t, "", false)
}

// directAccessWith adds records to the organization's zone, and a NAT64 of the
// provider's own, with DNS64, which does not lead to the organization.
func directAccessWith(t *testing.T, records string, home bool) (l *lab, corp *space) {
	t.Helper()
	need(t, "tayga", "radvd", "unbound", "named", "restic", "rclone")
	l = labOf(t, documentation)
	isp := l.space("isp")
	corp = l.space("corp")
	l.client, l.server = l.space("client"), l.space("server")
	isp.ip("link add lan type veth peer name eth0 netns " + l.client.name)
	corp.ip("link add tun type veth peer name da0 netns " + l.client.name + "\n link add wan type veth peer name eth0 netns " + l.server.name)
	corp.sysctl("ipv6/conf/tun/accept_dad", "0")
	corp.ip("addr add " + l.gateway4() + "/24 dev wan\n link set wan up\n addr add " + daNet + "1/64 dev tun\n addr add " + daDNS + "/128 dev lo\n link set tun up")
	l.server.ip("addr add " + documentation + "/24 dev eth0\n link set eth0 up")
	l.resolver(lanRouter)
	l.capture()
	l.web(l.server, documentation)

	// The provider: its resolver knows the well-known name, and synthesizes nothing.
	l.router = isp
	isp.sysctl("ipv6/conf/all/forwarding", "1")
	l.lan()
	l.radvd()
	_, ipv4only := l.zones()
	dns64 := ""
	if home {
		dns64 = "dns64 " + ownPrefix + " { clients { any; }; }; recursion yes; dnssec-validation no;"
	} else {
		dns64 = "recursion no;"
	}
	conf := l.write("isp.conf", `options { directory "`+l.tmp+`"; pid-file "`+l.file("isp.pid")+`"; session-keyfile none; listen-on { none; };
	listen-on-v6 { `+lanRouter+`; }; allow-query { any; }; `+dns64+` };
controls { };
zone "ipv4only.arpa" { type primary; file "`+ipv4only+`"; };
`)
	isp.start("named", "named", "-g", "-n", "1", "-c", conf).waitFor("running")

	// The organization.
	l.router = corp
	l.tayga(daPrefix)
	l.unboundServes(daDNS, daPrefix, records)
	l.online()
	return l, corp
}

// tunnel connects the client to the organization.
func (l *lab) tunnel() {
	l.t.Helper()
	l.client.ip("link set da0 up\n addr add " + daNet + "2/64 dev da0 nodad\n route add fd12:3456:789a::/48 via " + daNet + "1 dev da0")
}

// TestDirectAccess: the client knows only an IPv4 address. Nothing in the
// provider's network tells of a NAT64; the prefix is in the address that the
// organization's DNS64 makes of the server's name. Though the tunnel has a /64, the CLAT
// is the relay, since no second address can be used there (spec DA-33).
func TestDirectAccess(t *testing.T) {
	l, _ := directAccess(t)
	l.backupServer()
	l.fails()
	s := l.service(serverName, "")
	s.conf = l.write("reach64.toml", "[[server]]\nname = \""+serverName+"\"\nport = 8443\nca_file = \""+l.ca+"\"\nserver_name = \""+serverName+
		"\"\nipv4 = [\""+documentation+"\"]\ndns = [\""+daDNS+"\"]\n")
	s.start()

	// Outside: no tunnel yet, and no NAT64.
	s.waitStatus("no NAT64 is found", 20*time.Second, func(st status) bool { return st.Class == "v6-only-no-nat64" && st.Path == "none" })
	begin := time.Now()
	l.tunnel()
	st := s.relaying()
	t.Logf("from the tunnel's route to the first handshake through the relay: %v", time.Since(begin).Round(10*time.Millisecond))
	if st.Class != "directaccess" || deref(st.Prefix) != daPrefix || deref(st.Source) != "server" || deref(st.Uplink) != "eth0" {
		t.Errorf("class %s, prefix %s from %s, uplink %s", st.Class, deref(st.Prefix), deref(st.Source), deref(st.Uplink))
	}
	if deref(st.Datapath) != "relay" || st.CLAT.IPv6 != "" || !strings.Contains(deref(st.DatapathNote), "directaccess-one-address") {
		t.Errorf("datapath %s (%s), the CLAT's address is %q, want none", deref(st.Datapath), deref(st.DatapathNote), st.CLAT.IPv6)
	}
	l.oneAddress("eth0", "da0")
	// What the verbs say, without the service: the name goes to its own DNS server.
	made := synthesized(daPrefix, l.server4)
	for _, verb := range []struct {
		args []string
		want []string
	}{
		{[]string{"discover"}, []string{daPrefix + "  server  eth0", "no DNS64 (no AAAA for ipv4only.arpa.)", serverName + " resolves to " + made}},
		{[]string{"resolve", serverName}, []string{"By the configuration the name has DNS servers of its own", "[" + daDNS + "]:53 says for AAAA", made}},
		{[]string{"dial", serverName + ":8443", "--explain", "--socket", l.file("none")}, []string{"dns64", "[" + made + "]:8443", "connected"}},
		{[]string{"explain", l.server4.String()}, []string{"path     relay:", "this machine's own address", daNet + "2 -> " + made}},
		{[]string{"doctor", "-v"}, []string{"relay; flows:", "directaccess-one-address"}},
		{[]string{"probe", "--socket", l.file("none")}, []string{serverName + ":8443: reached by dns64 at [" + made + "]:8443"}},
	} {
		out, _, err := runFor(20*time.Second, l.client.command(t.Context(), s.binary, append(verb.args, "--config", s.conf)...))
		t.Logf("reach64 %s\n%s%s", strings.Join(verb.args, " "), out.stdout, out.stderr)
		for _, want := range verb.want {
			if err != nil || !strings.Contains(out.stdout, want) {
				t.Errorf("reach64 %s: %v, want %q in it", verb.args[0], err, want)
			}
		}
	}
	l.backUp(50 << 20)
	if _, err := l.ping(); err != nil {
		t.Error(err)
	}

	// The tunnel goes, and with it the path; it comes back, and the path too.
	l.client.ip("link set da0 down")
	s.waitStatus("the path is gone", 20*time.Second, func(st status) bool { return st.Path == "none" })
	l.tunnel()
	s.relaying()
	if out, err := l.curl(10*time.Second, l.url("/5")); err != nil || len(out) != 5 {
		t.Errorf("after the tunnel came back: %q, %v", out, err)
	}
}

// oneAddress wants the client's links to have no IPv6 address that a CLAT took.
func (l *lab) oneAddress(links ...string) {
	l.t.Helper()
	addrs, err := l.client.addrs()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, link := range links {
		n := 0
		for _, a := range addrs {
			if a.Link == link && a.Family == "inet6" && a.Scope == "global" {
				n++
			}
		}
		if n != 1 {
			l.t.Errorf("%s has %d global addresses, want the machine's own alone: %v", link, n, addrs)
		}
	}
}

// TestDirectAccessNeedsTheRelay: a datapath that needs an address of its own is
// refused with the reason, and takes none.
func TestDirectAccessNeedsTheRelay(t *testing.T) {
	l, _ := directAccess(t)
	s := l.service(serverName, "")
	s.conf = l.write("reach64.toml", "[[server]]\nname = \""+serverName+"\"\nport = 8443\nca_file = \""+l.ca+"\"\nipv4 = [\""+documentation+
		"\"]\ndns = [\""+daDNS+"\"]\n[path]\ndatapath = \"tun\"\n")
	s.start()
	l.tunnel()
	st := s.waitStatus("the tunnel is seen", 20*time.Second, func(st status) bool { return st.Class == "directaccess" })
	if st.Reason != "directaccess-one-address" || st.CLAT != nil {
		t.Errorf("reason %s, CLAT %+v", st.Reason, st.CLAT)
	}
	l.oneAddress("eth0", "da0")
}
