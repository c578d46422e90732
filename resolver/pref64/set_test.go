package pref64

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/resolver/nat64"
)

const eth0, wlan0 = 2, 3

var (
	noon    = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	router1 = netip.MustParseAddr("fe80::1")
	router2 = netip.MustParseAddr("fe80::2")
	dns1    = netip.MustParseAddr("2001:db8::53")
)

// cand is a candidate that lives for a number of seconds, 0 for ever.
func cand(prefix string, trust Trust, secs int) Candidate {
	c := Candidate{Prefix: nat64.MustParse(prefix), Trust: trust}
	if secs > 0 {
		c.Until = noon.Add(time.Duration(secs) * time.Second)
	}
	return c
}

// in numbers the candidates of one answer.
func in(cs ...Candidate) []Candidate {
	for i := range cs {
		cs[i].Order = i
	}
	return cs
}

func lines(cs []Candidate) []string {
	var out []string
	for _, c := range cs {
		out = append(out, fmt.Sprintf("%s %s", c.Source, c.Prefix))
	}
	return out
}

func TestRanking(t *testing.T) {
	const a, b = "2001:db8:a::/96", "2001:db8:b::/96"
	tests := []struct {
		name  string
		build func(*Set)
		want  []string
	}{
		{"nothing", func(*Set) {}, nil},
		{"sources rank policy, os, pcp, ra, dns, server", func(s *Set) {
			for _, src := range []Source{Server, DNS, RA, PCP, OS} {
				s.Replace(noon, Key{src, eth0, router1}, in(cand(a, LinkTrusted, 60)))
			}
			s.Replace(noon, Key{Source: Policy}, in(cand(a, Trusted, 0)))
		}, []string{"policy " + a, "os " + a, "pcp " + a, "ra " + a, "dns " + a, "server " + a}},
		{"configured prefixes keep their order", func(s *Set) {
			s.Replace(noon, Key{Source: Policy}, in(cand(b, Trusted, 0), cand(a, Trusted, 0)))
		}, []string{"policy " + b, "policy " + a}},
		{"a newer router does not displace an older one", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router2}, in(cand(b, LinkTrusted, 60)))
			s.Merge(noon.Add(time.Second), Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 600)))
		}, []string{"ra " + b, "ra " + a}},
		{"a renewal keeps the age", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router2}, in(cand(b, LinkTrusted, 60)))
			s.Merge(noon.Add(time.Second), Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60)))
			s.Merge(noon.Add(2*time.Second), Key{RA, eth0, router2}, in(cand(b, LinkTrusted, 60)))
		}, []string{"ra " + b, "ra " + a}},
		{"a trusted link goes before one that needs a probe", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router2}, in(cand(b, AfterProbe, 60)))
			s.Merge(noon.Add(time.Second), Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60)))
		}, []string{"ra " + a, "ra " + b}},
		{"equal in all else: the lower value", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router2}, in(cand(b, LinkTrusted, 60)))
			s.Merge(noon, Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60)))
		}, []string{"ra " + a, "ra " + b}},
		{"an RA without the option withdraws nothing", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60)))
			s.Merge(noon, Key{RA, eth0, router1}, nil)
		}, []string{"ra " + a}},
		{"a DNS answer replaces the one before", func(s *Set) {
			s.Replace(noon, Key{DNS, eth0, dns1}, in(cand(a, AfterProbe, 60)))
			s.Replace(noon, Key{DNS, eth0, dns1}, in(cand(b, AfterProbe, 60)))
		}, []string{"dns " + b}},
		{"a negative DNS answer ends its prefix", func(s *Set) {
			s.Replace(noon, Key{DNS, eth0, dns1}, in(cand(a, AfterProbe, 60)))
			s.Replace(noon, Key{DNS, eth0, dns1}, nil)
		}, nil},
		{"a withdrawal takes only that router's claim", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60)))
			s.Merge(noon, Key{RA, eth0, router2}, in(cand(a, LinkTrusted, 60), cand(b, LinkTrusted, 60)))
			s.Withdraw(Key{RA, eth0, router2}, nat64.MustParse(a))
		}, []string{"ra " + a, "ra " + b}},
		{"candidates do not cross links", func(s *Set) {
			s.Merge(noon, Key{RA, wlan0, router1}, in(cand(a, LinkTrusted, 60)))
		}, nil},
		{"a dropped link takes its candidates along, not the configured ones", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60)))
			s.Replace(noon, Key{Source: Policy}, in(cand(b, Trusted, 0)))
			s.DropLink(eth0)
			s.DropLink(0)
		}, []string{"policy " + b}},
		{"run out", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 10)))
		}, nil},
		{"run out on arrival", func(s *Set) {
			s.Merge(noon.Add(time.Minute), Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60)))
		}, nil},
		{"the same prefix twice in an answer", func(s *Set) {
			s.Merge(noon, Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60), cand(a, LinkTrusted, 60)))
		}, []string{"ra " + a}},
		{"outside what policy allows", func(s *Set) {
			s.Allow = []netip.Prefix{netip.MustParsePrefix("2001:db8:b::/48")}
			s.Merge(noon, Key{RA, eth0, router1}, in(cand(a, LinkTrusted, 60), cand(b, LinkTrusted, 60)))
		}, []string{"ra " + b}},
		{"configured prefixes need no permission", func(s *Set) {
			s.Allow = []netip.Prefix{netip.MustParsePrefix("2001:db8:b::/48")}
			s.Replace(noon, Key{Source: Policy}, in(cand(a, Trusted, 0)))
		}, []string{"policy " + a}},
		{"larger than what policy allows", func(s *Set) {
			s.Allow = []netip.Prefix{netip.MustParsePrefix("2001:db8::/40")}
			s.Merge(noon, Key{RA, eth0, router1}, in(cand("2001:db8::/32", LinkTrusted, 60)))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Set
			tt.build(&s)
			now := noon.Add(10 * time.Second)
			list := s.List(now, eth0)
			if d := cmp.Diff(tt.want, lines(list)); d != "" {
				t.Error(d)
			}
			best, ok := s.Best(now, eth0)
			if ok != (len(tt.want) > 0) || ok && lines([]Candidate{best})[0] != tt.want[0] {
				t.Errorf("best is %v, %v", best, ok)
			}
			for _, c := range list {
				if c.Link != eth0 && c.Source != Policy {
					t.Errorf("%v is on link %d", c.Prefix, c.Link)
				}
			}
		})
	}
}

// TestShorterLifetime: PREF64 has no two-hour rule (spec R8781-8, RANK-4).
func TestShorterLifetime(t *testing.T) {
	var s Set
	key := Key{RA, eth0, router1}
	s.Merge(noon, key, in(cand("64:ff9b::/96", LinkTrusted, 1800)))
	s.Merge(noon, key, in(cand("64:ff9b::/96", LinkTrusted, 8)))
	if got, want := s.Next(noon), noon.Add(8*time.Second); !got.Equal(want) {
		t.Errorf("next expiry %v, want %v", got, want)
	}
	if _, ok := s.Best(noon.Add(8*time.Second), eth0); ok {
		t.Error("the prefix is still there after 8 s")
	}
}

func TestNext(t *testing.T) {
	var s Set
	if !s.Next(noon).IsZero() {
		t.Error("an empty set has a next expiry")
	}
	s.Replace(noon, Key{Source: Policy}, in(cand("64:ff9b::/96", Trusted, 0)))
	if !s.Next(noon).IsZero() {
		t.Error("a configured prefix expires")
	}
	s.Replace(noon, Key{DNS, eth0, dns1}, in(cand("64:ff9b::/96", AfterProbe, 60)))
	s.Replace(noon, Key{RA, wlan0, router1}, in(cand("64:ff9b::/96", AfterProbe, 30)))
	for _, tt := range []struct{ at, want int }{{0, 30}, {30, 60}} {
		if got, want := s.Next(noon.Add(time.Duration(tt.at)*time.Second)), noon.Add(time.Duration(tt.want)*time.Second); !got.Equal(want) {
			t.Errorf("at %d s: next %v, want %v", tt.at, got, want)
		}
	}
}

// TestAge: time asleep counts, but not for what is configured.
func TestAge(t *testing.T) {
	var s Set
	s.Replace(noon, Key{Source: Policy}, in(cand("2001:db8:a::/96", Trusted, 0)))
	s.Replace(noon, Key{RA, eth0, router1}, in(cand("64:ff9b::/96", LinkTrusted, 100), cand("2001:db8:b::/96", LinkTrusted, 50)))
	s.Age(60 * time.Second)
	if d := cmp.Diff([]string{"policy 2001:db8:a::/96", "ra 64:ff9b::/96"}, lines(s.List(noon, eth0))); d != "" {
		t.Error(d)
	}
	if got, want := s.Next(noon), noon.Add(40*time.Second); !got.Equal(want) {
		t.Errorf("next expiry %v, want %v", got, want)
	}
}

func TestReasons(t *testing.T) {
	var s Set
	s.Allow = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2001:db8::/32")}
	withReason := func(prefix, reason string) []Candidate {
		c := cand(prefix, LinkTrusted, 60)
		c.Reason = reason
		return []Candidate{c}
	}
	s.Merge(noon, Key{RA, eth0, router1}, withReason("64:ff9b::/96", "said by fe80::1"))
	s.Replace(noon, Key{DNS, eth0, dns1}, withReason("2001:db8:64::/96", "answered by 2001:db8::53"))
	s.Replace(noon, Key{Server, eth0, dns1}, withReason("64:ff9b::/96", ""))
	s.Replace(noon, Key{PCP, eth0, router1}, withReason("2001:dead::/96", "from PCP"))
	var got []string
	for _, c := range append(s.List(noon, eth0), s.Refused(noon, eth0)...) {
		got = append(got, c.Source.String()+": "+c.Reason)
	}
	want := []string{
		"ra: said by fe80::1; conflict: dns says 2001:db8:64::/96; confirmed by server",
		"dns: answered by 2001:db8::53; conflict: ra says 64:ff9b::/96; conflict: server says 64:ff9b::/96",
		"server: confirmed by ra; conflict: dns says 2001:db8:64::/96",
		"pcp: from PCP; refused: not inside a prefix that policy allows",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestFlood: spec SEC-5. What is in use survives, memory stays bounded.
func TestFlood(t *testing.T) {
	var s Set
	s.Replace(noon, Key{Source: Policy}, in(cand("2001:db8:ffff::/96", Trusted, 0)))
	s.Merge(noon, Key{RA, eth0, router1}, in(cand("64:ff9b::/96", LinkTrusted, 6000)))
	for r := range 200 {
		var cs []Candidate
		for p := range 20 {
			cs = append(cs, cand(fmt.Sprintf("2001:db8:%x:%x::/96", r+1, p), LinkTrusted, 6000))
		}
		s.Merge(noon.Add(time.Duration(r)*time.Millisecond), Key{RA, eth0, netip.MustParseAddr(fmt.Sprintf("fe80::%x", r+16))}, in(cs...))
	}
	if len(s.held) != MaxCandidates {
		t.Errorf("%d candidates held, want %d", len(s.held), MaxCandidates)
	}
	now := noon.Add(time.Second)
	list := s.List(now, eth0)
	if got := lines(list[:2]); !slices.Equal(got, []string{"policy 2001:db8:ffff::/96", "ra 64:ff9b::/96"}) {
		t.Errorf("best two are %v", got)
	}
	routers, perRouter := make(map[netip.Addr]bool), make(map[netip.Addr]int)
	for _, c := range list {
		if c.Source == RA {
			routers[c.Server] = true
			perRouter[c.Server]++
		}
	}
	if len(routers) > MaxServers {
		t.Errorf("%d routers, want at most %d", len(routers), MaxServers)
	}
	for r, n := range perRouter {
		if n > MaxPrefixes {
			t.Errorf("%d prefixes of %v, want at most %d", n, r, MaxPrefixes)
		}
	}
}

func TestNames(t *testing.T) {
	for _, s := range Sources() {
		if got, err := ParseSource(s.String()); err != nil || got != s {
			t.Errorf("%v read back as %v, %v", s, got, err)
		}
	}
	if _, err := ParseSource("RA"); err == nil || !strings.Contains(err.Error(), `"RA"`) {
		t.Errorf("unknown word: %v", err)
	}
	if got := Source(99).String() + Trust(99).String(); got != "source 99trust 99" {
		t.Errorf("out of range: %q", got)
	}
}
