package vnet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/reach64/reach64/platform/netstate"
)

func TestHostConfiguresItself(t *testing.T) {
	w := newWorld(t, Options{})
	s := w.online()
	l, _ := s.LinkByName("eth0")
	got := l.Usable6()
	// EUI-64 of 02:00:5e:00:64:02 (RFC 4291 appendix A).
	want := []netstate.Addr{{Prefix: netip.MustParsePrefix("2001:db8:1::5eff:fe00:6402/64"), Autoconf: true}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	route, _ := s.Default(true)
	if route.Gateway != netip.MustParseAddr("fe80::5eff:fe00:6401") || route.Link != Uplink {
		t.Errorf("default route %+v, want one over the router's link-local address", route)
	}
	if len(l.DNS) != 1 || l.DNS[0] != routerIP {
		t.Errorf("name servers %v, want %v", l.DNS, routerIP)
	}
	if _, ok := s.Default(false); ok || len(l.Native4()) > 0 {
		t.Errorf("state %+v, want no IPv4", s)
	}
}

func TestDNS64(t *testing.T) {
	w := newWorld(t, Options{
		TTL: 7 * time.Second, NegativeTTL: 2 * time.Second,
		Zone: map[string][]netip.Addr{
			"v4.example.com":   {server},
			"both.example.com": {server, netip.MustParseAddr("2001:db8:2::10")},
			"many.example.com": many(60),
		},
	})
	w.online()
	for _, c := range []struct {
		name, query string
		qtype       uint16
		off         bool // DNS64
		rcode       int
		want        []string
	}{
		{"AAAA is made from A", "v4.example.com", dns.TypeAAAA, false, dns.RcodeSuccess, []string{"64:ff9b::c633:640a"}},
		{"names have no case", "V4.Example.COM", dns.TypeAAAA, false, dns.RcodeSuccess, []string{"64:ff9b::c633:640a"}},
		{"A stays", "v4.example.com", dns.TypeA, false, dns.RcodeSuccess, []string{"198.51.100.10"}},
		{"AAAA that exists wins (RFC 6147 section 5.1)", "both.example.com", dns.TypeAAAA, false, dns.RcodeSuccess, []string{"2001:db8:2::10"}},
		{"the NAT64 name, A (RFC 7050)", "ipv4only.arpa", dns.TypeA, false, dns.RcodeSuccess, []string{"192.0.0.170", "192.0.0.171"}},
		{"the NAT64 name, AAAA (RFC 8880)", "ipv4only.arpa", dns.TypeAAAA, false, dns.RcodeSuccess, []string{"64:ff9b::c000:aa", "64:ff9b::c000:ab"}},
		{"unknown name", "nobody.example.com", dns.TypeAAAA, false, dns.RcodeNameError, nil},
		{"other type", "v4.example.com", dns.TypeMX, false, dns.RcodeSuccess, nil},
		{"the NAT64 name without DNS64", "ipv4only.arpa", dns.TypeAAAA, true, dns.RcodeSuccess, nil},
		{"a name without DNS64", "v4.example.com", dns.TypeAAAA, true, dns.RcodeSuccess, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.router.SetDNS64(!c.off)
			for _, network := range []string{"udp6", "tcp6"} {
				m, err := w.ask(network, c.query, c.qtype)
				if err != nil {
					t.Fatalf("%s: %v", network, err)
				}
				if got := texts(m.Answer); m.Rcode != c.rcode || !cmp.Equal(got, c.want) {
					t.Errorf("%s: %s %v, want %s %v", network, dns.RcodeToString[m.Rcode], got, dns.RcodeToString[c.rcode], c.want)
				}
				for _, rr := range m.Answer {
					if rr.Header().Ttl != 7 {
						t.Errorf("%s: TTL %d, want 7", network, rr.Header().Ttl)
					}
				}
				if len(c.want) == 0 && (len(m.Ns) != 1 || m.Ns[0].(*dns.SOA).Minttl != 2) {
					t.Errorf("%s: authority %v, want a SOA with 2 s (RFC 2308)", network, m.Ns)
				}
			}
		})
	}
	t.Run("long answers are cut over UDP", func(t *testing.T) {
		for network, want := range map[string]bool{"udp6": true, "tcp6": false} {
			m, err := w.ask(network, "many.example.com", dns.TypeA)
			if err != nil || m.Truncated != want || !want && len(m.Answer) != 60 {
				t.Errorf("%s: %v, want truncated %v", network, err, want)
			}
		}
	})
	t.Run("switched off it is silent", func(t *testing.T) {
		w.router.SetDNS(false)
		defer w.router.SetDNS(true)
		for _, network := range []string{"udp6", "tcp6"} {
			if m, err := w.ask(network, "v4.example.com", dns.TypeA); err == nil {
				t.Errorf("%s: got %v, want no answer", network, m)
			}
		}
	})
	if got := w.router.Counters().DNS["MX"]; got != 2 {
		t.Errorf("counted %d queries for MX, want 2", got)
	}
}

func many(n int) (out []netip.Addr) {
	for i := range n {
		out = append(out, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	return out
}

func texts(rrs []dns.RR) (out []string) {
	for _, rr := range rrs {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		}
	}
	return out
}
