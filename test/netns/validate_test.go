package netns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/test/signedzone"
)

// trustedZone is a signed zone with the name of the NAT64, and its trust anchor,
// in the form of zone files. change is done after signing.
func trustedZone(change func(string) string) (zone, anchor string) {
	z := &signedzone.Zone{Name: "trusted.test.", Algorithm: dns.ECDSAP256SHA256, Inception: time.Now().Add(-time.Hour), Expiration: time.Now().Add(time.Hour),
		Text: fmt.Sprintf("nat64 60 IN AAAA %s\nnat64 60 IN AAAA %s\n", wellKnownIn("192.0.0.170"), wellKnownIn("192.0.0.171"))}
	z.Sign()
	for _, rr := range z.Records() {
		zone += rr.String() + "\n"
	}
	for _, rr := range z.DS() {
		anchor += rr.String() + "\n"
	}
	return change(zone), anchor
}

func wellKnownIn(v4 string) string { return synthesized(ownPrefix, netip.MustParseAddr(v4)) }

// TestRequiredValidation: with require_validation a NAT64 prefix is used only if
// DNSSEC proves that it belongs to a trusted domain (RFC 7050 section 3.1); else
// there is no CLAT, and status says which proof is missing.
func TestRequiredValidation(t *testing.T) {
	same := func(s string) string { return s }
	tests := []struct {
		name    string
		domain  string // that is trusted
		change  func(string) string
		pointer string // what the prefix's addresses are called
		missing string // the reason; "": proven
	}{
		{"proven", "trusted.test", same, "nat64.trusted.test.", ""},
		{"the NAT64 has another domain's name", "other.test", same, "nat64.trusted.test.", "untrusted-domain"},
		{"no PTR record", "trusted.test", same, "", "no-name"},
		{"the record was changed after it was signed", "trusted.test", func(s string) string { return strings.ReplaceAll(s, "c000:aa", "c000:ac") }, "nat64.trusted.test.", "bad-proof"},
		{"the signature was changed", "trusted.test", brokenSignature, "nat64.trusted.test.", "bad-proof"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			need(t, "tayga", "radvd", "named")
			l := newLab(t, documentation)
			l.lan()
			l.tayga(ownPrefix)
			const head = "$TTL 60\n@ SOA ns.test. hostmaster.test. 1 60 60 60 5\n@ NS ns.test.\n"
			zone, anchor := trustedZone(tt.change)
			reverse := head
			if tt.pointer != "" {
				for _, v4 := range []string{"192.0.0.170", "192.0.0.171"} {
					name, err := dns.ReverseAddr(wellKnownIn(v4))
					if err != nil {
						t.Fatal(err)
					}
					reverse += name + " PTR " + tt.pointer + "\n"
				}
			}
			// A DNS64 would answer for the PTR itself (RFC 6147 section 5.3); here the
			// well-known name's AAAA records are in the zone.
			l.namedServes("", map[string]string{
				"trusted.test":  l.write("trusted.zone", zone),
				"ipv4only.arpa": l.write("ipv4only.zone", head+"@ A 192.0.0.170\n@ A 192.0.0.171\n@ AAAA "+wellKnownIn("192.0.0.170")+"\n@ AAAA "+wellKnownIn("192.0.0.171")+"\n"),
				"b.9.f.f.4.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa": l.write("reverse.zone", reverse),
			})
			l.radvd()
			l.online()
			s := l.service(documentation, fmt.Sprintf("\n[discovery]\nrequire_validation = true\ntrusted_domains = [%q]\ntrust_anchor_file = %q\n", tt.domain, l.write("anchor", anchor))).start()
			if tt.missing == "" {
				s.up()
				return
			}
			st := s.waitStatus("no proof", 20*time.Second, func(st status) bool { return st.Reason == "prefix-not-validated" })
			if st.Path != "none" || st.CLAT != nil || st.Class != "v6-only-nat64" || !strings.Contains(st.text, tt.missing) {
				t.Errorf("status: path %s, class %s, want no path and %s:\n%s", st.Path, st.Class, tt.missing, st.text)
			}
			l.fails()
		})
	}
}

// brokenSignature changes the signature over the AAAA records.
func brokenSignature(zone string) string {
	var out strings.Builder
	for line := range strings.Lines(zone) {
		if strings.Contains(line, "RRSIG\tAAAA") {
			fields := strings.Fields(line)
			last := fields[len(fields)-1]
			line = strings.Replace(line, last, "AAAA"+last[4:], 1)
		}
		out.WriteString(line)
	}
	return out.String()
}
