package dnssec

import (
	"testing"

	"github.com/miekg/dns"
)

// TestVerdicts asks for names of honest zones.
func TestVerdicts(t *testing.T) {
	w := newWorld()
	type row struct {
		name    string
		qtype   uint16
		verdict Verdict
		reason  Reason
		records int
		exists  bool
	}
	rows := []row{
		{"www.unsigned.test.", dns.TypeAAAA, Insecure, NoDS, 1, true},
		{"missing.unsigned.test.", dns.TypeAAAA, Insecure, NoDS, 0, false},
		{"www.many.test.", dns.TypeAAAA, Secure, Validated, 1, true},
		{"www.many.test.", dns.TypeTXT, Insecure, TooManyIterations, 0, true},
		{"missing.many.test.", dns.TypeTXT, Insecure, TooManyIterations, 0, false},
		{"www.old.test.", dns.TypeAAAA, Bogus, Expired, 0, false},
		{"www.future.test.", dns.TypeAAAA, Bogus, NotYetValid, 0, false},
		{"www.child.parent.test.", dns.TypeAAAA, Secure, Validated, 1, true},
		{"www.bare.parent.test.", dns.TypeAAAA, Insecure, NoDS, 1, true},
		{"bare.parent.test.", dns.TypeDS, Secure, Validated, 0, true},
		{"child.parent.test.", dns.TypeDS, Secure, Validated, 1, true},
		{"child.parent.test.", dns.TypeDNSKEY, Secure, Validated, 1, true},
		{"www.bare.optout.test.", dns.TypeAAAA, Insecure, OptOut, 1, true},
		{"www.signed.optout.test.", dns.TypeAAAA, Secure, Validated, 1, true},
		{"missing.optout.test.", dns.TypeAAAA, Insecure, OptOut, 0, false},
		{"x.wild.optout.test.", dns.TypeTXT, Insecure, OptOut, 1, true},
		{"www.optout.test.", dns.TypeTXT, Secure, Validated, 0, true},
		{"www.ed448.test.", dns.TypeAAAA, Insecure, UnsupportedAlgorithm, 1, true},
		{"www.gost.test.", dns.TypeAAAA, Insecure, UnsupportedAlgorithm, 1, true},
		{"www.wrongds.test.", dns.TypeAAAA, Bogus, BadDS, 0, false},
		{".", dns.TypeNS, Secure, Validated, 1, true},
		{".", dns.TypeDS, Secure, Validated, 0, true},
		{".", dns.TypeDNSKEY, Secure, Validated, 1, true},
		{"missing.", dns.TypeA, Secure, Validated, 0, false},
		{"plain.test.", dns.TypeA, Secure, Validated, 1, true},
		{"x.plain.test.", dns.TypeA, Secure, Validated, 0, false},
		{"www.nsec.test.", dns.TypeANY, Indeterminate, BadQuestion, 0, false},
		{"", dns.TypeA, Indeterminate, BadQuestion, 0, false},
		{"a..b.", dns.TypeA, Indeterminate, BadQuestion, 0, false},
	}
	for _, z := range []string{"nsec.test.", "nsec3.test.", "salted.test.", "rsa.test.", "p384.test."} {
		rows = append(rows,
			row{"www." + z, dns.TypeAAAA, Secure, Validated, 1, true},
			row{"WwW." + z, dns.TypeAAAA, Secure, Validated, 1, true},
			row{"nat64." + z, dns.TypeAAAA, Secure, Validated, 2, true},
			row{"www." + z, dns.TypeTXT, Secure, Validated, 0, true},
			row{"missing." + z, dns.TypeAAAA, Secure, Validated, 0, false},
			row{"a.missing." + z, dns.TypeAAAA, Secure, Validated, 0, false},
			row{"zz." + z, dns.TypeAAAA, Secure, Validated, 0, false},
			row{"empty." + z, dns.TypeAAAA, Secure, Validated, 0, true},
			row{"b.c." + z, dns.TypeA, Secure, Validated, 0, true},
			row{"x.c." + z, dns.TypeA, Secure, Validated, 0, false},
			row{"alias." + z, dns.TypeAAAA, Secure, Validated, 1, true},
			row{"alias." + z, dns.TypeCNAME, Secure, Validated, 1, true},
			row{"alias." + z, dns.TypeTXT, Secure, Validated, 0, true},
			row{"out." + z, dns.TypeAAAA, Secure, Validated, 1, true},
			row{"open." + z, dns.TypeAAAA, Insecure, NoDS, 1, true},
			row{"none." + z, dns.TypeAAAA, Secure, Validated, 0, false},
			row{"ring1." + z, dns.TypeAAAA, Bogus, BadAlias, 0, false},
			row{"x.wild." + z, dns.TypeTXT, Secure, Validated, 1, true},
			row{"y.x.wild." + z, dns.TypeTXT, Secure, Validated, 1, true},
			row{"*.wild." + z, dns.TypeTXT, Secure, Validated, 1, true},
			row{"x.wild." + z, dns.TypeA, Secure, Validated, 0, true},
			row{"wild." + z, dns.TypeTXT, Secure, Validated, 0, true},
			row{"x.wide." + z, dns.TypeAAAA, Secure, Validated, 1, true},
			row{"www.tree." + z, dns.TypeAAAA, Secure, Validated, 1, true},
			row{"x.wild.tree." + z, dns.TypeTXT, Secure, Validated, 1, true},
			row{"missing.tree." + z, dns.TypeAAAA, Secure, Validated, 0, false},
			row{"tree." + z, dns.TypeDNAME, Secure, Validated, 1, true},
			row{"tree." + z, dns.TypeAAAA, Secure, Validated, 0, true},
			row{z, dns.TypeSOA, Secure, Validated, 1, true},
			row{z, dns.TypeDS, Secure, Validated, 1, true},
			row{"www." + z, dns.TypeDS, Secure, Validated, 0, true},
		)
	}
	for _, r := range rows {
		t.Run(dns.TypeToString[r.qtype]+" "+r.name, func(t *testing.T) {
			res := w.validate(t, r.name, r.qtype)
			if res.Verdict != r.verdict || res.Reason != r.reason || len(res.Answer) != r.records || res.Exists != r.exists {
				t.Errorf("%v, %d records, exists %v; want %s: %s, %d records, exists %v", res, len(res.Answer), res.Exists, r.verdict, r.reason, r.records, r.exists)
			}
		})
	}
}
