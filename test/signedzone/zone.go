// Package signedzone is DNSSEC from the other side: it signs zones and answers
// questions for them as a recursive resolver in memory would, with NSEC (RFC 4034)
// or NSEC3 (RFC 5155), opt-out, wildcards, aliases and delegations.
//
// It is for tests of validators and shares no code with resolver/dnssec. Answers
// take the way over the wire format, so that they look like received ones.
package signedzone

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A Zone is one zone. Set the fields, then call Sign.
type Zone struct {
	Name      string // absolute, lower case
	Text      string // records in the form of a zone file, relative to Name; SOA and NS are added
	Algorithm uint8  // 0: not signed
	// Keys signs. Sign makes one when there is none.
	Keys []Key
	// NSEC3 instead of NSEC.
	NSEC3 *NSEC3
	// Inception and Expiration of the signatures.
	Inception, Expiration time.Time

	records []dns.RR // with signatures and denial
}

// NSEC3 are the parameters of RFC 5155.
type NSEC3 struct {
	Iterations uint16
	Salt       string // hexadecimal
	OptOut     bool
}

// Key is a key with its private half.
type Key struct {
	*dns.DNSKEY
	Private crypto.Signer
}

// NewKey makes a key of a zone: the only one, so it signs keys and records.
func NewKey(zone string, algorithm uint8) Key {
	k := &dns.DNSKEY{Hdr: header(zone, dns.TypeDNSKEY), Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: algorithm}
	bits := map[uint8]int{dns.RSASHA256: 1024, dns.RSASHA512: 1024, dns.ECDSAP384SHA384: 384}[algorithm]
	if bits == 0 {
		bits = 256
	}
	p, err := k.Generate(bits)
	if err != nil {
		panic(fmt.Sprintf("signedzone: key of algorithm %d: %v", algorithm, err))
	}
	return Key{k, p.(crypto.Signer)}
}

const ttl = 300

func header(name string, t uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
}

// DS returns the records for the zone above.
func (z *Zone) DS() []dns.RR {
	var out []dns.RR
	for _, k := range z.Keys {
		out = append(out, k.ToDS(dns.SHA256))
	}
	return out
}

// Records returns the zone, with its signatures after Sign.
func (z *Zone) Records() []dns.RR { return z.records }

// Sign builds the zone: it adds the DS of those children that are signed, the keys,
// the chain of denial, and the signatures. Children are signed before.
func (z *Zone) Sign(children ...*Zone) *Zone {
	z.records = nil
	text := fmt.Sprintf("@ SOA ns hostmaster 1 60 60 60 %d\n@ NS ns.invalid.\n", ttl) + z.Text
	p := dns.NewZoneParser(strings.NewReader(text), z.Name, z.Name)
	p.SetDefaultTTL(ttl)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.records = append(z.records, rr)
	}
	if p.Err() != nil {
		panic(p.Err())
	}
	for _, c := range children {
		if c.Algorithm != 0 {
			z.records = append(z.records, c.DS()...)
		}
	}
	if z.Algorithm == 0 {
		return z
	}
	if len(z.Keys) == 0 {
		z.Keys = []Key{NewKey(z.Name, z.Algorithm)}
	}
	for _, k := range z.Keys {
		z.records = append(z.records, k.DNSKEY)
	}
	if z.NSEC3 != nil {
		z.addNSEC3()
	} else {
		z.addNSEC()
	}
	z.addSignatures()
	return z
}

// owners returns the names with records, as the zone is authoritative for them or
// delegates them, in the order of the zone.
func (z *Zone) owners() []string {
	var out []string
	for _, rr := range z.records {
		if n := rr.Header().Name; !slices.Contains(out, n) && !z.occluded(n) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return slices.Compare(reversed(a), reversed(b)) })
	return out
}

func reversed(name string) []string {
	l := dns.SplitDomainName(strings.ToLower(name))
	slices.Reverse(l)
	return l
}

// up takes the first label off.
func up(name string) string {
	if i, end := dns.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

// occluded tells whether a name lies below a delegation or DNAME.
func (z *Zone) occluded(name string) bool {
	for n := name; n != z.Name && n != "."; {
		n = up(n)
		if n != z.Name && z.has(n, dns.TypeNS) || z.has(n, dns.TypeDNAME) {
			return true
		}
	}
	return false
}

func (z *Zone) has(name string, t uint16) bool { return len(z.set(name, t)) > 0 }

// set returns records without signatures.
func (z *Zone) set(name string, t uint16) []dns.RR {
	var out []dns.RR
	for _, rr := range z.records {
		if h := rr.Header(); h.Name == name && h.Rrtype == t {
			out = append(out, rr)
		}
	}
	return out
}

// delegates tells whether name is a zone cut, and whether without DS.
func (z *Zone) delegates(name string) (cut, unsigned bool) {
	cut = name != z.Name && z.has(name, dns.TypeNS)
	return cut, cut && !z.has(name, dns.TypeDS)
}

// types is the bitmap of a name.
func (z *Zone) types(name string, more ...uint16) []uint16 {
	cut, unsigned := z.delegates(name)
	out := more
	for _, rr := range z.records {
		t := rr.Header().Rrtype
		if rr.Header().Name == name && !slices.Contains(out, t) && (!cut || t == dns.TypeNS || t == dns.TypeDS) {
			out = append(out, t)
		}
	}
	if len(out) > len(more) && !unsigned && !slices.Contains(out, dns.TypeRRSIG) {
		out = append(out, dns.TypeRRSIG)
	}
	slices.Sort(out)
	return out
}

func (z *Zone) addNSEC() {
	names := z.owners()
	var out []dns.RR
	for i, n := range names {
		types := z.types(n, dns.TypeNSEC, dns.TypeRRSIG)
		out = append(out, &dns.NSEC{Hdr: header(n, dns.TypeNSEC), NextDomain: names[(i+1)%len(names)], TypeBitMap: types})
	}
	z.records = append(z.records, out...)
}

func (z *Zone) addNSEC3() {
	z.records = append(z.records, &dns.NSEC3PARAM{Hdr: header(z.Name, dns.TypeNSEC3PARAM), Hash: dns.SHA1, Iterations: z.NSEC3.Iterations,
		SaltLength: uint8(len(z.NSEC3.Salt) / 2), Salt: z.NSEC3.Salt})
	types := map[string][]uint16{} // by name
	for _, n := range z.owners() {
		if _, unsigned := z.delegates(n); unsigned && z.NSEC3.OptOut {
			continue
		}
		types[n] = z.types(n)
		for e := n; e != z.Name; { // empty names above it
			if e = up(e); types[e] == nil {
				types[e] = z.types(e)
			}
		}
	}
	names := map[string]string{} // by hash
	var hashes []string
	for n := range types {
		h := z.hash(n)
		names[h] = n
		hashes = append(hashes, h)
	}
	slices.Sort(hashes)
	flags := uint8(0)
	if z.NSEC3.OptOut {
		flags = 1
	}
	for i, h := range hashes {
		z.records = append(z.records, &dns.NSEC3{Hdr: header(strings.ToLower(h)+"."+strings.TrimPrefix(z.Name, "."), dns.TypeNSEC3), Hash: dns.SHA1, Flags: flags,
			Iterations: z.NSEC3.Iterations, SaltLength: uint8(len(z.NSEC3.Salt) / 2), Salt: z.NSEC3.Salt, HashLength: 20,
			NextDomain: hashes[(i+1)%len(hashes)], TypeBitMap: types[names[h]]})
	}
}

func (z *Zone) hash(name string) string {
	return dns.HashName(name, dns.SHA1, z.NSEC3.Iterations, z.NSEC3.Salt)
}

// addSignatures signs every set but delegations and what lies below them.
func (z *Zone) addSignatures() {
	type set struct {
		name string
		t    uint16
	}
	var order []set
	rrs := map[set][]dns.RR{}
	for _, rr := range z.records {
		s := set{rr.Header().Name, rr.Header().Rrtype}
		cut, _ := z.delegates(s.name)
		if z.occluded(s.name) || cut && s.t != dns.TypeDS && s.t != dns.TypeNSEC {
			continue
		}
		if rrs[s] == nil {
			order = append(order, s)
		}
		rrs[s] = append(rrs[s], rr)
	}
	for _, s := range order {
		for _, k := range z.Keys {
			z.records = append(z.records, z.Signature(k, rrs[s]))
		}
	}
}

// Signature signs a set with one key.
func (z *Zone) Signature(k Key, set []dns.RR) *dns.RRSIG {
	sig := &dns.RRSIG{Hdr: header(set[0].Header().Name, dns.TypeRRSIG), Algorithm: k.Algorithm, KeyTag: k.KeyTag(), SignerName: z.Name,
		Inception: uint32(z.Inception.Unix()), Expiration: uint32(z.Expiration.Unix())}
	if err := sig.Sign(k.Private, set); err != nil {
		panic(fmt.Sprintf("signedzone: sign %v: %v", set[0], err))
	}
	return sig
}
