package discover

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const eth0, wlan0 = 2, 3

var (
	router1 = netip.MustParseAddr("fe80::1")
	router2 = netip.MustParseAddr("fe80::2")
	ns1     = netip.MustParseAddr("2001:db8::53")
	ns2     = netip.MustParseAddr("2001:db8::54")
	stub    = netip.MustParseAddr("127.0.0.53")
)

// reply makes the answer to a question, nil for silence.
type reply func(q *dns.Msg) *dns.Msg

// lab is a network in memory with synthetic time.
type lab struct {
	t     *testing.T
	start time.Time
	d     *Discoverer

	ras     chan raMessage
	solicit func(link int) error // nil: nobody answers

	mu        sync.Mutex
	servers   map[string]reply           // by address and port
	asked     map[string][]time.Duration // when each server was asked, since the start
	solicited map[int][]time.Duration
	dialled   map[string]bool // names of the links dialled over
	serving   sync.WaitGroup
	pcp       map[netip.Addr]*pcpHost
	sources   map[string]bool // from which addresses PCP servers were asked
	ula       bool            // the host has no better address than a unique local one
}

func newLab(t *testing.T) *lab {
	return &lab{t: t, start: time.Now(), ras: make(chan raMessage), servers: make(map[string]reply),
		asked: make(map[string][]time.Duration), solicited: make(map[int][]time.Duration), dialled: make(map[string]bool),
		pcp: make(map[netip.Addr]*pcpHost), sources: make(map[string]bool)}
}

// run runs a scenario with a Discoverer that is stopped afterwards. Time is
// synthetic.
func run(t *testing.T, cfg Config, scenario func(*lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.d = New(cfg, l, l.dialer, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.d.Run(ctx) }()
		scenario(l)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run ended with %v", err)
		}
		l.serving.Wait()
	})
}

func (l *lab) since() time.Duration { return time.Since(l.start) }

// until lets time pass up to a moment after the start, and everything settle.
func (l *lab) until(at time.Duration) {
	l.t.Helper()
	if d := at - l.since(); d > 0 {
		time.Sleep(d) // synthetic time
	}
	synctest.Wait()
}

func (l *lab) ReadRA(ctx context.Context) ([]byte, netip.Addr, int, error) {
	select {
	case m := <-l.ras:
		return m.msg, m.src, m.link, m.err
	case <-ctx.Done():
		return nil, netip.Addr{}, 0, ctx.Err()
	}
}

func (l *lab) Solicit(_ context.Context, link int) error {
	l.mu.Lock()
	l.solicited[link] = append(l.solicited[link], l.since())
	hook := l.solicit
	l.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(link)
}

// advertise sends a router advertisement and waits until it was taken in.
func (l *lab) advertise(link int, src netip.Addr, a ra.Advertisement) {
	l.t.Helper()
	l.ras <- raMessage{msg: a.Marshal(), src: src, link: link}
	synctest.Wait()
}

// serve sets what a resolver answers from now on.
func (l *lab) serve(addr netip.Addr, r reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.servers[netip.AddrPortFrom(addr, 53).String()] = r
}

// asks returns when a resolver was asked.
func (l *lab) asks(addr netip.Addr) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Duration(nil), l.asked[netip.AddrPortFrom(addr, 53).String()]...)
}

// linkDialer dials over one link of the lab.
type linkDialer struct {
	*lab
	link string
}

func (l *lab) dialer(link string) dnsq.Dialer { return linkDialer{l, link} }

func (d linkDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if to := netip.MustParseAddrPort(addr); to.Port() == 5351 {
		return d.dialPCP(to, d.sourceTo(to.Addr()))
	}
	near, far := net.Pipe()
	d.mu.Lock()
	d.dialled[d.link] = true
	d.mu.Unlock()
	d.serving.Go(func() { d.answer(addr, far) })
	return near, nil
}

// answer serves one connection until the client closes it.
func (l *lab) answer(addr string, conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if q.Unpack(buf[:n]) != nil {
			return
		}
		l.mu.Lock()
		l.asked[addr] = append(l.asked[addr], l.since())
		r := l.servers[addr]
		l.mu.Unlock()
		if r == nil {
			continue
		}
		if m := r(q); m != nil {
			b, err := m.Pack()
			if err != nil {
				panic(err)
			}
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	}
}

func answerTo(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.SetEdns0(1232, false)
	return m
}

// dns64 answers with the well-known addresses inside the prefixes.
func dns64(ttl uint32, prefixes ...string) reply {
	return func(q *dns.Msg) *dns.Msg {
		m := answerTo(q)
		for _, p := range prefixes {
			for _, last := range []byte{170, 171} {
				a := nat64.MustParse(p).Embed(netip.AddrFrom4([4]byte{192, 0, 0, last}))
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: header(q.Question[0].Name, dns.TypeAAAA, ttl), AAAA: a.AsSlice()})
			}
		}
		return m
	}
}

// noDNS64 says that there is no such record, for so long.
func noDNS64(rcode int, soaTTL, minimum uint32) reply {
	return func(q *dns.Msg) *dns.Msg {
		m := answerTo(q)
		m.Rcode = rcode
		m.Ns = []dns.RR{&dns.SOA{Hdr: header("ipv4only.arpa.", dns.TypeSOA, soaTTL), Ns: "sns.dns.icann.org.", Mbox: "noc.dns.icann.org.", Minttl: minimum}}
		return m
	}
}

func failing(rcode int) reply {
	return func(q *dns.Msg) *dns.Msg {
		m := answerTo(q)
		m.Rcode = rcode
		return m
	}
}

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// withPrefix is an advertisement of a default router with a prefix.
func withPrefix(prefix string, lifetime time.Duration) ra.Advertisement {
	return ra.Advertisement{HopLimit: 64, RouterLifetime: 1800 * time.Second,
		Pref64: []ra.Pref64{{Prefix: nat64.MustParse(prefix), Lifetime: lifetime}}}
}

// prefixes lists the candidates as 'source prefix', best first.
func (l *lab) prefixes() []string {
	var out []string
	for _, c := range l.d.Report().Candidates {
		out = append(out, c.Source.String()+" "+c.Prefix.String())
	}
	return out
}

// verdict returns the report on a source.
func (l *lab) verdict(s pref64.Source, link int, server netip.Addr) SourceReport {
	return find(l.t, l.d.Report(), s, link, server)
}

func find(t *testing.T, r Report, s pref64.Source, link int, server netip.Addr) SourceReport {
	t.Helper()
	for _, v := range r.Sources {
		if v.Source == s && v.Link == link && v.Server == server {
			return v
		}
	}
	t.Fatalf("no report on %s, link %d, server %v in %+v", s, link, server, r.Sources)
	return SourceReport{}
}
