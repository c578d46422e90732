package dnssec

import (
	"context"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// rootDNSKEYs are the key signing keys of the root zone as Debian's package
// dns-root-data has them.
const rootDNSKEYs = `
. IN DNSKEY 257 3 8 AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU= ; keytag 20326
. IN DNSKEY 257 3 8 AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc= ; keytag 38696
`

func TestRootAnchorsAreTheDigestsOfTheRootKeys(t *testing.T) {
	keys, err := ParseAnchors(rootDNSKEYs)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, rr := range keys {
		ds := rr.(*dns.DNSKEY).ToDS(dns.SHA256)
		want = append(want, dns.CanonicalName(ds.Hdr.Name)+" "+strings.ToLower(ds.Digest))
	}
	for _, rr := range RootAnchors() {
		got = append(got, rr.Header().Name+" "+strings.ToLower(rr.(*dns.DS).Digest))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("anchors:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAnchors(t *testing.T) {
	w := newWorld()
	for name, test := range map[string]struct {
		anchors Anchors
		ask     string
		verdict Verdict
		reason  Reason
	}{
		"DS of the root":          {w.root.DS(), "www.nsec.test.", Secure, Validated},
		"key of the root":         {Anchors{w.root.Keys[0].DNSKEY}, "www.nsec.test.", Secure, Validated},
		"of a zone further down":  {w.zone["nsec.test."].DS(), "www.nsec.test.", Secure, Validated},
		"the longest name counts": {append(w.zone["wrongds.test."].DS(), w.root.DS()...), "www.wrongds.test.", Secure, Validated},
		"not above the name":      {w.zone["nsec.test."].DS(), "www.rsa.test.", Indeterminate, NoAnchor},
		"of the zone itself":      {w.zone["nsec.test."].DS(), "nsec.test.", Secure, Validated},
		"built in":                {nil, "www.nsec.test.", Bogus, BadDS},
	} {
		t.Run(name, func(t *testing.T) {
			v := &Validator{Exchanger: w, Anchors: test.anchors}
			qtype := dns.TypeAAAA
			if test.ask == "nsec.test." {
				qtype = dns.TypeSOA
			}
			if res := v.Validate(context.Background(), test.ask, qtype, now); res.Verdict != test.verdict || res.Reason != test.reason {
				t.Errorf("%v, want %s: %s", res, test.verdict, test.reason)
			}
		})
	}
	unknown, err := ParseAnchors("test. DS 1 16 2 " + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	v := &Validator{Exchanger: w, Anchors: unknown}
	if res := v.Validate(context.Background(), "www.nsec.test.", dns.TypeAAAA, now); res.Verdict != Indeterminate || res.Reason != NoAnchor {
		t.Errorf("an anchor of unknown algorithm: %v", res)
	}
}

func TestBadAnchors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "there is none",
		"; nothing but a comment":          "there is none",
		". IN A 192.0.2.1":                 "want DS or DNSKEY",
		". CH DS 1 8 2 " + "abcd":          "want IN",
		". IN DS one 8 2 abcd":             "line: 1",
		". IN DNSKEY 0 3 15 AAAA":          "no zone key",
		". IN DNSKEY 385 3 15 AAAA":        "is revoked",
		"$INCLUDE /etc/passwd":             "INCLUDE",
		"$GENERATE 1-9999999 a$ A 1.2.3.4": "read trust anchors",
	} {
		if a, err := ParseAnchors(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, a, err, want)
		}
	}
}
