package signedzone

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const text = `
www A 192.0.2.1
*.wild TXT "x"
deep.empty A 192.0.2.2
bare NS ns.invalid.
signed NS ns.invalid.
signed DS 4711 15 2 abababababababababababababababababababababababababababababababab
tree DNAME elsewhere.test.
`

func sample(edit func(*Zone)) *Zone {
	z := &Zone{Name: "example.test.", Text: text, Algorithm: dns.ECDSAP256SHA256, Inception: time.Now().Add(-time.Hour), Expiration: time.Now().Add(240 * time.Hour)}
	edit(z)
	return z.Sign()
}

// TestBINDVerifiesTheZones lets another implementation check signatures and chains
// of denial.
func TestBINDVerifiesTheZones(t *testing.T) {
	program, err := exec.LookPath("dnssec-verify")
	if err != nil {
		t.Skip("the program dnssec-verify is missing (test/netns/install-peers.sh installs it)")
	}
	for name, edit := range map[string]func(*Zone){
		"NSEC":            func(*Zone) {},
		"NSEC, RSA":       func(z *Zone) { z.Algorithm = dns.RSASHA256 },
		"NSEC3":           func(z *Zone) { z.NSEC3 = &NSEC3{} },
		"NSEC3 with salt": func(z *Zone) { z.NSEC3 = &NSEC3{Iterations: 5, Salt: "aabbccdd"} },
		"NSEC3, opt-out":  func(z *Zone) { z.NSEC3 = &NSEC3{OptOut: true} },
		"several keys": func(z *Zone) {
			z.Keys = []Key{NewKey(z.Name, dns.ED25519), NewKey(z.Name, dns.ED25519)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			z := sample(edit)
			var lines strings.Builder
			for _, rr := range z.Records() {
				lines.WriteString(rr.String() + "\n")
			}
			file := filepath.Join(t.TempDir(), "zone")
			if err := os.WriteFile(file, []byte(lines.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			// -z: a key may be used for keys and records.
			if out, err := exec.Command(program, "-z", "-o", z.Name, file).CombinedOutput(); err != nil {
				t.Errorf("dnssec-verify: %v\n%s\n%s", err, out, lines.String())
			}
		})
	}
}

// TestServer looks at the shape of answers; resolver/dnssec checks what they prove.
func TestServer(t *testing.T) {
	for name, edit := range map[string]func(*Zone){"NSEC": func(*Zone) {}, "NSEC3": func(z *Zone) { z.NSEC3 = &NSEC3{OptOut: true} }} {
		s := &Server{Zones: []*Zone{sample(edit)}}
		for _, test := range []struct {
			ask    string
			qtype  uint16
			rcode  int
			answer int
		}{
			{"www", dns.TypeA, dns.RcodeSuccess, 2},
			{"www", dns.TypeAAAA, dns.RcodeSuccess, 0},
			{"empty", dns.TypeA, dns.RcodeSuccess, 0},
			{"missing", dns.TypeA, dns.RcodeNameError, 0},
			{"a.b.wild", dns.TypeTXT, dns.RcodeSuccess, 2},
			{"signed", dns.TypeDS, dns.RcodeSuccess, 2},
			{"bare", dns.TypeDS, dns.RcodeSuccess, 0},
			{"x.tree", dns.TypeA, dns.RcodeRefused, 3}, // the other zone is not here
		} {
			m, err := s.Exchange(context.Background(), test.ask+".example.test.", test.qtype)
			if err != nil {
				t.Fatal(err)
			}
			if m.Rcode != test.rcode || len(m.Answer) != test.answer || test.answer == 0 && len(m.Ns) < 4 {
				t.Errorf("%s, %s %s: %s, %d records, %d of denial; want %s, %d", name, dns.Type(test.qtype), test.ask,
					dns.RcodeToString[m.Rcode], len(m.Answer), len(m.Ns), dns.RcodeToString[test.rcode], test.answer)
			}
		}
	}
}
