package dnsq

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func answerOf(t testing.TB, lines ...string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

func TestFollow(t *testing.T) {
	var circle, long []string
	for i := range 40 {
		long = append(long, fmt.Sprintf("n%d.example. 60 IN CNAME n%d.example.", i, i+1))
	}
	circle = []string{"a.example. 60 IN CNAME b.example.", "b.example. 60 IN CNAME a.example."}
	tests := map[string]struct {
		name    string
		qtype   uint16
		records []string
		addrs   string
		aliases string
		ttl     time.Duration
		beside  int
		err     error
	}{
		"plain":                        {"a.example", dns.TypeA, []string{"a.example. 300 IN A 198.51.100.1", "a.example. 60 IN A 198.51.100.2"}, "[198.51.100.1 198.51.100.2]", "[]", time.Minute, 0, nil},
		"case does not matter":         {"A.Example", dns.TypeA, []string{"a.EXAMPLE. 300 IN A 198.51.100.1"}, "[198.51.100.1]", "[]", 5 * time.Minute, 0, nil},
		"an alias":                     {"a.example", dns.TypeAAAA, []string{"a.example. 30 IN CNAME b.example.", "b.example. 300 IN AAAA 2001:db8::1"}, "[2001:db8::1]", "[b.example.]", 30 * time.Second, 0, nil},
		"aliases in any order":         {"a.example", dns.TypeAAAA, []string{"c.example. 300 IN AAAA 2001:db8::1", "b.example. 300 IN CNAME c.example.", "a.example. 300 IN CNAME b.example."}, "[2001:db8::1]", "[b.example. c.example.]", 5 * time.Minute, 0, nil},
		"an alias without address":     {"a.example", dns.TypeAAAA, []string{"a.example. 30 IN CNAME b.example."}, "[]", "[b.example.]", 30 * time.Second, 0, nil},
		"a DNAME with its CNAME":       {"x.a.example", dns.TypeA, []string{"a.example. 9 IN DNAME b.example.", "x.a.example. 9 IN CNAME x.b.example.", "x.b.example. 9 IN A 198.51.100.1"}, "[198.51.100.1]", "[x.b.example.]", 9 * time.Second, 0, nil},
		"another's record is not ours": {"a.example", dns.TypeA, []string{"a.example. 300 IN A 198.51.100.1", "bank.example. 300 IN A 203.0.113.9"}, "[198.51.100.1]", "[]", 5 * time.Minute, 1, nil},
		"another type beside":          {"a.example", dns.TypeA, []string{"a.example. 300 IN AAAA 2001:db8::1"}, "[]", "[]", 0, 1, nil},
		"nothing":                      {"a.example", dns.TypeA, nil, "[]", "[]", 0, 0, nil},
		"a circle":                     {"a.example", dns.TypeA, circle, "", "", 0, 0, ErrChain},
		"too long":                     {"n0.example", dns.TypeA, long, "", "", 0, 0, ErrChain},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Follow(answerOf(t, tt.records...), tt.name, tt.qtype)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			got := []string{fmt.Sprint(c.Addrs), fmt.Sprint(c.Aliases), c.TTL.String(), fmt.Sprint(c.Beside)}
			if d := cmp.Diff([]string{tt.addrs, tt.aliases, tt.ttl.String(), fmt.Sprint(tt.beside)}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// FuzzFollow reads any message; whatever comes, it ends and believes only what
// belongs to the name.
func FuzzFollow(f *testing.F) {
	for _, lines := range [][]string{{"a.example. 300 IN A 198.51.100.1"}, {"a.example. 30 IN CNAME b.example.", "b.example. 30 IN CNAME a.example."}, {"a.example. 9 IN DNAME ."}} {
		b, err := answerOf(f, lines...).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			c, err := Follow(m, "a.example", qtype)
			if err == nil && (len(c.Addrs) > len(m.Answer) || c.Beside < -maxChain*len(m.Answer)) {
				t.Errorf("%+v", c)
			}
			for _, a := range c.Addrs {
				if a.Is4() != (qtype == dns.TypeA) {
					t.Errorf("%v of type %d", a, qtype)
				}
			}
		}
	})
}
