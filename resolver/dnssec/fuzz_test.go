package dnssec

import (
	"context"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/test/signedzone"
)

// fuzzWorld is signed once with keys that change from run to run.
var fuzzWorld = sync.OnceValue(newWorld)

var fuzzQuestions = []dns.Question{
	{Name: "www.nsec.test.", Qtype: dns.TypeAAAA}, {Name: "www.nsec3.test.", Qtype: dns.TypeAAAA}, {Name: "missing.nsec.test.", Qtype: dns.TypeAAAA},
	{Name: "missing.salted.test.", Qtype: dns.TypeAAAA}, {Name: "x.wild.nsec3.test.", Qtype: dns.TypeTXT}, {Name: "alias.nsec.test.", Qtype: dns.TypeAAAA},
	{Name: "www.tree.nsec.test.", Qtype: dns.TypeAAAA}, {Name: "www.optout.test.", Qtype: dns.TypeTXT}, {Name: "www.rsa.test.", Qtype: dns.TypeAAAA},
	{Name: "www.child.parent.test.", Qtype: dns.TypeAAAA}, {Name: "www.bare.parent.test.", Qtype: dns.TypeAAAA},
}

// FuzzValidate damages one answer of an honest resolver. Whatever it does, no other
// records than the true ones may come out as secure, and a name that exists may not
// be denied.
func FuzzValidate(f *testing.F) {
	for i := range fuzzQuestions {
		f.Add(uint8(i), uint8(0), uint16(40), []byte{1})
		f.Add(uint8(i), uint8(1), uint16(3), []byte{3})
		f.Add(uint8(i), uint8(2), uint16(60), []byte{0xff, 0, 0xff})
	}
	f.Fuzz(func(t *testing.T, which, turn uint8, at uint16, damage []byte) {
		w, q := fuzzWorld(), fuzzQuestions[int(which)%len(fuzzQuestions)]
		honest := &signedzone.Server{Zones: w.Zones}
		truth := (&Validator{Exchanger: honest, Anchors: w.root.DS()}).Validate(context.Background(), q.Name, q.Qtype, now)
		n := uint8(0)
		port := ExchangeFunc(func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
			m, err := honest.Exchange(ctx, name, qtype)
			if n++; err != nil || n-1 != turn%8 {
				return m, err
			}
			b, err := m.Pack()
			if err != nil {
				return nil, err
			}
			for i, d := range damage {
				if k := int(at) + i; k < len(b) {
					b[k] ^= d
				}
			}
			out := new(dns.Msg)
			return out, out.Unpack(b)
		})
		got := (&Validator{Exchanger: port, Anchors: w.root.DS()}).Validate(context.Background(), q.Name, q.Qtype, now)
		if got.Queries > DefaultLimits.Queries || got.Signatures > DefaultLimits.Signatures || got.Hashes > DefaultLimits.Hashes {
			t.Errorf("%d queries, %d signatures, %d hashes", got.Queries, got.Signatures, got.Hashes)
		}
		if got.Verdict == Insecure && truth.Verdict == Secure {
			t.Errorf("%v, but the zone is signed: %s", got, got.Detail)
		}
		if got.Verdict != Secure {
			return
		}
		if got.Exists != truth.Exists || len(got.Answer) != len(truth.Answer) {
			t.Fatalf("secure: exists %v, %v; the truth is %v, %v", got.Exists, got.Answer, truth.Exists, truth.Answer)
		}
		for i, rr := range got.Answer {
			if !dns.IsDuplicate(rr, truth.Answer[i]) {
				t.Errorf("secure: %v; the truth is %v", rr, truth.Answer[i])
			}
		}
	})
}

// FuzzParseAnchors: no text makes it panic, and what it takes is DS or DNSKEY.
func FuzzParseAnchors(f *testing.F) {
	f.Add(rootKeys)
	f.Add(rootDNSKEYs)
	f.Add("example. 3600 IN DS ( 1 13 2\n abcd ) ; comment")
	f.Add("$ORIGIN example.\n@ DS 1 13 2 abcd")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAnchors(text)
		if err == nil && len(a) == 0 {
			t.Error("no anchor and no error")
		}
		for _, rr := range a {
			if h := rr.Header(); h.Rrtype != dns.TypeDS && h.Rrtype != dns.TypeDNSKEY {
				t.Errorf("an anchor of type %s", dns.Type(h.Rrtype))
			}
		}
	})
}
