package netns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
)

// faults are what can be wrong, each with the check that has to fail, and the exit
// code. build makes the network, and returns the service and how the doctor is run.
var faults = []struct {
	name, want string
	code       int
	build      func(t *testing.T) (*service, []string)
}{
	{"no router advertisement", "addresses", 11, func(t *testing.T) (*service, []string) {
		need(t)
		l := newLab(t, documentation)
		l.lan()
		s := l.service(documentation, "").start()
		s.waitStatus("offline", 10*time.Second, func(st status) bool { return st.Class == "offline" })
		return s, nil
	}},
	{"DNS server silent", "resolvers", 11, func(t *testing.T) (*service, []string) {
		l, _ := ready(t, "--pref64=false")
		l.turn("dns off")
		s := l.service(documentation, "").start()
		s.waitStatus("DNS is silent", 40*time.Second, func(st status) bool { return st.Class == "broken-dns" })
		return s, nil
	}},
	{"no DNS server", "resolvers", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		l.processNamed("unbound").kill(t)
		s := l.service(serverName, "").start()
		s.waitStatus("no answer", 40*time.Second, func(st status) bool { return st.Path == "none" })
		return s, nil
	}},
	{"DNS64 off", "dns64", 11, func(t *testing.T) (*service, []string) {
		l, _ := ready(t, "--pref64=false", "--dns64=false")
		s := l.service(documentation, "").start()
		s.waitStatus("no NAT64", 40*time.Second, func(st status) bool { return st.Class == "v6-only-no-nat64" })
		return s, nil
	}},
	{"ipv4only.arpa filtered", "ipv4only", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		l.processNamed("unbound").kill(t)
		text, err := os.ReadFile(l.file("unbound.conf"))
		if err != nil {
			t.Fatal(err)
		}
		filter := strings.Replace(string(text), "\tdo-daemonize", "\tlocal-zone: \"ipv4only.arpa.\" always_nxdomain\n\tdo-daemonize", 1)
		l.router.start("unbound2", "unbound", "-d", "-c", l.write("filter.conf", filter)).waitFor("start of service")
		s := l.service(documentation, "").start()
		s.waitStatus("no NAT64", 40*time.Second, func(st status) bool { return st.Class == "v6-only-no-nat64" })
		return s, nil
	}},
	{"wrong prefix advertised", "prefix-sources", 10, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		l.router.start("advertise", "env", roleVariable+"=advertise", self, "lan", "2001:db8:bad::/96").waitFor("ready")
		s := l.service(serverName, "").start()
		s.waitStatus("the wrong prefix is known", 30*time.Second, func(st status) bool { return strings.Contains(st.text, "2001:db8:bad::/96") })
		return s, nil
	}},
	{"NAT64 down", "nat64", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(serverName, "").start()
		s.up()
		l.processNamed("tayga").kill(t)
		return s, nil
	}},
	{"no route to the NAT64", "nat64", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(documentation, "").start()
		s.up()
		l.router.ip("route del " + ownPrefix + " dev nat64\n route add unreachable " + ownPrefix)
		return s, nil
	}},
	{"PMTU black hole", "mtu", 11, func(t *testing.T) (*service, []string) {
		need(t, "ethtool")
		l, core, plat := deepLab(t)
		l.router.must("ethtool", "-K", "next", "tso", "off", "gso", "off", "gro", "off")
		l.client.must("ethtool", "-K", "eth0", "tso", "off", "gso", "off")
		plat.must("ethtool", "-K", "prev", "tso", "off", "gso", "off", "gro", "off")
		core.must("ethtool", "-K", "prev", "gro", "off")
		core.must("ethtool", "-K", "next", "gro", "off")
		core.must("nft", "add table ip6 hole; add chain ip6 hole forward { type filter hook forward priority 0; }; add rule ip6 hole forward meta length > 1300 drop")
		s := l.service(documentation, "").start()
		s.waitStatus("TLS is silent", 30*time.Second, func(st status) bool { return st.Reason == "server-does-not-answer" })
		return s, nil
	}},
	{"server down", "server-tcp", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(serverName, "").start()
		s.up()
		l.server.ip("link set eth0 down")
		return s, nil
	}},
	{"firewall before the server", "server-tcp", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(serverName, "").start()
		s.up()
		l.server.must("nft", "add table ip wall; add chain ip wall in { type filter hook input priority 0; policy drop; }")
		return s, nil
	}},
	{"server refuses", "server-tcp", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(serverName, "").start()
		s.up()
		l.processNamed("web").kill(t)
		return s, nil
	}},
	{"certificate expired", "server-certificate", 11, withCertificate(certificate{name: serverName, from: -48 * time.Hour, to: -time.Hour})},
	{"certificate for another name", "server-certificate", 11, withCertificate(certificate{name: "other.example.test", from: -time.Hour, to: 48 * time.Hour})},
	{"TLS inspection", "server-identity", 11, withCertificate(certificate{name: serverName, from: -time.Hour, to: 48 * time.Hour, proxy: true})},
	{"clock wrong", "clock", 11, withCertificate(certificate{name: serverName, from: 24 * 365 * time.Hour, to: 48 * 365 * time.Hour})},
	{"VPN takes the route", "vpn", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(documentation, "").start()
		s.up()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		l.client.start("vpn", "env", roleVariable+"=vpn", self, "vpn0").waitFor("ready")
		l.client.ip("addr add 10.9.0.2/24 dev vpn0\n link set vpn0 up\n route add 0.0.0.0/1 dev vpn0\n route add 128.0.0.0/1 dev vpn0")
		s.waitStatus("the VPN is seen", 20*time.Second, func(st status) bool { return st.Path == "native" && st.CLAT == nil })
		return s, nil
	}},
	{"another CLAT that leads nowhere", "other-clat", 13, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		l.client.ip("link add v4-eth0 type veth peer name nowhere\n link set v4-eth0 addrgenmode none\n link set nowhere addrgenmode none\n link set nowhere up\n link set v4-eth0 up\n addr add 192.0.0.4/32 dev v4-eth0\n route add default dev v4-eth0")
		s := l.service(documentation, "").start()
		s.waitStatus("the other CLAT is found out", 40*time.Second, func(st status) bool { return st.Class == "broken-clat" })
		return s, nil
	}},
	{"address in use", "addresses", 11, func(t *testing.T) (*service, []string) {
		need(t, "tayga", "radvd", "unbound")
		l := newLab(t, documentation)
		l.router.sysctl("ipv6/conf/lan/accept_dad", "0")
		l.router.ip("link set lan up\n addr add " + lanRouter + "/64 dev lan\n addr add " + l.slaac() + "/128 dev lan nodad")
		l.tayga(ownPrefix)
		l.unbound(ownPrefix)
		l.radvd()
		s := l.service(documentation, "").start()
		l.client.ip("link set eth0 up")
		eventually(t, 20*time.Second, "the kernel gives the address up", func() error {
			if _, err := l.client.try(5*time.Second, "sh", "-c", "ip -6 route show default | grep -q via && sleep 2 && ! ip -6 addr show dev eth0 scope global | grep inet6"); err != nil {
				return err
			}
			return nil
		})
		return s, nil
	}},
	{"IPv4 half alive", "ipv4", 10, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		l.router.ip("addr add 192.0.2.1/24 dev lan")
		l.router.must("nft", "add table ip wall; add chain ip wall pass { type filter hook forward priority -200; }; add rule ip wall pass iifname lan drop")
		l.client.ip("addr add 192.0.2.2/24 dev eth0\n route add default via 192.0.2.1")
		s := l.service(documentation, "").start()
		s.waitStatus("the CLAT takes over", 40*time.Second, func(st status) bool { return st.Class == "broken-ipv4" && carries(st) })
		return s, nil
	}},
	{"captive portal", "captive", 11, func(t *testing.T) (*service, []string) {
		l, _ := ready(t, "--portal", "https://"+portalName+"/api", "--native6", "--nat64=false", "--zone", portalName+"="+portalAddr6)
		l.portal()
		s := l.service(documentation, "").start()
		s.waitStatus("a sign-in is wanted", 40*time.Second, func(st status) bool { return st.Class == "captive" })
		return s, nil
	}},
	{"policy forbids the prefix", "prefix", 11, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		if err := os.Mkdir(l.file("policy.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		l.write("policy.d/10-prefix.toml", "[discovery]\nallow = [\"2001:db8:aaaa::/48\"]\n")
		l.env = append(l.env, "REACH64_POLICY_DIR="+l.file("policy.d"))
		s := l.service(documentation, "").start()
		s.waitStatus("no prefix may be used", 40*time.Second, func(st status) bool { return st.Class == "v6-only-no-nat64" })
		return s, nil
	}},
	{"permission missing", "permission", 4, func(t *testing.T) (*service, []string) {
		need(t, "setpriv")
		l := realLab(t)
		s := l.service(documentation, "")
		s.p = l.client.start("reach64", "setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", s.binary, "run", "--config", s.conf)
		s.waitStatus("it may not", 20*time.Second, func(st status) bool { return st.Reason == "not-permitted" })
		return s, nil
	}},
	{"service stopped", "service", 3, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(documentation, "").start()
		s.up()
		s.stop()
		return s, nil
	}},
	{"configuration not loaded", "loaded", 10, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(documentation, "").start()
		s.up()
		s.rewrite(func(text string) string { return text + "[probe]\ninterval = \"2m\"\n" })
		return s, nil
	}},
	{"configuration invalid", "configuration", 5, func(t *testing.T) (*service, []string) {
		l := realLab(t)
		s := l.service(documentation, "[path]\nmoed = \"auto\"\n")
		return s, nil
	}},
}

// withCertificate is the network whose server shows another certificate.
func withCertificate(c certificate) func(t *testing.T) (*service, []string) {
	return func(t *testing.T) (*service, []string) {
		l := realLab(t)
		l.processNamed("web").kill(t)
		if err := l.certifyAs(c); err != nil {
			t.Fatal(err)
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		l.server.start("web2", "env", roleVariable+"=web", self, net.JoinHostPort(documentation, fmt.Sprint(webPort)), l.file("web.pem")).waitFor("ready")
		s := l.service(serverName, "").start()
		s.waitStatus("the server is not believed", 30*time.Second, func(st status) bool { return st.CLAT != nil && st.Reason == "server-does-not-answer" })
		return s, nil
	}
}

// certificate is one for the lab's server; from and to are from now.
type certificate struct {
	name     string
	from, to time.Duration
	proxy    bool // made by another authority than the one that is trusted
}

// certifyAs makes a new authority (l.ca, unless it is a proxy's) and a certificate.
func (l *lab) certifyAs(c certificate) error {
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "Inspection Proxy CA"},
		NotBefore: now.Add(min(c.from, 0) - 1000*time.Hour), NotAfter: now.Add(c.to + 1000*time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(4), Subject: pkix.Name{CommonName: c.name}, NotBefore: now.Add(c.from), NotAfter: now.Add(c.to),
		DNSNames: []string{c.name}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	caDER, err1 := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	der, err2 := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, caKey)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	if !c.proxy {
		l.ca = l.write("ca2.pem", block("CERTIFICATE", caDER))
	}
	l.write("web.pem", block("CERTIFICATE", der)+block("PRIVATE KEY", keyDER))
	return nil
}

// processNamed is a program that the lab runs.
func (l *lab) processNamed(name string) *process {
	l.t.Helper()
	for _, p := range l.processes {
		if p.name == name {
			return p
		}
	}
	l.t.Fatalf("no %s runs here", name)
	return nil
}

// kill ends a program at once.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if _, err := p.end(syscall.SIGKILL, 5*time.Second); err != nil {
		t.Fatal(err)
	}
}

// openToAll lets every user read what the lab's programs need.
func (l *lab) openToAll() {
	l.t.Helper()
	if err := os.Chmod(l.tmp, 0o755); err != nil {
		l.t.Fatal(err)
	}
}

// slaac is the address that the client's kernel will make on the link: the link's
// prefix and the interface's own number (RFC 4291 appendix A).
func (l *lab) slaac() string {
	l.t.Helper()
	mac, err := net.ParseMAC(strings.TrimSpace(l.client.must("cat", "/sys/class/net/eth0/address")))
	if err != nil {
		l.t.Fatal(err)
	}
	b := netip.MustParsePrefix(lanPrefix).Addr().As16()
	copy(b[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(b).String()
}

// playAdvertise sends router advertisements with a NAT64 prefix, args[1], on the link
// args[0], until the process is ended.
func playAdvertise(args []string) error {
	if len(args) != 2 {
		return errors.New("want a link and a prefix")
	}
	ifi, err := net.InterfaceByName(args[0])
	if err != nil {
		return err
	}
	prefix, err := netip.ParsePrefix(args[1])
	if err != nil {
		return err
	}
	c, _, err := ndp.Listen(ifi, ndp.LinkLocal)
	if err != nil {
		return err
	}
	ra := &ndp.RouterAdvertisement{RouterLifetime: time.Minute, CurrentHopLimit: 64, Options: []ndp.Option{&ndp.PREF64{Lifetime: 10 * time.Minute, Prefix: prefix}}}
	fmt.Println("ready")
	for tick := time.NewTicker(time.Second); ; <-tick.C {
		if err := c.WriteTo(ra, nil, netip.MustParseAddr("ff02::1")); err != nil {
			return err
		}
	}
}
