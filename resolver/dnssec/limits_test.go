package dnssec

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/test/signedzone"
)

// colliding makes n keys with the tag of k: the tag is a sum of 16-bit words, so
// their order does not matter.
func colliding(k signedzone.Key, n int) []*dns.DNSKEY {
	raw, _ := base64.StdEncoding.DecodeString(k.PublicKey)
	var out []*dns.DNSKEY
	for i := range 8 {
		for j := range 8 {
			if i == j || len(out) == n {
				continue
			}
			b := append([]byte(nil), raw...)
			copy(b[2*i:2*i+2], raw[16+2*j:])
			copy(b[16+2*j:16+2*j+2], raw[2*i:])
			c := dns.Copy(k.DNSKEY).(*dns.DNSKEY)
			c.PublicKey = base64.StdEncoding.EncodeToString(b)
			out = append(out, c)
		}
	}
	return out
}

// TestKeyTrap: many keys with one tag, and many signatures with it, must not cost
// keys times signatures (CVE-2023-50387).
func TestKeyTrap(t *testing.T) {
	w := newWorld()
	z := w.zone["nsec.test."]
	trap := colliding(z.Keys[0], 50)
	for _, k := range trap {
		if k.KeyTag() != z.Keys[0].KeyTag() {
			t.Fatalf("key tags %d and %d: the test does not make the keys it should", k.KeyTag(), z.Keys[0].KeyTag())
		}
	}
	w.Tamper = func(q dns.Question, m *dns.Msg) error {
		set := drop(m.Answer, dns.TypeRRSIG)
		switch {
		case q.Name == z.Name && q.Qtype == dns.TypeDNSKEY:
			for _, k := range trap {
				set = append([]dns.RR{k}, set...)
			}
			m.Answer = append(set, z.Signature(z.Keys[0], set))
		case q.Qtype == dns.TypeAAAA:
			good := z.Signature(z.Keys[0], set)
			m.Answer = set
			for i := range 50 {
				bad := dns.Copy(good).(*dns.RRSIG)
				bad.OrigTtl = uint32(i)
				m.Answer = append(m.Answer, bad)
			}
		}
		return nil
	}
	res := w.validate(t, "www.nsec.test.", dns.TypeAAAA)
	if res.Verdict != Bogus || res.Reason != TooMuchWork {
		t.Errorf("%v, want bogus: %s", res, TooMuchWork)
	}
	if res.Signatures > 30 {
		t.Errorf("%d signatures were checked", res.Signatures)
	}
}

// TestHashTrap: a long name in a zone with many iterations (CVE-2023-50868).
func TestHashTrap(t *testing.T) {
	w := newWorld()
	v := w.validator()
	v.Limits.Hashes = 40
	res := v.Validate(context.Background(), strings.Repeat("a.", 110)+"salted.test.", dns.TypeAAAA, now)
	if res.Verdict != Bogus || res.Reason != TooMuchWork || res.Hashes != 40 {
		t.Errorf("%v, %d hashes; want bogus: %s, 40", res, res.Hashes, TooMuchWork)
	}
	if res := w.validate(t, strings.Repeat("a.", 110)+"salted.test.", dns.TypeAAAA); res.Verdict != Secure || res.Hashes > DefaultLimits.Hashes {
		t.Errorf("with the default limits: %v, %d hashes", res, res.Hashes)
	}
}

// TestQueriesAreBounded: an answer cannot make the validator ask for ever.
func TestQueriesAreBounded(t *testing.T) {
	w := newWorld()
	res := w.validate(t, strings.Repeat("a.", 110)+"unsigned.test.", dns.TypeAAAA)
	if res.Verdict != Insecure || res.Queries > 8 {
		t.Errorf("a long name in an unsigned zone: %v, %d queries", res, res.Queries)
	}
	n := 0
	endless := ExchangeFunc(func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
		if qtype != dns.TypeAAAA {
			return w.Exchange(ctx, name, qtype)
		}
		n++
		m := new(dns.Msg)
		m.SetQuestion(name, qtype)
		m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: fmt.Sprintf("n%d.unsigned.test.", n)}}
		return m, nil
	})
	v := &Validator{Exchanger: endless, Anchors: w.root.DS()}
	res = v.Validate(context.Background(), "n0.unsigned.test.", dns.TypeAAAA, now)
	if res.Verdict != Indeterminate || res.Reason != ChainTooLong {
		t.Errorf("an endless chain of aliases: %v", res)
	}
	v = w.validator()
	v.Limits.Queries = 3
	if res = v.Validate(context.Background(), "www.nsec.test.", dns.TypeAAAA, now); res.Verdict != Indeterminate || res.Reason != TooManyQueries || res.Queries != 3 {
		t.Errorf("with three queries: %v, %d queries", res, res.Queries)
	}
}

// TestTTL: an answer is kept no longer than its signature, RFC 4035 section 5.3.3.
func TestTTL(t *testing.T) {
	w := newWorld()
	v := w.validator()
	for _, test := range []struct {
		at   time.Time
		want time.Duration
	}{
		{now, 300 * time.Second},
		{now.Add(month - 100*time.Second), 100 * time.Second},
	} {
		if res := v.Validate(context.Background(), "www.nsec.test.", dns.TypeAAAA, test.at); res.Verdict != Secure || res.TTL != test.want {
			t.Errorf("at %v: %v, TTL %v, want %v", test.at, res, res.TTL, test.want)
		}
	}
	w.Tamper = change("www.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) { m.Answer[0].Header().Ttl = 7 })
	if res := w.validate(t, "www.nsec.test.", dns.TypeAAAA); res.TTL != 7*time.Second {
		t.Errorf("a resolver that has it for 7 s: TTL %v", res.TTL)
	}
	w.Tamper = change("www.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) { m.Answer[0].Header().Ttl = 1 << 30 })
	if res := w.validate(t, "www.nsec.test.", dns.TypeAAAA); res.TTL != 300*time.Second {
		t.Errorf("a resolver that raises the TTL: TTL %v", res.TTL)
	}
}

func TestSerialTime(t *testing.T) {
	for _, test := range []struct {
		a, b uint32
		want time.Duration
	}{
		{10, 3, 7 * time.Second}, {3, 10, -7 * time.Second},
		{5, 0xfffffffb, 10 * time.Second}, // over the end of 32 bits, in 2106
		{0xfffffffb, 5, -10 * time.Second},
	} {
		if got := since1982(test.a, test.b); got != test.want {
			t.Errorf("from %d to %d: %v, want %v", test.b, test.a, got, test.want)
		}
	}
}
