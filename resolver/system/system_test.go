package system

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// goResolver is Go's resolver with a fixed answer.
type goResolver struct {
	addrs []netip.Addr
	err   error
}

func (r goResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r.addrs, r.err
}

func TestWhatApplicationsGet(t *testing.T) {
	getent := func(out string, err error) Runner {
		return func(context.Context, string, ...string) ([]byte, error) { return []byte(out), err }
	}
	tests := map[string]struct {
		run  Runner
		res  goResolver
		want []netip.Addr
		how  string
		fail bool
	}{
		"getent":                       {getent("2001:db8::1     STREAM a.example\n2001:db8::1     DGRAM  \n198.51.100.1    STREAM \n", nil), goResolver{}, addrs("2001:db8::1", "198.51.100.1"), "the system (getent)", false},
		"getent with a mapped address": {getent("::ffff:198.51.100.1 STREAM a.example\n", nil), goResolver{}, addrs("198.51.100.1"), "the system (getent)", false},
		"getent with odd lines":        {getent("\nwhat is this\n198.51.100.1\n", nil), goResolver{}, addrs("198.51.100.1"), "the system (getent)", false},
		"no getent":                    {getent("", errors.New("not found")), goResolver{addrs: addrs("198.51.100.1", "198.51.100.1", "::ffff:198.51.100.1")}, addrs("198.51.100.1"), "the system", false},
		"no such name":                 {nil, goResolver{err: errors.New("no such host")}, nil, "the system", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := Applications(t.Context(), tt.run, tt.res, "a.example")
			if !slices.Equal(v.Addrs, tt.want) || v.How != tt.how || (v.Err != "") != tt.fail {
				t.Errorf("%+v", v)
			}
		})
	}
}

// servers is a set of DNS servers by address: what each says about a type, in
// zone file form; a missing one never answers.
type servers map[string]map[uint16][]string

func (s servers) Query(ctx context.Context, server netip.AddrPort, name string, qtype uint16) (*dns.Msg, error) {
	zone, ok := s[server.Addr().String()]
	if !ok {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(10 * time.Millisecond)
	m := new(dns.Msg)
	for _, line := range zone[qtype] {
		if line == "SERVFAIL" {
			m.Rcode = dns.RcodeServerFailure
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil {
			return nil, err
		}
		m.Answer = append(m.Answer, rr)
	}
	return m, nil
}

func codes(f []Finding) (out []string) {
	for _, x := range f {
		out = append(out, x.Code)
	}
	return out
}

func TestFindings(t *testing.T) {
	const a, made, other = "a.example. 60 IN A 198.51.100.10", "a.example. 60 IN AAAA 2001:db8:64::c633:640a", "a.example. 60 IN AAAA 2001:db8:64::c633:6463"
	plain := map[uint16][]string{dns.TypeA: {a}}
	dns64 := map[uint16][]string{dns.TypeA: {a}, dns.TypeAAAA: {made}}
	tests := map[string]struct {
		servers servers
		system  []string
		prefix  bool
		want    []string
	}{
		"all is well":                       {servers{"2001:db8::53": dns64}, []string{"2001:db8:64::c633:640a", "198.51.100.10"}, true, nil},
		"no DNS64 beside a NAT64":           {servers{"2001:db8::53": plain}, []string{"198.51.100.10"}, true, []string{"no-dns64"}},
		"one of two synthesizes":            {servers{"2001:db8::53": plain, "2001:db8::54": dns64}, []string{"198.51.100.10"}, true, []string{"dns64-not-everywhere"}},
		"it stands for another address":     {servers{"2001:db8::53": {dns.TypeA: {a}, dns.TypeAAAA: {other}}}, nil, true, []string{"synthesis-differs"}},
		"a hosts file":                      {servers{"2001:db8::53": plain}, []string{"203.0.113.1"}, false, []string{"system-differs"}},
		"applications get nothing":          {servers{"2001:db8::53": plain}, nil, false, []string{"system-fails"}},
		"servers disagree":                  {servers{"2001:db8::53": plain, "2001:db8::54": {dns.TypeA: {"a.example. 60 IN A 203.0.113.7"}}}, []string{"198.51.100.10"}, false, []string{"servers-disagree"}},
		"one fails":                         {servers{"2001:db8::53": plain, "2001:db8::54": {dns.TypeA: {"SERVFAIL"}, dns.TypeAAAA: {"SERVFAIL"}}}, []string{"198.51.100.10"}, false, []string{"server-error", "server-error", "servers-disagree"}},
		"records of others":                 {servers{"2001:db8::53": {dns.TypeA: {a, "bank.example. 60 IN A 203.0.113.9"}}}, []string{"198.51.100.10"}, false, []string{"foreign-records"}},
		"aliases in a circle":               {servers{"2001:db8::53": {dns.TypeA: {"a.example. 1 IN CNAME b.example.", "b.example. 1 IN CNAME a.example."}}}, nil, false, []string{"server-failed"}},
		"nothing anywhere":                  {servers{"2001:db8::53": {}}, nil, false, []string{"no-address"}},
		"the well-known prefix needs no us": {servers{"2001:db8::53": {dns.TypeA: {a}, dns.TypeAAAA: {"a.example. 60 IN AAAA 64:ff9b::c633:640a"}}}, []string{"64:ff9b::c633:640a"}, false, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var list []Server
				for _, s := range []string{"2001:db8::53", "2001:db8::54"} {
					if _, ok := tt.servers[s]; ok {
						list = append(list, Server{"eth0", netip.AddrPortFrom(netip.MustParseAddr(s), 53)})
					}
				}
				start := time.Now()
				answers := Servers(t.Context(), list, func(string) Asker { return tt.servers }, "a.example")
				if took := time.Since(start); took != 10*time.Millisecond {
					t.Errorf("all at once took %v", took)
				}
				v := View{Addrs: addrs(tt.system...)}
				if len(tt.system) == 0 && name == "applications get nothing" {
					v.Err = "no such host"
				}
				var prefixes []nat64.Prefix
				if tt.prefix {
					prefixes = append(prefixes, nat64.MustParse("2001:db8:64::/96"))
				}
				got := Compare("a.example", v, answers, prefixes)
				if d := cmp.Diff(tt.want, codes(got)); d != "" {
					t.Errorf("%s%v", d, got)
				}
			})
		})
	}
}

// A server that never answers holds up nobody but itself, and is told.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		list := []Server{{"", netip.MustParseAddrPort("[2001:db8::99]:53")}}
		answers := Servers(ctx, list, func(string) Asker { return servers{} }, "a.example")
		if f := Compare("a.example", View{}, answers, nil); len(f) != 2 || f[0].Code != "server-failed" || !strings.Contains(f[0].Sentence, "2001:db8::99 gave no answer for AAAA") {
			t.Errorf("%+v", f)
		}
	})
}

func TestSynthesize(t *testing.T) {
	answers := []Answer{{Type: dns.TypeA, Chain: dnsq.Chain{Addrs: addrs("198.51.100.10", "127.0.0.1")}}, {Type: dns.TypeA, Chain: dnsq.Chain{Addrs: addrs("198.51.100.10")}}}
	got := Synthesize(answers, []nat64.Prefix{nat64.MustParse("2001:db8:64::/96"), nat64.WellKnown()}, nat64.NonGlobalPrivate)
	if len(got) != 1 || got[0].IPv6 != netip.MustParseAddr("2001:db8:64::c633:640a") {
		t.Errorf("%+v", got)
	}
}
