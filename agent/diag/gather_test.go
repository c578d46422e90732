package diag

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/ping"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/probe"
	"github.com/reach64/reach64/resolver/system"
	"github.com/reach64/reach64/tunnel/dial"
)

// onlyDNS64 knows ipv4only.arpa and one server, which has 127.0.0.1.
func onlyDNS64(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		four := netip.MustParseAddr("127.0.0.1")
		if dns.CanonicalName(q.Question[0].Name) == "ipv4only.arpa." {
			four = wellKnown[0]
		}
		h := dns.RR_Header{Name: q.Question[0].Name, Class: dns.ClassINET, Ttl: 60, Rrtype: q.Question[0].Qtype}
		if h.Rrtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: h, A: four.AsSlice()}}
		} else {
			m.Answer = []dns.RR{&dns.AAAA{Hdr: h, AAAA: prefix.Embed(four).AsSlice()}}
		}
		_ = w.WriteMsg(m)
	})}
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	ended := make(chan error, 1)
	go func() { ended <- srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		_ = srv.Shutdown()
		<-ended
	})
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

// echoing answers small requests, and big ones up to 1400 bytes.
type echoing struct{}

func (echoing) Ask(_ context.Context, to netip.Addr, requests []ping.Request, _ func(ping.Answer) bool) (out []ping.Answer, err error) {
	for _, r := range requests {
		if r.Size <= 1400 {
			out = append(out, ping.Answer{Request: r, Kind: ping.Reply, From: to, Took: time.Millisecond})
		}
	}
	return out, nil
}
func (echoing) SeesErrors() bool { return false }
func (echoing) Whole() bool      { return true }
func (echoing) Close() error     { return nil }

// noNAT64 fails to reach what lies behind the prefix, and dials the rest.
type noNAT64 struct{}

func (noNAT64) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if to, err := netip.ParseAddrPort(addr); err != nil || prefix.Contains(to.Addr()) {
		return nil, errors.New("no route to host")
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

func TestGatherAsksEverybody(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	port := netip.MustParseAddrPort(web.Listener.Addr().String()).Port()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	at := onlyDNS64(t)
	p := Ports{
		Snapshot:     func() (netstate.Snapshot, error) { return netstate.Snapshot{}, nil },
		Service:      func(context.Context) Service { return Service{} },
		Foreign:      func(netstate.Snapshot, int) *Foreign { return nil },
		Rights:       func() Rights { return Rights{Root: true} },
		DirectAccess: func([]string) DirectAccess { return DirectAccess{} },
		Links:        func(netstate.Snapshot) []discover.Link { return nil },
		Resolvers:    func(netstate.Snapshot) []system.Server { return []system.Server{{Addr: at}} },
		Routers:      func() (discover.RAReader, func()) { return nil, nil },
		Applications: func(context.Context, string) system.View {
			return system.View{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
		},
		Dial:    func(string) Dialer { return noNAT64{} },
		Small:   func(string) Dialer { return noNAT64{} },
		PathMTU: func(net.Conn) int { return 1492 },
		Ping:    func() (Pinger, error) { return echoing{}, nil },
	}
	q := Question{Version: "1", Servers: []Server{{Name: "backup.example", Port: port,
		Identity: probe.Target{TLS: true, ServerName: "example.com", CAs: roots}}}}
	var told []Topic
	e := Gather(t.Context(), p, q, func(topic Topic, done bool) {
		if done {
			told = append(told, topic)
		}
	})
	for _, topic := range []Topic{Local, Sources, Names, Resolvers, Portal, Echoes, Paths} {
		if !slices.Contains(told, topic) || !e.Asked[topic] {
			t.Errorf("%s was not gathered", topic)
		}
	}
	if len(e.Answers) != 1 || !e.Answers[0].Answered || !e.Answers[0].HasA || !slices.Contains(e.Answers[0].Prefixes, prefix) {
		t.Errorf("the DNS server's answer: %+v", e.Answers)
	}
	known := e.Prefixes()
	if len(known) != 1 || known[0].Prefix != prefix || len(known[0].Who) != 2 { // by ipv4only.arpa, and the server's own record
		t.Errorf("prefixes %+v", known)
	}
	s := e.Servers[0]
	native, ok := s.any(func(p Path) bool { return p.Kind == dial.NativeIPv4 })
	if !ok || !native.Result.Reachable || native.MTU != 1492 {
		t.Errorf("over IPv4: %+v", native)
	}
	behind, ok := s.any(func(p Path) bool { return p.Prefix == prefix })
	if !ok || behind.answers() {
		t.Errorf("through the NAT64: %+v", behind)
	}
	if len(s.Echo) != 1 || s.Echo[0].Reply == 0 || slices.Max(s.Echo[0].Sizes) != 1400 || !slices.Contains(s.Echo[0].Asked, 1500) {
		t.Errorf("echoes: %+v", s.Echo)
	}
}

// TestSmallSegmentsAreTriedWhenTLSIsSilent: a server that says nothing at first.
func TestSmallSegmentsAreTriedWhenTLSIsSilent(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	mute, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	g := &gatherer{p: Ports{PathMTU: func(net.Conn) int { return 0 },
		Dial:  func(string) Dialer { return quick{to: mute.Addr().String()} },
		Small: func(string) Dialer { return quick{to: web.Listener.Addr().String()} }}}
	p := Path{Kind: dial.NativeIPv4, Addr: netip.MustParseAddrPort(web.Listener.Addr().String()), Routed: true}
	g.probe(t.Context(), &Server{Identity: probe.Target{TLS: true}}, &p)
	if !stalls(p) || p.Small == nil || !p.Small.Answered {
		t.Errorf("path %+v, small %+v", p, p.Small)
	}
}

// quick dials one place, whatever is wanted.
type quick struct{ to string }

func (q quick) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, q.to)
}
