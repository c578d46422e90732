package dnssec

import (
	"context"
	"testing"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/test/signedzone"
)

// TestAbsent: what a bitmap of types denies depends on the side of the zone cut that
// it comes from (RFC 6840 section 4.1, RFC 4035 section 5.4).
func TestAbsent(t *testing.T) {
	const ns, soa, ds, cname = dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeCNAME
	for _, test := range []struct {
		what  string
		types []uint16
		name  string
		qtype uint16
		want  bool
		cut   bool
	}{
		{"a host", []uint16{dns.TypeA}, "a.test.", dns.TypeAAAA, true, false},
		{"an empty name", nil, "a.test.", dns.TypeAAAA, true, false},
		{"a host that has it", []uint16{dns.TypeAAAA}, "a.test.", dns.TypeAAAA, false, false},
		{"an alias", []uint16{cname}, "a.test.", dns.TypeAAAA, false, false},
		{"an apex", []uint16{ns, soa}, "a.test.", dns.TypeAAAA, true, false},
		{"a delegation, of what is the child's", []uint16{ns, ds}, "a.test.", dns.TypeAAAA, false, false},
		{"an unsigned delegation, of DS", []uint16{ns}, "a.test.", ds, true, true},
		{"a host, of DS", []uint16{dns.TypeA}, "a.test.", ds, true, false},
		{"the child's apex, of DS", []uint16{ns, soa}, "a.test.", ds, false, false},
		{"the root, of DS", []uint16{ns, soa}, ".", ds, true, true},
	} {
		if d, ok := absent(test.types, test.name, test.qtype); ok != test.want || ok && d.delegation != test.cut {
			t.Errorf("%s: %v, delegation %v; want %v, %v", test.what, ok, d.delegation, test.want, test.cut)
		}
	}
}

func TestCovers(t *testing.T) {
	nsec := func(owner, next string, types ...uint16) *dns.NSEC {
		return &dns.NSEC{Hdr: dns.RR_Header{Name: owner}, NextDomain: next, TypeBitMap: types}
	}
	for _, test := range []struct {
		what string
		n    *dns.NSEC
		name string
		want bool
	}{
		{"between", nsec("b.test.", "d.test."), "c.test.", true},
		{"case does not matter", nsec("B.test.", "D.TEST."), "c.test.", true},
		{"before", nsec("b.test.", "d.test."), "a.test.", false},
		{"after", nsec("b.test.", "d.test."), "e.test.", false},
		{"the owner", nsec("b.test.", "d.test."), "b.test.", false},
		{"the next name", nsec("b.test.", "d.test."), "d.test.", false},
		{"below the owner", nsec("b.test.", "d.test."), "x.b.test.", true},
		{"below a delegation", nsec("b.test.", "d.test.", dns.TypeNS), "x.b.test.", false},
		{"below an apex", nsec("test.", "d.test.", dns.TypeNS, dns.TypeSOA), "b.test.", true},
		{"below a DNAME", nsec("b.test.", "d.test.", dns.TypeDNAME), "x.b.test.", false},
		{"the last record", nsec("y.test.", "test."), "z.test.", true},
		{"the last record, before it", nsec("y.test.", "test."), "x.test.", false},
		{"the only record", nsec("test.", "test."), "x.test.", true},
		{"by bytes, not by letters", nsec("a.test.", `\200.test.`), "zz.test.", true}, // RFC 4034 section 6.1
		{"an asterisk comes first", nsec("test.", "a.test."), "*.test.", true},
	} {
		if got := covers(test.n, test.name); got != test.want {
			t.Errorf("%s: %v, want %v", test.what, got, test.want)
		}
	}
}

// TestFits: what of a signature is wrong before any cryptography.
func TestFits(t *testing.T) {
	r := &run{now: now}
	good := dns.RRSIG{SignerName: "Test.", Labels: 2, Algorithm: dns.ED25519, Inception: seconds(now) - 1, Expiration: seconds(now) + 1}
	for _, test := range []struct {
		what string
		name string
		edit func(*dns.RRSIG)
		want Reason
	}{
		{"good", "a.test.", func(*dns.RRSIG) {}, ""},
		{"valid from this second", "a.test.", func(s *dns.RRSIG) { s.Inception = seconds(now) }, ""},
		{"valid to this second", "a.test.", func(s *dns.RRSIG) { s.Expiration = seconds(now) }, ""},
		{"from a wildcard", "x.y.test.", func(s *dns.RRSIG) { s.Labels = 1 }, ""},
		{"expired", "a.test.", func(s *dns.RRSIG) { s.Expiration = seconds(now) - 1 }, Expired},
		{"not yet valid", "a.test.", func(s *dns.RRSIG) { s.Inception = seconds(now) + 1 }, NotYetValid},
		{"by another zone", "a.test.", func(s *dns.RRSIG) { s.SignerName = "example." }, WrongSigner},
		{"name outside the zone", "a.example.", func(*dns.RRSIG) {}, WrongSigner},
		{"name outside the zone that ends alike", "a.attest.", func(*dns.RRSIG) {}, WrongSigner},
		{"for a longer name", "a.test.", func(s *dns.RRSIG) { s.Labels = 3 }, BadSignature},
		{"for a wildcard above the zone", "a.test.", func(s *dns.RRSIG) { s.Labels = 0 }, BadSignature},
		{"by an algorithm not known", "a.test.", func(s *dns.RRSIG) { s.Algorithm = dns.ED448 }, UnsupportedAlgorithm},
	} {
		sig := good
		test.edit(&sig)
		got := Reason("")
		if f := r.fits(&sig, &set{name: test.name, qtype: dns.TypeA}, &zone{name: "test."}); f != nil {
			got = f.reason
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}

// TestRevokedKey: a key that says of itself that it is revoked signs nothing any
// more, RFC 5011 section 2.1.
func TestRevokedKey(t *testing.T) {
	z := newZone("test.", hosts, dns.ED25519)
	k := signedzone.NewKey("test.", dns.ED25519)
	k.Flags |= dns.REVOKE
	z.Keys = []signedzone.Key{k}
	z.Sign()
	v := &Validator{Exchanger: &signedzone.Server{Zones: []*signedzone.Zone{z}}, Anchors: z.DS()}
	if res := v.Validate(context.Background(), "www.test.", dns.TypeAAAA, now); res.Verdict != Bogus || res.Reason != BadDS {
		t.Errorf("%v, want bogus: %s", res, BadDS)
	}
}

// TestDelegationDeniesNothingBelow is the same for NSEC3, RFC 5155 section 8.3: the
// closest encloser may not be a delegation.
func TestDelegationDeniesNothingBelow(t *testing.T) {
	child := newZone("child.test.", hosts, dns.ED25519).Sign()
	top := newZone("test.", "child NS ns.invalid.\ntree DNAME child\nwww A 192.0.2.1\n", dns.ED25519, nsec3(0, "", false)).Sign(child)
	s := &signedzone.Server{Zones: []*signedzone.Zone{top, child}}
	for _, name := range []string{"www.child.test.", "www.tree.test."} {
		s.Tamper = change(name, dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer, m.Ns, m.Rcode = nil, nil, dns.RcodeNameError
			for _, rr := range top.Records() { // the zone is small: all that it proves
				sig, ok := rr.(*dns.RRSIG)
				if rr.Header().Rrtype == dns.TypeNSEC3 || ok && sig.TypeCovered == dns.TypeNSEC3 {
					m.Ns = append(m.Ns, rr)
				}
			}
		})
		v := &Validator{Exchanger: s, Anchors: top.DS()}
		if res := v.Validate(context.Background(), name, dns.TypeAAAA, now); res.Verdict != Bogus || res.Reason != NoDenial {
			t.Errorf("%s: %v, want bogus: %s", name, res, NoDenial)
		}
	}
}

// TestWildcardOverAnEmptyName: a name with nothing but names below it exists, so that
// no wildcard applies to it (RFC 4592 section 2.2.2).
func TestWildcardOverAnEmptyName(t *testing.T) {
	for what, edit := range map[string]func(*signedzone.Zone){"NSEC": func(*signedzone.Zone) {}, "NSEC3": nsec3(0, "", false)} {
		z := newZone("test.", "* TXT \"from a wildcard\"\ndeep.empty TXT x\n", dns.ED25519, edit).Sign()
		honest := &signedzone.Server{Zones: []*signedzone.Zone{z}}
		s := &signedzone.Server{Zones: honest.Zones, Tamper: change("empty.test.", dns.TypeTXT, func(m *dns.Msg) {
			other, err := honest.Exchange(context.Background(), "other.test.", dns.TypeTXT)
			if err != nil {
				t.Fatal(err)
			}
			for _, rr := range other.Answer {
				rr.Header().Name = "empty.test."
			}
			m.Answer, m.Ns = other.Answer, append(m.Ns, other.Ns...)
		})}
		v := &Validator{Exchanger: s, Anchors: z.DS()}
		if res := v.Validate(context.Background(), "other.test.", dns.TypeTXT, now); res.Verdict != Secure || len(res.Answer) != 1 {
			t.Errorf("%s: %v, %v", what, res, res.Answer)
		}
		if res := v.Validate(context.Background(), "empty.test.", dns.TypeTXT, now); res.Verdict != Bogus || res.Reason != NoWildcardProof {
			t.Errorf("%s: %v, want bogus: %s", what, res, NoWildcardProof)
		}
	}
}

// TestBestDigestCounts: a good SHA-1 digest does not help beside a wrong SHA-256 one,
// RFC 4509 section 3.
func TestBestDigestCounts(t *testing.T) {
	z := newZone("test.", hosts, dns.ED25519).Sign()
	sha1, sha256 := z.Keys[0].ToDS(dns.SHA1), z.Keys[0].ToDS(dns.SHA256)
	wrong := dns.Copy(sha256).(*dns.DS)
	wrong.Digest = z.Keys[0].ToDS(dns.SHA384).Digest[:64]
	for _, test := range []struct {
		what    string
		anchors Anchors
		want    Verdict
	}{
		{"SHA-1 alone", Anchors{sha1}, Secure},
		{"both", Anchors{sha1, sha256}, Secure},
		{"SHA-256 wrong", Anchors{sha1, wrong}, Bogus},
		{"one of two SHA-256", Anchors{wrong, sha256}, Secure},
	} {
		v := &Validator{Exchanger: &signedzone.Server{Zones: []*signedzone.Zone{z}}, Anchors: test.anchors}
		if res := v.Validate(context.Background(), "www.test.", dns.TypeAAAA, now); res.Verdict != test.want {
			t.Errorf("%s: %v, want %s", test.what, res, test.want)
		}
	}
}
