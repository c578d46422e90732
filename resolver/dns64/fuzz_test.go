package dns64

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/nat64"
)

// FuzzServer lets both the client and upstream send any bytes, on the way that a
// datagram takes.
func FuzzServer(f *testing.F) {
	six, four := query("a.example", "AAAA"), query("a.example", "A")
	good := four.Copy()
	good.Response, good.Answer = true, []dns.RR{record("a.example. 9 IN CNAME b.example."), record("b.example. 9 IN A 198.51.100.10"), record("b.example. 9 IN A 127.0.0.1")}
	circle := four.Copy()
	circle.Response, circle.Answer = true, []dns.RR{record("a.example. 9 IN CNAME a.example."), record(v4)}
	dname := four.Copy()
	dname.Response, dname.Answer = true, []dns.RR{record("example. 9 IN DNAME example.example."), record(". 9 IN DNAME .")}
	denied := six.Copy()
	denied.Response, denied.Ns = true, []dns.RR{record(soa)}
	mapped := six.Copy()
	mapped.Response, mapped.Answer = true, []dns.RR{record("a.example. 9 IN AAAA ::ffff:198.51.100.10"), record("a.example. 9 IN AAAA 2001:db8:5::1")}
	edns := six.Copy()
	edns.SetEdns0(512, true)
	checking := six.Copy()
	checking.CheckingDisabled = true
	crowd := six.Copy()
	for range 300 {
		crowd.Question = append(crowd.Question, dns.Question{Name: ".", Qtype: 1, Qclass: 1})
	}
	pointer := query(reverse("2001:db8:64::c633:640a"), "PTR")
	bomb := append(packed(f, four)[:12], 1, 'a', 0xc0, 12, 0, 28, 0, 1)
	for _, q := range [][]byte{packed(f, six), packed(f, edns), packed(f, checking), packed(f, crowd), packed(f, pointer), packed(f, query("ipv4only.arpa", "AAAA")), bomb} {
		f.Add(q, packed(f, denied), packed(f, good))
		f.Add(q, packed(f, mapped), packed(f, circle))
		f.Add(q, []byte{}, packed(f, dname))
		f.Add(q, bomb, []byte{1})
	}
	f.Fuzz(func(t *testing.T, client, aaaa, a []byte) {
		s := serverFor(raw{aaaa, a})
		q, ok := s.read(client)
		if !ok {
			return
		}
		b := s.respond(t.Context(), q, udpLimit(q))
		if len(b) == 0 {
			if !q.Response {
				t.Fatal("a query without a response")
			}
			return
		}
		if len(b) > udpLimit(q) {
			t.Fatalf("%d bytes, limit %d", len(b), udpLimit(q))
		}
		m := new(dns.Msg)
		if err := m.Unpack(b); err != nil {
			t.Skip() // records that the library reads and cannot write: the client's parser decides
		}
		if m.Id != q.Id || !m.Response || m.AuthenticatedData {
			t.Fatalf("response %v", m)
		}
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeAAAA && q.Question[0].Qclass == dns.ClassINET && !q.CheckingDisabled {
			weigh(t, m, aaaa, a)
		}
	})
}

// weigh wants each address to come from upstream: as it is and not excluded, or inside
// the prefix with an IPv4 address that a NAT64 serves.
func weigh(t *testing.T, m *dns.Msg, aaaa, a []byte) {
	from := map[netip.Addr]bool{netip.MustParseAddr("192.0.0.170"): true, netip.MustParseAddr("192.0.0.171"): true, netip.IPv6Loopback(): true}
	for _, b := range [][]byte{aaaa, a} {
		up := new(dns.Msg)
		_ = up.Unpack(b)
		for _, rr := range append(append(up.Answer, up.Ns...), up.Extra...) {
			if addr, ok := address(rr); ok {
				from[addr] = true
			}
		}
	}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype != dns.TypeAAAA {
			continue
		}
		addr, ok := address(rr)
		v4, inside := own[0].Extract(addr)
		switch {
		case !ok || addr.Is4In6():
			t.Errorf("handed out: %v", rr)
		case from[addr]:
		case !inside || !from[v4] || !nat64.NonGlobalPrivate.Allows(own[0].Prefix, v4):
			t.Errorf("from nowhere: %v", rr)
		}
	}
}

// raw is an upstream that answers with bytes.
type raw struct{ aaaa, a []byte }

func (r raw) Exchange(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
	b := r.a
	if q.Question[0].Qtype == dns.TypeAAAA {
		b = r.aaaa
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		return nil, errors.New("no answer")
	}
	return m, nil
}
