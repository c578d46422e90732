package dns64

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// serverFor returns what respond needs, without sockets.
func serverFor(up Upstream) *serving {
	e := &Engine{Upstream: up}
	e.SetPrefixes(own)
	return &serving{Server: &Server{Engine: e, Log: silent()}}
}

// wire gives the server bytes as they come by UDP, and returns what it says.
func wire(t *testing.T, s *serving, b []byte) *dns.Msg {
	t.Helper()
	q, ok := s.read(b)
	if !ok {
		return nil
	}
	out := s.respond(t.Context(), q, udpLimit(q))
	if len(out) > udpLimit(q) {
		t.Errorf("a response of %d bytes, want %d at most", len(out), udpLimit(q))
	}
	if len(out) == 0 {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		t.Fatalf("response %x: %v", out, err)
	}
	return m
}

func TestHostileQueries(t *testing.T) {
	questions := func(n int, opcode int) []byte {
		m := query("a.example", "AAAA")
		m.Opcode = opcode
		for range n - 1 {
			m.Question = append(m.Question, dns.Question{Name: ".", Qtype: dns.TypeAAAA, Qclass: dns.ClassINET})
		}
		return packed(t, m)
	}
	twoOPT := query("a.example", "AAAA")
	twoOPT.SetEdns0(1232, false)
	twoOPT.Extra = append(twoOPT.Extra, dns.Copy(twoOPT.Extra[0]))
	header := func(flags byte, counts ...byte) []byte {
		b := make([]byte, 12)
		b[0], b[1], b[2] = 7, 7, flags
		for i, c := range counts {
			b[5+2*i] = c
		}
		return b
	}
	tests := map[string]struct {
		query []byte
		rcode int // -1: no response
	}{
		"no question (RFC 1035 section 4.1.1)":            {questions(1, dns.OpcodeQuery)[:12], dns.RcodeFormatError},
		"800 questions":                                   {questions(800, dns.OpcodeQuery), dns.RcodeFormatError},
		"800 questions of an unknown opcode":              {questions(800, 9), dns.RcodeNotImplemented},
		"NOTIFY":                                          {questions(1, dns.OpcodeNotify), dns.RcodeNotImplemented},
		"two OPT records (RFC 6891 section 6.1.1)":        {packed(t, twoOPT), dns.RcodeFormatError},
		"a name that points at itself":                    {append(header(1, 1), 0xc0, 12, 0, 28, 0, 1), dns.RcodeFormatError},
		"a name that points beyond the end":               {append(header(1, 1), 0xff, 0xff, 0, 28, 0, 1), dns.RcodeFormatError},
		"a label that does not end":                       {append(header(1, 1), 63, 'a'), dns.RcodeFormatError},
		"a response, which never gets one":                {header(0x80, 0), -1},
		"a bad response":                                  {append(header(0x80, 1), 0xff), -1},
		"half a header":                                   {header(0)[:11], -1},
		"nothing":                                         {nil, -1},
		"counts that lie, with nothing behind the header": {header(1, 255, 255, 255, 255), dns.RcodeFormatError},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := wire(t, serverFor(zone{"A a.example.": {v4}}), tt.query)
			switch {
			case tt.rcode < 0 && m != nil:
				t.Errorf("a response: %v", m)
			case tt.rcode >= 0 && m == nil:
				t.Error("no response")
			case m != nil && m.Rcode != tt.rcode:
				t.Errorf("%s, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[tt.rcode])
			}
		})
	}
}

func TestUnknownEDNSVersion(t *testing.T) {
	q := query("a.example", "AAAA")
	q.SetEdns0(1232, false)
	q.IsEdns0().SetVersion(1)
	m := wire(t, serverFor(zone{"A a.example.": {v4}}), packed(t, q))
	if m.Rcode != dns.RcodeBadVers || m.IsEdns0() == nil || m.IsEdns0().Version() != 0 {
		t.Errorf("%v, want BADVERS (RFC 6891 section 6.1.3)", m)
	}
}

func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What upstream says is bounded, and the client gets a clear result.
func TestHostileAnswers(t *testing.T) {
	alias := func(from, to string) string { return from + ".example. 9 IN CNAME " + to + ".example." }
	many := func(n int) (out []string) {
		for i := range n {
			out = append(out, alias(fmt.Sprintf("a%d", i), fmt.Sprintf("a%d", i+1)))
		}
		return append(out, fmt.Sprintf("a%d.example. 9 IN A 198.51.100.10", n))
	}
	hops := zone{}
	for i := range 40 {
		hops[fmt.Sprintf("A a%d.example.", i)] = []string{alias(fmt.Sprintf("a%d", i), fmt.Sprintf("a%d", i+1))}
	}
	tests := map[string]struct {
		zone zone
		name string
		want []string
	}{
		"a circle in one answer":       {zone{"A a.example.": {alias("a", "b"), alias("b", "a")}}, "a.example", []string{"! SERVFAIL"}},
		"a circle over several":        {zone{"A a.example.": {alias("a", "b")}, "A b.example.": {alias("b", "a")}}, "a.example", []string{"! SERVFAIL"}},
		"an alias to itself":           {zone{"A a.example.": {alias("a", "a")}}, "a.example", []string{"! SERVFAIL"}},
		"3000 aliases":                 {zone{"A a0.example.": many(3000)}, "a0.example", []string{"! SERVFAIL"}},
		"an alias in each of 40":       {hops, "a0.example", []string{"! SERVFAIL"}},
		"a DNAME that grows the name":  {zone{"A x.a.example.": {"a.example. 9 IN DNAME y.a.example."}}, "x.a.example", []string{"! SERVFAIL"}},
		"addresses of another name":    {zone{"A a.example.": {"b.example. 9 IN A 198.51.100.66"}}, "a.example", nil},
		"addresses of another class":   {zone{"A a.example.": {"a.example. 9 CH A 198.51.100.66"}}, "a.example", nil},
		"aliases beside the path":      {zone{"A a.example.": {v4, alias("x", "y"), "z.example. 9 IN DNAME w.example."}}, "a.example", []string{fmt.Sprintf(made, 600)}},
		"the same address three times": {zone{"A a.example.": {v4, v4, v4}}, "a.example", []string{fmt.Sprintf(made, 600)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			count := &counting{Upstream: tt.zone}
			e := &Engine{Upstream: count}
			e.SetPrefixes(own)
			if d := cmp.Diff(tt.want, show(e.Answer(t.Context(), query(tt.name, "AAAA")))); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if n := count.n.Load(); n > 2*(maxAliases+1) {
				t.Errorf("%d questions upstream, want %d at most", n, 2*(maxAliases+1))
			}
		})
	}
}

// counting counts the questions.
type counting struct {
	Upstream
	n atomic.Int64
}

func (c *counting) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	c.n.Add(1)
	return c.Upstream.Exchange(ctx, q)
}

// altered changes what upstream says.
type altered struct {
	Upstream
	change func(*dns.Msg)
}

func (a altered) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	m, err := a.Upstream.Exchange(ctx, q)
	if err == nil {
		a.change(m)
	}
	return m, err
}

// An empty truncated answer says nothing about AAAA: synthesizing after it could hide
// a real address (6147-2).
func TestTruncatedUpstreamIsNoAnswer(t *testing.T) {
	e := &Engine{Upstream: altered{zone{"A a.example.": {v4}}, func(m *dns.Msg) { m.Truncated = true }}}
	e.SetPrefixes(own)
	for _, qtype := range []string{"AAAA", "A", "TXT"} {
		if m := e.Answer(t.Context(), query("a.example", qtype)); m.Rcode != dns.RcodeServerFailure || len(m.Answer) != 0 {
			t.Errorf("%s: %v, want SERVFAIL", qtype, m)
		}
	}
}

// Programs believe AD from a resolver on loopback (RFC 4035 section 4.9.3), and the
// way to upstream is the open network.
func TestAuthenticatedDataOfUpstreamIsNotHandedOn(t *testing.T) {
	z := zone{"AAAA a.example.": {"a.example. 60 IN AAAA 2001:db8:5::1"}, "TXT a.example.": {`a.example. 60 IN TXT "x"`}, "A b.example.": {"b.example. 60 IN A 198.51.100.10"}}
	e := &Engine{Upstream: altered{z, func(m *dns.Msg) { m.AuthenticatedData = true }}}
	e.SetPrefixes(own)
	for _, q := range []*dns.Msg{query("a.example", "AAAA"), query("a.example", "TXT"), query("b.example", "AAAA"), query("none.example", "AAAA")} {
		q.SetEdns0(1232, true)
		q.AuthenticatedData = true
		if m := e.Answer(t.Context(), q); m.AuthenticatedData {
			t.Errorf("%v: AD is set", q.Question[0])
		}
	}
}

// Types other than AAAA are not changed (6147-10), so aliases are not followed either.
func TestOtherTypesAreNotFollowed(t *testing.T) {
	count := &counting{Upstream: zone{"A a.example.": {"a.example. 9 IN CNAME b.example."}, "A b.example.": {"b.example. 9 IN A 198.51.100.10"}}}
	e := &Engine{Upstream: count}
	e.SetPrefixes(own)
	m := e.Answer(t.Context(), query("a.example", "A"))
	if d := cmp.Diff([]string{"a.example. 9 IN CNAME b.example."}, show(m)); d != "" || count.n.Load() != 1 {
		t.Errorf("%d questions (-want +got)\n%s", count.n.Load(), d)
	}
}

// A DNAME without the CNAME that belongs to it (RFC 6672 section 3.1).
func TestDNAMEAlone(t *testing.T) {
	tests := map[string]struct{ name, dname, cname, end string }{
		"of a zone":     {"x.a.example.", "a.example. 9 IN DNAME b.example.", "x.a.example. 9 IN CNAME x.b.example.", "x.b.example."},
		"to the root":   {"x.a.example.", "a.example. 9 IN DNAME .", "x.a.example. 9 IN CNAME x.", "x."},
		"another case":  {"x.A.example.", "a.eXample. 9 IN DNAME b.example.", "x.A.example. 9 IN CNAME x.b.example.", "x.b.example."},
		"escaped bytes": {`x\.\001.a.example.`, "a.example. 9 IN DNAME b.example.", `x\.\001.a.example. 9 IN CNAME x\.\001.b.example.`, `x\.\001.b.example.`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := engineFor(zone{"A " + strings.ToLower(tt.name): {tt.dname}, "A " + tt.end: {tt.end + " 99 IN A 198.51.100.10"}})
			want := []string{tt.dname, tt.cname, tt.end + " 99 IN AAAA 2001:db8:64::c633:640a"}
			if d := cmp.Diff(want, show(e.Answer(t.Context(), query(tt.name, "AAAA")))); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// flaky fails its first Accepts as a process without free descriptors does.
type flaky struct {
	net.Listener
	fail atomic.Int64
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.fail.Add(-1) >= 0 {
		return nil, errors.New("accept4: too many open files")
	}
	return f.Listener.Accept()
}

// The service lives as long as Run does, so an error that passes must not end it.
func TestAcceptErrorsPass(t *testing.T) {
	udp, tcp, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	l := &flaky{Listener: tcp}
	l.fail.Store(12)
	start(t, &Server{Engine: engineFor(zone{"A a.example.": {v4}}), Log: silent()}, udp, l)
	if m := ask(t, "tcp", udp.LocalAddr().String(), query("a.example", "AAAA")); len(m.Answer) != 1 {
		t.Errorf("%v", m)
	}
}

// A silent reverse zone leaves time for the question as it was asked (6147-9).
func TestSilentReverseZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := reverse("2001:db8:64::c633:640a")
		e := engineFor(zone{"PTR 10.100.51.198.in-addr.arpa.": {"silence"}, "PTR " + name: {name + " 60 IN PTR b.example."}})
		begin := time.Now()
		m := e.Answer(t.Context(), query(name, "PTR"))
		if d := cmp.Diff([]string{name + " 60 IN PTR b.example."}, show(m)); d != "" {
			t.Errorf("after %v (-want +got)\n%s", time.Since(begin), d)
		}
	})
}
