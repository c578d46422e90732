package agent

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// resolvers are DNS servers by address: what each answers in zone file form; one
// that is missing never answers.
type resolvers map[string]func(q dns.Question) []string

func (r resolvers) DialContext(_ context.Context, _, addr string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() { // ends when the client closes
		defer far.Close()
		buf := make([]byte, 4096)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			answer := r[netip.MustParseAddrPort(addr).Addr().String()]
			if q.Unpack(buf[:n]) != nil || answer == nil {
				continue
			}
			m := new(dns.Msg).SetReply(q)
			for _, line := range answer(q.Question[0]) {
				if line == "SERVFAIL" {
					m.Rcode = dns.RcodeServerFailure
				} else if rr, err := dns.NewRR(line); err == nil && (rr.Header().Rrtype == q.Question[0].Qtype || rr.Header().Rrtype == dns.TypeCNAME) {
					m.Answer = append(m.Answer, rr)
				}
			}
			if b, err := m.Pack(); err == nil {
				_, _ = far.Write(b)
			}
		}
	}()
	return near, nil
}

func saying(lines ...string) func(dns.Question) []string {
	return func(dns.Question) []string { return lines }
}

func TestResolveServerName(t *testing.T) {
	const a, aaaa = "backup.test. 60 IN A 198.51.100.10", "backup.test. 30 IN AAAA 2001:db8:64::c633:640a"
	ns := []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("2001:db8::54")}
	both := "198.51.100.10 2001:db8:64::c633:640a"
	tests := map[string]struct {
		servers resolvers
		want    string // addresses, or the error's text
		took    time.Duration
		ttl     time.Duration
	}{
		"the first answers":                   {resolvers{"2001:db8::53": saying(a, aaaa), "2001:db8::54": saying("backup.test. 60 IN A 203.0.113.9")}, both, 0, 30 * time.Second},
		"the first is silent":                 {resolvers{"2001:db8::54": saying(a, aaaa)}, both, time.Second, 30 * time.Second},
		"the first fails":                     {resolvers{"2001:db8::53": saying("SERVFAIL"), "2001:db8::54": saying(a, aaaa)}, both, 0, 30 * time.Second},
		"the first knows nothing":             {resolvers{"2001:db8::53": saying(), "2001:db8::54": saying(a, aaaa)}, both, 0, 30 * time.Second},
		"nobody answers":                      {resolvers{}, "timeout", 8 * time.Second, 0},
		"an alias":                            {resolvers{"2001:db8::53": saying("backup.test. 5 IN CNAME x.test.", "x.test. 60 IN A 198.51.100.10")}, "198.51.100.10", 0, 5 * time.Second},
		"records of other names do not count": {resolvers{"2001:db8::53": saying(a, "bank.test. 60 IN A 203.0.113.9", "bank.test. 60 IN AAAA 2001:db8::9")}, "198.51.100.10", 0, time.Minute},
		"aliases in a circle":                 {resolvers{"2001:db8::53": saying("backup.test. 5 IN CNAME backup.test."), "2001:db8::54": saying(a)}, "198.51.100.10", 0, time.Minute},
		"addresses that no server has":        {resolvers{"2001:db8::53": saying("backup.test. 60 IN A 127.0.0.1", "backup.test. 60 IN A 192.0.0.1", "backup.test. 60 IN AAAA ::ffff:198.51.100.10", a)}, "198.51.100.10", 0, time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				got, ttl := resolve(t.Context(), tt.servers, ns, "backup.test")
				var words []string
				for _, ip := range append(got.ipv4, got.ipv6...) {
					words = append(words, ip.String())
				}
				text := strings.Join(words, " ")
				if got.err != nil {
					if !strings.Contains(got.err.Error(), tt.want) {
						t.Errorf("error %v, want %q in it", got.err, tt.want)
					}
					text = tt.want
				}
				if d := cmp.Diff([]any{tt.want, tt.took, tt.ttl}, []any{text, time.Since(begin), ttl}); d != "" {
					t.Errorf("%v\n%s", got.err, d)
				}
			})
		})
	}
}
