package netns

import "testing"

// deepLab is a lab with routers between the client and the NAT64:
//
//	client          access            core            plat             server
//	eth0 ------ lan    next ------ prev  next ------ prev  wan ------ eth0
//	            radvd, unbound                      tayga, nftables
//
// The client's link is as in every lab; the rest of the way is IPv6 alone as far
// as plat.
func deepLab(t *testing.T) (l *lab, core, plat *space) {
	t.Helper()
	need(t, "tayga", "radvd", "unbound")
	l = labOf(t, documentation)
	access := l.space("access")
	core, plat = l.space("core"), l.space("plat")
	l.client, l.server = l.space("client"), l.space("server")
	cable := func(a *space, dev string, b *space, peer, net string) {
		a.ip("link add " + dev + " type veth peer name " + peer + " netns " + b.name)
		for _, end := range []struct {
			s         *space
			dev, host string
		}{{a, dev, "1"}, {b, peer, "2"}} {
			end.s.sysctl("ipv6/conf/"+end.dev+"/accept_dad", "0")
			if net != "" {
				end.s.ip("addr add " + net + end.host + "/64 dev " + end.dev)
			}
			end.s.ip("link set " + end.dev + " up")
		}
	}
	cable(access, "next", core, "prev", "2001:db8:c1::")
	cable(core, "next", plat, "prev", "2001:db8:c2::")
	for _, s := range []*space{access, core, plat} {
		s.sysctl("ipv6/conf/all/forwarding", "1")
	}
	access.ip("link add lan type veth peer name eth0 netns " + l.client.name + "\n route add " + ownPrefix + " via 2001:db8:c1::2")
	core.ip("route add " + ownPrefix + " via 2001:db8:c2::2\n route add " + lanPrefix + " via 2001:db8:c1::1")
	plat.ip("route add " + lanPrefix + " via 2001:db8:c2::1\n route add 2001:db8:c1::/64 via 2001:db8:c2::1\n" +
		"link add wan type veth peer name eth0 netns " + l.server.name + "\n addr add " + l.gateway4() + "/24 dev wan\n link set wan up")
	// The MSS shall not tell the client what the server has learned of the path.
	l.server.ip("addr add " + documentation + "/24 dev eth0\n link set eth0 up\n" +
		"route change 198.51.100.0/24 dev eth0 src " + documentation + " advmss 1460")
	l.resolver(lanRouter)
	l.capture()
	l.web(l.server, documentation)
	l.router = plat
	l.tayga(ownPrefix)
	// tayga takes the device's address in the lab's other networks for one of its
	// pool; the kernel's own ICMP errors would be lost.
	plat.ip("addr add 198.18.0.1/32 dev nat64\n addr del 192.168.255.254/32 dev nat64")
	l.router = access
	l.lan()
	l.unbound(ownPrefix)
	l.radvd()
	l.online()
	return l, core, plat
}
