package dnssec

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Anchors are the keys that trust begins with: DS and DNSKEY records, of one or
// several zones. The longest name above a question is used.
type Anchors []dns.RR

// rootKeys are the digests of the root zone's key signing keys, as IANA publishes
// them (https://data.iana.org/root-anchors/root-anchors.xml): KSK-2017 and KSK-2024.
const rootKeys = `
. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
`

// RootAnchors returns the built-in anchors of the root zone.
func RootAnchors() Anchors {
	a, err := ParseAnchors(rootKeys)
	if err != nil {
		panic("dnssec: built-in anchors: " + err.Error())
	}
	return a
}

// ParseAnchors reads DS and DNSKEY records in the form of a zone file, one a line,
// with absolute names; ';' begins a comment. Errors name the line.
func ParseAnchors(text string) (Anchors, error) {
	var out Anchors
	z := dns.NewZoneParser(strings.NewReader(text), ".", "trust anchors")
	z.SetDefaultTTL(0)
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		switch rr := rr.(type) {
		case *dns.DS:
		case *dns.DNSKEY:
			if rr.Flags&dns.ZONE == 0 || rr.Flags&dns.REVOKE != 0 || rr.Protocol != 3 {
				return nil, fmt.Errorf("read trust anchors: the key %d of %s is no zone key, or is revoked: flags %d, protocol %d",
					rr.KeyTag(), rr.Hdr.Name, rr.Flags, rr.Protocol)
			}
		default:
			return nil, fmt.Errorf("read trust anchors: %s of %s: want DS or DNSKEY records only", dns.Type(rr.Header().Rrtype), rr.Header().Name)
		}
		if rr.Header().Class != dns.ClassINET {
			return nil, fmt.Errorf("read trust anchors: %s has class %s, want IN", rr.Header().Name, dns.Class(rr.Header().Class))
		}
		out = append(out, rr)
	}
	if err := z.Err(); err != nil {
		return nil, fmt.Errorf("read trust anchors: %w", err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read trust anchors: there is none in it; want DS or DNSKEY records")
	}
	return out, nil
}

// above returns the name of the longest anchor that name lies in, and its records
// as DS and DNSKEY. It is false when there is none.
func (a Anchors) above(name string) (zone string, ds []*dns.DS, keys []*dns.DNSKEY, ok bool) {
	for _, rr := range a {
		n := dns.CanonicalName(rr.Header().Name)
		if dns.IsSubDomain(n, name) && (!ok || dns.CountLabel(n) > dns.CountLabel(zone)) {
			zone, ok = n, true
		}
	}
	for _, rr := range a {
		if dns.CanonicalName(rr.Header().Name) != zone {
			continue
		}
		switch rr := rr.(type) {
		case *dns.DS:
			ds = append(ds, rr)
		case *dns.DNSKEY:
			keys = append(keys, rr)
		}
	}
	return zone, ds, keys, ok
}
