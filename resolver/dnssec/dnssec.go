// Package dnssec validates DNS answers with DNSSEC: it follows the chain of DS and
// DNSKEY records from a trust anchor to the zone that signed an answer, checks the
// signatures, and checks the NSEC and NSEC3 records that prove what does not exist.
//
// It follows RFC 4033 to 4035 with the clarifications of RFC 6840, RFC 5155 (NSEC3),
// RFC 9276 (iteration limit), and RFC 8624 for the choice of algorithms: 8 and 10
// (RSA), 13 and 14 (ECDSA), 15 (Ed25519). A zone signed only with others is taken as
// unsigned, RFC 4035 section 5.2.
//
// It is pure: it asks through a port, gets the time as an argument, caches nothing
// beyond one call, and starts nothing. It does not resolve: the port leads to a
// recursive resolver, which is asked with DO=1 and CD=1, and need not be
// trusted. It does not follow anchors that roll over (RFC 5011) and knows no
// negative trust anchors.
//
// What a hostile answer can cost is bounded by Limits (CVE-2023-50387, 'KeyTrap',
// and CVE-2023-50868).
package dnssec

import (
	"context"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// Exchanger asks a recursive resolver, with DO=1 and CD=1 (spec R7050-24), or in a way that
// means the same, and returns the answer, whatever its response code is. An answer
// that is truncated is to be fetched again by TCP.
type Exchanger interface {
	Exchange(ctx context.Context, name string, qtype uint16) (*dns.Msg, error)
}

// ExchangeFunc is a function as an Exchanger.
type ExchangeFunc func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error)

// Exchange calls f.
func (f ExchangeFunc) Exchange(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	return f(ctx, name, qtype)
}

// Verdict is the security status of an answer, RFC 4035 section 4.3.
type Verdict uint8

// The verdicts. The zero value claims nothing.
const (
	Indeterminate Verdict = iota // cannot be told: no anchor, or no answer
	Secure                       // signed, from an anchor down to the answer
	Insecure                     // proven to be unsigned
	Bogus                        // should be signed, and is not, or not rightly
)

var verdictNames = [...]string{"indeterminate", "secure", "insecure", "bogus"}

// String returns indeterminate, secure, insecure or bogus.
func (v Verdict) String() string {
	if int(v) >= len(verdictNames) {
		return fmt.Sprintf("verdict %d", uint8(v))
	}
	return verdictNames[v]
}

// MarshalText writes the word of String.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Reason is one word for why the verdict is what it is.
type Reason string

// The reasons.
const (
	Validated Reason = "validated" // secure

	NoDS                 Reason = "no-ds"                 // insecure: the parent proves that the zone is not signed
	OptOut               Reason = "opt-out"               // insecure: NSEC3 opt-out leaves it open, RFC 5155 section 6
	UnsupportedAlgorithm Reason = "unsupported-algorithm" // insecure: no DS with an algorithm and digest known here
	TooManyIterations    Reason = "nsec3-iterations"      // insecure: more NSEC3 iterations than Limits, RFC 9276 section 3.2

	Unsigned        Reason = "unsigned"          // bogus: no signature where there has to be one
	BadSignature    Reason = "bad-signature"     // bogus: does not fit the records
	Expired         Reason = "expired"           // bogus: the signature, or this clock is fast
	NotYetValid     Reason = "not-yet-valid"     // bogus: the signature, or this clock is slow
	NoKey           Reason = "no-key"            // bogus: the zone has no key for the signature
	NoDNSKEY        Reason = "no-dnskey"         // bogus: the zone has a DS but no keys
	BadDS           Reason = "bad-ds"            // bogus: no key of the zone fits its DS or anchor
	WrongSigner     Reason = "wrong-signer"      // bogus: signed by something that is not the zone
	NoDenial        Reason = "no-denial"         // bogus: nothing is there, and nothing proves it
	NoWildcardProof Reason = "no-wildcard-proof" // bogus: from a wildcard, and nothing proves that it applies
	BadAlias        Reason = "bad-alias"         // bogus: a CNAME that does not follow from its DNAME, or a loop
	TooMuchWork     Reason = "too-much-work"     // bogus: more signatures or hashes to try than Limits

	NoAnchor       Reason = "no-anchor"        // indeterminate: no usable trust anchor above the name
	NoAnswer       Reason = "no-answer"        // indeterminate: the resolver was not heard
	ServerError    Reason = "server-error"     // indeterminate: SERVFAIL, REFUSED and the like
	Truncated      Reason = "truncated"        // indeterminate: the answer is not whole
	TooManyQueries Reason = "too-many-queries" // indeterminate: more than Limits
	ChainTooLong   Reason = "chain-too-long"   // indeterminate: more aliases than Limits
	BadQuestion    Reason = "bad-question"     // indeterminate: no domain name, or a type that cannot be validated
)

// Result is what became of a question.
type Result struct {
	Verdict Verdict
	Reason  Reason
	// Name and Type say where it broke, such as the DS of a zone half way down; for
	// Secure, they are the last name of the alias chain and the type asked for.
	Name string
	Type uint16
	// Detail is a sentence for people; it may quote the answer.
	Detail string
	// Answer are the records of the type asked for at the end of the alias chain. It
	// is set for Secure and Insecure only. Empty: there are none, and if Secure that
	// is proven.
	Answer []dns.RR
	// Exists is false when the name is denied (NXDOMAIN). Only for Secure and Insecure.
	Exists bool
	// TTL is how long a Secure answer may be kept: the least of its TTLs, original
	// TTLs and the time until a signature expires (RFC 4035 section 5.3.3).
	TTL time.Duration
	// Work done, to be compared with Limits.
	Queries, Signatures, Hashes int
}

// String is for logs: "bogus: expired (DNSKEY example.)".
func (r Result) String() string {
	return fmt.Sprintf("%s: %s (%s %s)", r.Verdict, r.Reason, dns.Type(r.Type), r.Name)
}

// Limits bound what one validation may cost. Zero fields mean the default.
type Limits struct {
	Queries    int // to the resolver; 64
	Signatures int // cryptographic checks in all; 64
	PerSet     int // cryptographic checks for one set of records; 8
	Hashes     int // NSEC3 hashes and DS digests; 256
	Iterations int // of NSEC3; more is insecure; 150, where other validators stand
	Chain      int // aliases; 12
}

// DefaultLimits are used for zero fields.
var DefaultLimits = Limits{Queries: 64, Signatures: 64, PerSet: 8, Hashes: 256, Iterations: 150, Chain: 12}

func (l Limits) orDefault() Limits {
	for _, f := range []struct {
		have *int
		dflt int
	}{
		{&l.Queries, DefaultLimits.Queries}, {&l.Signatures, DefaultLimits.Signatures}, {&l.PerSet, DefaultLimits.PerSet},
		{&l.Hashes, DefaultLimits.Hashes}, {&l.Iterations, DefaultLimits.Iterations}, {&l.Chain, DefaultLimits.Chain},
	} {
		if *f.have <= 0 {
			*f.have = f.dflt
		}
	}
	return l
}

// Validator validates answers. Set the fields before the first call; then it may be
// used concurrently if Exchanger may.
type Validator struct {
	Exchanger Exchanger
	Anchors   Anchors // none: RootAnchors
	Limits    Limits
}

// Validate asks for the records of type qtype at name, follows aliases, and says
// how far the answer is to be believed at now. All that it finds is in the Result;
// a port that fails makes it Indeterminate.
func (v *Validator) Validate(ctx context.Context, name string, qtype uint16, now time.Time) Result {
	anchors := v.Anchors
	if len(anchors) == 0 {
		anchors = RootAnchors()
	}
	r := &run{ctx: ctx, port: v.Exchanger, anchors: anchors, limits: v.Limits.orDefault(), now: now,
		asked: map[question]*dns.Msg{}, steps: map[string]step{}, hashes: map[hashed]string{}}
	res := r.answer(name, qtype)
	res.Queries, res.Signatures, res.Hashes = r.queries, r.signatures, r.digests
	return res
}
