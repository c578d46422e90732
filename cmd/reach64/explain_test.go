package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reach64/reach64/resolver/nat64"
)

// The addresses are those of RFC 6052 section 2.4, for 192.0.2.33 (spec R6052-7).
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		name, addr, prefix   string
		kind, in, v4, reason string
	}{
		{"well-known prefix", "64:ff9b::c633:640a", "", "nat64", "64:ff9b::/96", "198.51.100.10", "64:ff9b::c633:640a is 198.51.100.10 through the well-known NAT64 prefix"},
		{"mixed notation", "64:ff9b::8.8.8.8", "", "nat64", "64:ff9b::/96", "8.8.8.8", "is 8.8.8.8 through the well-known NAT64 prefix"},
		{"private server", "64:ff9b::10.1.2.3", "", "nat64", "64:ff9b::/96", "10.1.2.3", "a NAT64 may refuse it"},
		{"loopback under any prefix", "2001:db8:64::127.0.0.1", "2001:db8:64::/96", "nat64", "2001:db8:64::/96", "127.0.0.1", "no NAT64 can reach it"},
		{"multicast", "224.0.0.1", "", "ipv4", "", "", "no NAT64 can reach it"},
		{"length 32", "2001:db8:c000:221::", "2001:db8::/32", "nat64", "2001:db8::/32", "192.0.2.33", "through the NAT64 prefix 2001:db8::/32"},
		{"length 40", "2001:db8:1c0:2:21::", "2001:db8:100::/40", "nat64", "2001:db8:100::/40", "192.0.2.33", "2001:db8:100::/40"},
		{"length 48", "2001:db8:122:c000:2:2100::", "2001:db8:122::/48", "nat64", "2001:db8:122::/48", "192.0.2.33", "2001:db8:122::/48"},
		{"length 56", "2001:db8:122:3c0:0:221::", "2001:db8:122:300::/56", "nat64", "2001:db8:122:300::/56", "192.0.2.33", "2001:db8:122:300::/56"},
		{"length 64", "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344::/64", "nat64", "2001:db8:122:344::/64", "192.0.2.33", "2001:db8:122:344::/64"},
		{"length 96", "2001:db8:122:344::c000:221", "2001:db8:122:344::/96", "nat64", "2001:db8:122:344::/96", "192.0.2.33", "2001:db8:122:344::/96"},
		{"u octet set", "2001:db8:122:344:1c0:2:2100::", "2001:db8:122:344::/64", "nat64", "2001:db8:122:344::/64", "", "bits 64 to 71 are not zero"},
		{"local-use block", "64:ff9b:1:fffe::1", "", "ipv6", "", "", "RFC 8215"},
		{"native", "2001:db8::1", "", "ipv6", "", "", "in no NAT64 prefix that is known here"},
		{"IPv4", "192.0.2.33", "2001:db8:122:344::/96", "ipv4", "", "", "2001:db8:122:344::c000:221 through the NAT64 prefix"},
		{"IPv4-mapped", "::ffff:8.8.8.8", "", "ipv4", "", "", "64:ff9b::808:808 through the well-known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var prefixes []knownPrefix
			if c.prefix != "" {
				prefixes = append(prefixes, knownPrefix{Prefix: nat64.MustParse(c.prefix)})
			}
			e := explain(netip.MustParseAddr(c.addr), prefixes)
			if e.Kind != c.kind || text(e.Prefix) != c.in || text(e.Embedded) != c.v4 {
				t.Errorf("got %s %q %q, want %s %q %q", e.Kind, text(e.Prefix), text(e.Embedded), c.kind, c.in, c.v4)
			}
			if !strings.Contains(e.Reason, c.reason) {
				t.Errorf("got %q, want it to hold %q", e.Reason, c.reason)
			}
		})
	}
}

// A configuration that nobody asked for stops nobody: it may be missing, and what
// is wrong with it is a note.
func TestExplainWithoutAskingForConfiguration(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const server = "[[server]]\nname = \"192.0.2.1\"\nport = 443\n"
	for _, c := range []struct {
		name, file string
		want       int // prefixes
		note       string
	}{
		{"missing", filepath.Join(folder, "none"), 0, ""},
		{"good", write("good", server+"[discovery]\nprefixes = [\"2001:db8:64::/96\", \"2001:db8:65::/96\"]\n"), 2, ""},
		{"broken", write("broken", server+"prot = 1\n"), 0, "broken:4:1: unknown key"},
		{"names a file that is missing", write("ca", server+"ca_file = \"/nonexistent/ca.pem\"\n"), 0, "/nonexistent/ca.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr strings.Builder
			got, err := configuredPrefixes(c.file, false, &stderr)
			if err != nil || len(got) != c.want {
				t.Errorf("%v %v, want %d prefixes", got, err, c.want)
			}
			note := stderr.String()
			if (note == "") != (c.note == "") || !strings.Contains(note, c.note) || note != "" && !strings.Contains(note, "going on without") {
				t.Errorf("note %q, want it to hold %q", note, c.note)
			}
		})
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
