package dnssec

import (
	"context"
	"encoding/base64"
	"net"
	"slices"
	"testing"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/test/signedzone"
)

// change edits the answers to one question.
func change(name string, qtype uint16, edit func(*dns.Msg)) func(dns.Question, *dns.Msg) error {
	return func(q dns.Question, m *dns.Msg) error {
		if q.Name == name && q.Qtype == qtype {
			edit(m)
		}
		return nil
	}
}

// drop returns a section without the records of some types.
func drop(section []dns.RR, types ...uint16) []dns.RR {
	return slices.DeleteFunc(slices.Clone(section), func(rr dns.RR) bool { return slices.Contains(types, rr.Header().Rrtype) })
}

func signatures(m *dns.Msg) []*dns.RRSIG {
	var out []*dns.RRSIG
	for _, rr := range append(slices.Clone(m.Answer), m.Ns...) {
		if sig, ok := rr.(*dns.RRSIG); ok {
			out = append(out, sig)
		}
	}
	return out
}

// TestForgeries changes honest answers on their way.
func TestForgeries(t *testing.T) {
	w := newWorld()
	ask := func(name string, qtype uint16) *dns.Msg {
		m, err := (&signedzone.Server{Zones: w.Zones}).Exchange(context.Background(), name, qtype)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	const www, wild = "www.nsec.test.", "x.wild.nsec.test."
	thief := signedzone.NewKey("nsec.test.", dns.ED25519)
	tests := []struct {
		name   string
		ask    string
		qtype  uint16
		tamper func(dns.Question, *dns.Msg) error
		want   Reason
	}{
		{"another address", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) { m.Answer[0].(*dns.AAAA).AAAA[15]++ }), BadSignature},
		{"one address more", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: *m.Answer[0].Header(), AAAA: net.ParseIP("2001:db8::bad")})
		}), BadSignature},
		{"one address less", "nat64.nsec.test.", dns.TypeAAAA, change("nat64.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) { m.Answer = m.Answer[1:] }), BadSignature},
		{"signature stripped", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) { m.Answer = drop(m.Answer, dns.TypeRRSIG) }), Unsigned},
		{"all signatures stripped", www, dns.TypeAAAA, func(_ dns.Question, m *dns.Msg) error {
			m.Answer, m.Ns = drop(m.Answer, dns.TypeRRSIG), drop(m.Ns, dns.TypeRRSIG)
			return nil
		}, Unsigned},
		{"signature damaged", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) {
			b, _ := base64.StdEncoding.DecodeString(signatures(m)[0].Signature)
			b[7] ^= 1
			signatures(m)[0].Signature = base64.StdEncoding.EncodeToString(b)
		}), BadSignature},
		{"signed by another key", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) {
			set := drop(m.Answer, dns.TypeRRSIG)
			m.Answer = append(set, w.zone["nsec.test."].Signature(thief, set))
		}), NoKey},
		{"signed by another key with the tag of the right one", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) {
			set := drop(m.Answer, dns.TypeRRSIG)
			sig := w.zone["nsec.test."].Signature(thief, set)
			sig.KeyTag = w.zone["nsec.test."].Keys[0].KeyTag()
			m.Answer = append(set, sig)
		}), BadSignature},
		{"signer is no zone", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) { signatures(m)[0].SignerName = www }), WrongSigner},
		{"signer is a zone beside", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) { signatures(m)[0].SignerName = "nsec3.test." }), Unsigned},
		{"signer is the zone above", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) { signatures(m)[0].SignerName = "test." }), NoKey},
		{"time of the signature extended", "www.old.test.", dns.TypeAAAA, func(_ dns.Question, m *dns.Msg) error {
			for _, sig := range signatures(m) {
				sig.Expiration = uint32(now.Add(month).Unix())
			}
			return nil
		}, BadSignature},
		{"keys of somebody else", www, dns.TypeAAAA, change("nsec.test.", dns.TypeDNSKEY, func(m *dns.Msg) {
			set := []dns.RR{thief.DNSKEY}
			m.Answer = append(set, w.zone["nsec.test."].Signature(thief, set))
		}), BadDS},
		{"a key of somebody else added", www, dns.TypeAAAA, change("nsec.test.", dns.TypeDNSKEY, func(m *dns.Msg) {
			set := append(drop(m.Answer, dns.TypeRRSIG), thief.DNSKEY)
			m.Answer = append(set, w.zone["nsec.test."].Signature(thief, set))
		}), NoKey},
		{"no keys", www, dns.TypeAAAA, change("nsec.test.", dns.TypeDNSKEY, func(m *dns.Msg) { m.Answer = nil }), NoDNSKEY},
		{"DS of somebody else", www, dns.TypeAAAA, change("nsec.test.", dns.TypeDS, func(m *dns.Msg) {
			m.Answer[0].(*dns.DS).Digest = thief.ToDS(dns.SHA256).Digest
		}), BadSignature},
		{"DS taken away", www, dns.TypeAAAA, change("nsec.test.", dns.TypeDS, func(m *dns.Msg) { m.Answer = nil }), NoDenial},
		{"DS taken away, with the denial of another name's", www, dns.TypeAAAA, change("nsec.test.", dns.TypeDS, func(m *dns.Msg) {
			m.Answer, m.Ns = nil, ask("unsigned.test.", dns.TypeDS).Ns
		}), NoDenial},
		{"DS taken away, with the denial of the zone itself", "www.child.parent.test.", dns.TypeAAAA, change("child.parent.test.", dns.TypeDS, func(m *dns.Msg) {
			m.Answer, m.Ns = nil, ask("child.parent.test.", dns.TypeTXT).Ns
		}), WrongSigner},
		{"name denied without proof", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) { m.Answer, m.Rcode = nil, dns.RcodeNameError }), NoDenial},
		{"name denied with the proof of another", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer, m.Ns, m.Rcode = nil, ask("missing.nsec.test.", dns.TypeAAAA).Ns, dns.RcodeNameError
		}), NoDenial},
		{"name denied with the proof of another, NSEC3", "www.nsec3.test.", dns.TypeAAAA, change("www.nsec3.test.", dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer, m.Ns, m.Rcode = nil, ask("missing.nsec3.test.", dns.TypeAAAA).Ns, dns.RcodeNameError
		}), NoDenial},
		{"type denied with the record that has it", www, dns.TypeAAAA, change(www, dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer, m.Ns = nil, ask(www, dns.TypeTXT).Ns
		}), NoDenial},
		{"type denied with the record that has it, NSEC3", "www.nsec3.test.", dns.TypeAAAA, change("www.nsec3.test.", dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer, m.Ns = nil, ask("www.nsec3.test.", dns.TypeTXT).Ns
		}), NoDenial},
		{"alias denied with its own record", "alias.nsec.test.", dns.TypeAAAA, change("alias.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer, m.Ns = nil, append(ask("nsec.test.", dns.TypeTXT).Ns[:2:2], w.zone["nsec.test."].Records()...)
			m.Ns = slices.DeleteFunc(m.Ns, func(rr dns.RR) bool { return rr.Header().Name != "alias.nsec.test." })
		}), NoDenial},
		{"child's name denied by the delegation", "www.child.parent.test.", dns.TypeAAAA, change("www.child.parent.test.", dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer, m.Ns, m.Rcode = nil, ask("child.parent.test.", dns.TypeDS).Ns, dns.RcodeNameError
			for _, rr := range w.zone["parent.test."].Records() {
				if rr.Header().Name == "child.parent.test." {
					m.Ns = append(m.Ns, rr)
				}
			}
		}), NoDenial},
		{"child's type denied by the delegation", "child.parent.test.", dns.TypeAAAA, change("child.parent.test.", dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer, m.Ns = nil, slices.DeleteFunc(slices.Clone(w.zone["parent.test."].Records()), func(rr dns.RR) bool {
				return rr.Header().Name != "child.parent.test."
			})
		}), NoDenial},
		{"wildcard hidden", wild, dns.TypeTXT, change(wild, dns.TypeTXT, func(m *dns.Msg) { m.Answer, m.Rcode = nil, dns.RcodeNameError }), NoDenial},
		{"wildcard hidden, NSEC3", "x.wild.nsec3.test.", dns.TypeTXT, change("x.wild.nsec3.test.", dns.TypeTXT, func(m *dns.Msg) {
			m.Answer, m.Rcode = nil, dns.RcodeNameError
		}), NoDenial},
		{"denial damaged", "missing.nsec.test.", dns.TypeAAAA, change("missing.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) {
			for _, rr := range m.Ns {
				if n, ok := rr.(*dns.NSEC); ok {
					n.NextDomain = "zzz.nsec.test."
				}
			}
		}), BadSignature},
		{"SOA of the denial damaged", "missing.nsec.test.", dns.TypeAAAA, change("missing.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) {
			m.Ns[0].(*dns.SOA).Minttl++
		}), BadSignature},
		{"iterations of NSEC3 raised", "missing.nsec3.test.", dns.TypeAAAA, change("missing.nsec3.test.", dns.TypeAAAA, func(m *dns.Msg) {
			for _, rr := range m.Ns {
				if n, ok := rr.(*dns.NSEC3); ok {
					n.Iterations = 500
				}
			}
		}), BadSignature},
		{"wildcard without proof", wild, dns.TypeTXT, change(wild, dns.TypeTXT, func(m *dns.Msg) { m.Ns = nil }), NoWildcardProof},
		{"wildcard without proof, NSEC3", "x.wild.nsec3.test.", dns.TypeTXT, change("x.wild.nsec3.test.", dns.TypeTXT, func(m *dns.Msg) { m.Ns = nil }), NoWildcardProof},
		{"wildcard over a name that exists", "real.wild.nsec.test.", dns.TypeTXT, func(q dns.Question, m *dns.Msg) error {
			if q.Name == "real.wild.nsec.test." && q.Qtype == dns.TypeTXT {
				other := ask(wild, dns.TypeTXT)
				for _, rr := range other.Answer {
					rr.Header().Name = q.Name
				}
				m.Answer, m.Ns = other.Answer, other.Ns
			}
			return nil
		}, NoWildcardProof},
		{"alias to elsewhere", "alias.nsec.test.", dns.TypeAAAA, change("alias.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) {
			m.Answer[0].(*dns.CNAME).Target = "www.rsa.test."
		}), BadSignature},
		{"alias that does not follow from its DNAME", "www.tree.nsec.test.", dns.TypeAAAA, change("www.tree.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) {
			for _, rr := range m.Answer {
				if c, ok := rr.(*dns.CNAME); ok {
					c.Target = "www.p384.test."
				}
			}
		}), BadAlias},
		{"alias with two targets", "alias.nsec.test.", dns.TypeAAAA, change("alias.nsec.test.", dns.TypeAAAA, func(m *dns.Msg) {
			c := dns.Copy(m.Answer[0]).(*dns.CNAME)
			c.Target = "www.rsa.test."
			m.Answer = append(m.Answer, c)
		}), BadAlias},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.Tamper = test.tamper
			if res := w.validate(t, test.ask, test.qtype); res.Verdict != Bogus || res.Reason != test.want || res.Answer != nil || res.TTL != 0 {
				t.Errorf("%v, answer %v; want bogus: %s and nothing else", res, res.Answer, test.want)
			}
		})
	}
}
