package dnssec

import (
	"time"

	"github.com/miekg/dns"
)

// zone is a zone whose keys are known to be its own.
type zone struct {
	name string
	keys []key
}

type key struct {
	*dns.DNSKEY
	tag uint16
}

// keysOf returns the keys of a set that may sign a zone: with the zone flag and
// protocol 3 (RFC 4034 section 2.1), not revoked (RFC 5011 section 2.1).
func keysOf(s *set) []key {
	var out []key
	for _, rr := range s.rrs {
		if k, ok := rr.(*dns.DNSKEY); ok && k.Flags&dns.ZONE != 0 && k.Flags&dns.REVOKE == 0 && k.Protocol == 3 {
			out = append(out, key{k, k.KeyTag()})
		}
	}
	return out
}

// knownAlgorithm tells whether signatures of this algorithm can be checked.
func knownAlgorithm(a uint8) bool {
	switch a {
	case dns.RSASHA256, dns.RSASHA512, dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519:
		return true
	}
	return false
}

// knownDigest tells whether this digest of a DS can be checked.
func knownDigest(d uint8) bool { return d == dns.SHA1 || d == dns.SHA256 || d == dns.SHA384 }

// since1982 is the signed distance from the serial number b to a, RFC 1982: the
// times of signatures wrap around in 2106.
func since1982(a, b uint32) time.Duration { return time.Duration(int32(a-b)) * time.Second }

// seconds is a time as signatures have it, RFC 4034 section 3.1.5.
func seconds(t time.Time) uint32 { return uint32(t.Unix()) }

// proof is a set whose signature was found good.
type proof struct {
	labels int // of its signature; fewer than the name has: from a wildcard
	ttl    time.Duration
}

// verify checks that s is signed by a key of z, as RFC 4035 section 5.3 says. Each
// signature is tried with each key of its tag and algorithm, as far as Limits allow.
func (r *run) verify(s *set, z *zone) (proof, *fault) {
	if len(s.sigs) == 0 {
		return proof{}, bogus(Unsigned, s.name, s.qtype, "the zone %s is signed, but there is no signature over %s %s", z.name, dns.Type(s.qtype), s.name)
	}
	tried := 0
	var worst *fault
	note := func(f *fault) {
		if worst == nil || rank[f.reason] > rank[worst.reason] {
			worst = f
		}
	}
	for _, sig := range s.sigs {
		if f := r.fits(sig, s, z); f != nil {
			note(f)
			continue
		}
		found := false
		for _, k := range z.keys {
			if k.tag != sig.KeyTag || k.Algorithm != sig.Algorithm {
				continue
			}
			found = true
			if tried >= r.limits.PerSet || r.signatures >= r.limits.Signatures {
				return proof{}, bogus(TooMuchWork, s.name, s.qtype, "more signatures and keys over %s %s than are tried (%d, and %d in all)",
					dns.Type(s.qtype), s.name, tried, r.signatures)
			}
			tried++
			r.signatures++
			if err := sig.Verify(k.DNSKEY, s.rrs); err != nil {
				note(bogus(BadSignature, s.name, s.qtype, "the signature by key %d of %s over %s %s is wrong: %v", sig.KeyTag, z.name, dns.Type(s.qtype), s.name, err))
				continue
			}
			return proof{int(sig.Labels), r.ttl(s, sig)}, nil
		}
		if !found {
			note(bogus(NoKey, s.name, s.qtype, "%s %s is signed by key %d of %s, which the zone does not have", dns.Type(s.qtype), s.name, sig.KeyTag, z.name))
		}
	}
	return proof{}, worst
}

// rank orders faults of several signatures: the one that got furthest is told.
var rank = map[Reason]int{WrongSigner: 1, UnsupportedAlgorithm: 2, NoKey: 3, NotYetValid: 4, Expired: 5, BadSignature: 6}

// fits checks all of a signature that needs no cryptography, RFC 4035 section 5.3.1.
func (r *run) fits(sig *dns.RRSIG, s *set, z *zone) *fault {
	now, what := seconds(r.now), dns.Type(s.qtype).String()+" "+s.name
	switch {
	case dns.CanonicalName(sig.SignerName) != z.name || !dns.IsSubDomain(z.name, s.name):
		return bogus(WrongSigner, s.name, s.qtype, "%s is signed by %s, which is not its zone %s", what, sig.SignerName, z.name)
	case int(sig.Labels) > signedLabels(s.name) || int(sig.Labels) < dns.CountLabel(z.name):
		return bogus(BadSignature, s.name, s.qtype, "the signature over %s is for a name of %d labels", what, sig.Labels)
	case !knownAlgorithm(sig.Algorithm):
		return bogus(UnsupportedAlgorithm, s.name, s.qtype, "%s is signed with algorithm %d, which the DS of %s does not promise", what, sig.Algorithm, z.name)
	case since1982(now, sig.Inception) < 0:
		return bogus(NotYetValid, s.name, s.qtype, "the signature over %s is valid in %v only; is this clock right?", what, since1982(sig.Inception, now))
	case since1982(sig.Expiration, now) < 0:
		return bogus(Expired, s.name, s.qtype, "the signature over %s expired %v ago; is this clock right?", what, since1982(now, sig.Expiration))
	}
	return nil
}

// ttl is how long a set may be kept, RFC 4035 section 5.3.3.
func (r *run) ttl(s *set, sig *dns.RRSIG) time.Duration {
	least := min(time.Duration(sig.OrigTtl)*time.Second, since1982(sig.Expiration, seconds(r.now)))
	for _, rr := range s.rrs {
		least = min(least, time.Duration(rr.Header().Ttl)*time.Second)
	}
	return least
}

// trust returns those keys of a set that one of the DS records vouches for. Of
// several digest types only the best counts, RFC 4509 section 3. usable is false
// when no DS has an algorithm and digest that are known here.
func (r *run) trust(name string, keys []key, records []*dns.DS) (good []key, usable bool, _ *fault) {
	best := uint8(0)
	for _, d := range records {
		if knownAlgorithm(d.Algorithm) && knownDigest(d.DigestType) {
			best = max(best, d.DigestType)
		}
	}
	if best == 0 {
		return nil, false, nil
	}
	for _, d := range records {
		if d.DigestType != best || !knownAlgorithm(d.Algorithm) {
			continue
		}
		for _, k := range keys {
			if k.tag != d.KeyTag || k.Algorithm != d.Algorithm {
				continue
			}
			if f := r.digest(name, dns.TypeDNSKEY); f != nil {
				return nil, true, f
			}
			if made := k.ToDS(best); made != nil && equalHex(made.Digest, d.Digest) {
				good = append(good, k)
			}
		}
	}
	return good, true, nil
}
