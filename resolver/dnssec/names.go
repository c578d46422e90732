package dnssec

import (
	"bytes"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Names inside this package are absolute and in canonical form, lower case (RFC
// 4034 section 6.2), unless said otherwise.

// parent returns name without its first label; that of the root is the root.
func parent(name string) string { return last(name, dns.CountLabel(name)-1) }

// last returns the last n labels of name.
func last(name string, n int) string {
	at := dns.Split(name)
	switch {
	case n <= 0:
		return "."
	case n >= len(at):
		return name
	default:
		return name[at[len(at)-n]:]
	}
}

// common returns the longest name that both a and b lie in.
func common(a, b string) string { return last(a, dns.CompareDomainName(a, b)) }

// below tells whether name lies in zone and is not zone itself.
func below(zone, name string) bool { return zone != name && dns.IsSubDomain(zone, name) }

// isWildcard tells whether the first label is an asterisk.
func isWildcard(name string) bool { return name == "*." || strings.HasPrefix(name, "*.") }

// wildcard returns the wildcard of zone.
func wildcard(zone string) string {
	if zone == "." {
		return "*."
	}
	return "*." + zone
}

// signedLabels is what a signature over records of name has in its field labels
// when no wildcard is expanded, RFC 4034 section 3.1.3.
func signedLabels(name string) int {
	n := dns.CountLabel(name)
	if isWildcard(name) {
		n--
	}
	return n
}

// wildcardOf returns the wildcard from which name was expanded when its signature is
// over labels labels, RFC 4034 section 3.1.3.
func wildcardOf(name string, labels int) string {
	all := dns.SplitDomainName(name)
	return dns.Fqdn("*." + strings.Join(all[len(all)-labels:], "."))
}

// wireLabels returns the labels as they are on the wire, the last one first.
func wireLabels(name string) [][]byte {
	buf := make([]byte, 256)
	end, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		return nil
	}
	var labels [][]byte
	for at := 0; at < end && buf[at] != 0; at += 1 + int(buf[at]) {
		labels = append(labels, bytes.ToLower(buf[at+1:at+1+int(buf[at])]))
	}
	slices.Reverse(labels)
	return labels
}

// compare orders names as zones are ordered, RFC 4034 section 6.1.
func compare(a, b string) int { return slices.CompareFunc(wireLabels(a), wireLabels(b), bytes.Compare) }
