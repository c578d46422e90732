package siit

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

func TestNonGlobalUnderTheWellKnownPrefix(t *testing.T) { // R6052-8, R6052-9, 6052-6, 6052-7
	private, doc := [4]byte{10, 1, 2, 3}, [4]byte{198, 51, 100, 10}
	tests := map[string]struct {
		policy nat64.NonGlobal
		prefix nat64.Prefix
		dst    [4]byte
		always []netip.Addr
		want   Verdict
	}{
		"private by default":            {nat64.NonGlobalPrivate, nat64.WellKnown(), private, nil, OK},
		"documentation by default":      {nat64.NonGlobalPrivate, nat64.WellKnown(), doc, nil, AnsweredNonGlobal},
		"a configured server always":    {nat64.NonGlobalNever, nat64.WellKnown(), doc, []netip.Addr{netip.AddrFrom4(doc)}, OK},
		"never":                         {nat64.NonGlobalNever, nat64.WellKnown(), private, nil, AnsweredNonGlobal},
		"always":                        {nat64.NonGlobalAlways, nat64.WellKnown(), doc, nil, OK},
		"a prefix of the network's own": {nat64.NonGlobalNever, nat64.MustParse("2001:db8:64:ff9b::/96"), private, nil, OK},
		"the block for local use (R6052-11, 6052-11)": {nat64.NonGlobalNever, nat64.MustParse("64:ff9b:1:fffe::/96"), private, nil, OK},
		"link-local under no prefix (SEC-11)":         {nat64.NonGlobalAlways, nat64.MustParse("2001:db8:64:ff9b::/96"), [4]byte{169, 254, 1, 1}, nil, AnsweredNonGlobal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := vectorConfig()
			c.Prefix, c.NonGlobal, c.AlwaysAllow = tt.prefix, tt.policy, tt.always
			in := edit(sample(t, c, "udp", 0, 64, 1, nil), func(p []byte) { copy(p[16:], tt.dst[:]) })
			b := NewBatch()
			if v := translator(t, c).To6(b, vnethdr.Header{}, in); v != tt.want {
				t.Errorf("4to6: verdict %v, want %v", v, tt.want)
			}
			// What may not be reached may not reach us.
			from := back(t, oracleTo6(t, c, in))
			if v := translator(t, c).To4(b, vnethdr.Header{}, from); v != tt.want {
				t.Errorf("6to4: verdict %v, want %v", v, tt.want)
			}
			// An error of its comes, but from the dummy address.
			b.Reset()
			src := netip.AddrFrom16([16]byte(from[8:24])).String()
			quoted := oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))
			if v := translator(t, c).To4(b, vnethdr.Header{}, error6(c, src, 1, 0, 0, quoted)); v != OK {
				t.Fatalf("error: verdict %v", v)
			}
			if got := [4]byte(only(t, b)[12:16]); (got == tt.dst) != (tt.want == OK) || tt.want != OK && got != dummy {
				t.Errorf("error from %v", got)
			}
		})
	}
}

func TestLimiter(t *testing.T) { // SIIT-68, 7915-84, SEC-13
	var l Limiter
	now := time.Unix(1000, 0)
	allowed := func(v Verdict, n int) (ok int) {
		for range n {
			if l.Allow(now, v) {
				ok++
			}
		}
		return ok
	}
	if got := allowed(AnsweredTTL, 100); got != errorBurst {
		t.Errorf("%d errors at once, want %d", got, errorBurst)
	}
	if got := allowed(AnsweredTooBig, 100); got != tooBigBurst {
		t.Errorf("%d Packet Too Big at once, want %d though errors ran out", got, tooBigBurst)
	}
	now = now.Add(time.Second)
	if got := allowed(AnsweredTTL, 100); got != errorRate {
		t.Errorf("%d errors after a second, want %d", got, errorRate)
	}
	now = now.Add(-time.Hour) // a clock that jumps back
	if got := allowed(AnsweredTTL, 100); got != 0 {
		t.Errorf("%d errors after the clock went back, want 0", got)
	}
}

func TestLimiterRefills(t *testing.T) { // SIIT-68
	tests := map[string]struct {
		v     Verdict
		after time.Duration
		want  int
	}{
		"one error every 100 ms":         {AnsweredTTL, 100 * time.Millisecond, 1},
		"none before":                    {AnsweredTTL, 99 * time.Millisecond, 0},
		"no more than the burst":         {AnsweredTTL, time.Hour, 10},
		"source routes are errors too":   {AnsweredSourceRoute, time.Second, 10},
		"Routing headers are errors too": {AnsweredRouting, 500 * time.Millisecond, 5},
		"too big: 100 a second":          {AnsweredTooBig, 100 * time.Millisecond, 10},
		"too big: no more than 50":       {AnsweredTooBig, time.Second, 50},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var l Limiter
			now := time.Unix(1000, 0)
			for range 50 {
				l.Allow(now, tt.v)
			}
			got := 0
			for range 100 {
				if l.Allow(now.Add(tt.after), tt.v) {
					got++
				}
			}
			if got != tt.want {
				t.Errorf("%d allowed after %v, want %d", got, tt.after, tt.want)
			}
		})
	}
}

func TestWordsOfVerdicts(t *testing.T) {
	seen := map[string]Verdict{}
	for v := range NumVerdicts {
		word := v.String()
		if word == "" || v.Kind().String() == "" || !strings.HasPrefix(word, v.Kind().String()) {
			t.Errorf("verdict %d of kind %v is called %q", v, v.Kind(), word)
		}
		if w, ok := seen[word]; ok {
			t.Errorf("verdicts %d and %d are both %q", v, w, word)
		}
		seen[word] = v
	}
	for d, want := range map[Direction]string{DirNone: "none", Dir4to6: "4to6", Dir6to4: "6to4"} {
		if d.String() != want {
			t.Errorf("direction %d is %q, want %q", d, d, want)
		}
	}
}

func TestConfigurationIsCopied(t *testing.T) {
	c := vectorConfig()
	c.NonGlobal, c.AlwaysAllow = nat64.NonGlobalNever, []netip.Addr{netip.MustParseAddr("192.0.2.33")}
	tr := translator(t, c)
	c.AlwaysAllow[0] = netip.MustParseAddr("192.0.2.34")
	if v := tr.To6(NewBatch(), vnethdr.Header{}, sample(t, c, "udp", 0, 64, 1, nil)); v != OK {
		t.Errorf("verdict %v after the caller changed its slice", v)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	tests := map[string]func(*Config){
		"no prefix":                  func(c *Config) { c.Prefix = nat64.Prefix{} },
		"IPv6 as IPv4":               func(c *Config) { c.CLAT4 = c.CLAT6 },
		"no IPv6":                    func(c *Config) { c.CLAT6 = netip.Addr{} },
		"IPv4-mapped":                func(c *Config) { c.CLAT6 = netip.MustParseAddr("::ffff:192.0.2.1") },
		"link-local":                 func(c *Config) { c.CLAT6 = netip.MustParseAddr("fe80::1") },
		"address in the prefix":      func(c *Config) { c.CLAT6 = netip.MustParseAddr("64:ff9b::1") },
		"IPv6 MTU below 1280":        func(c *Config) { c.MTU6 = 1279 },
		"IPv6 MTU too large":         func(c *Config) { c.MTU6 = 65536 },
		"IPv4 MTU below 68":          func(c *Config) { c.MTU4 = 67 },
		"IPv4 MTU too large":         func(c *Config) { c.MTU4 = 65536 },
		"IPv6 with a zone":           func(c *Config) { c.CLAT6 = netip.MustParseAddr("2001:db8::1%eth0") },
		"IPv6 multicast":             func(c *Config) { c.CLAT6 = netip.MustParseAddr("ff0e::1") },
		"lowest IPv6 MTU below 1280": func(c *Config) { c.LowestMTU6 = 1279 },
		"IPv6 addresses for hops":    func(c *Config) { c.HopAddrs = netip.MustParsePrefix("2001:db8::/64") },
		"an IPv6 address to allow":   func(c *Config) { c.AlwaysAllow = []netip.Addr{netip.MustParseAddr("2001:db8::1")} },
		"IPv6 loopback":              func(c *Config) { c.CLAT6 = netip.MustParseAddr("::1") },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			c := vectorConfig()
			spoil(&c)
			if _, err := New(c); err == nil {
				t.Error("no error")
			}
		})
	}
}
