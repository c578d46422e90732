package dnssec

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/test/signedzone"
)

// now is the time of the tests; signatures are good for a month around it.
var now = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

const month = 30 * 24 * time.Hour

// world is a root, zones below it, and the server of them all.
type world struct {
	*signedzone.Server
	root *signedzone.Zone
	zone map[string]*signedzone.Zone
}

func newZone(name, text string, algorithm uint8, edit ...func(*signedzone.Zone)) *signedzone.Zone {
	z := &signedzone.Zone{Name: name, Text: text, Algorithm: algorithm, Inception: now.Add(-month), Expiration: now.Add(month)}
	for _, e := range edit {
		e(z)
	}
	return z
}

func nsec3(iterations uint16, salt string, optOut bool) func(*signedzone.Zone) {
	return func(z *signedzone.Zone) {
		z.NSEC3 = &signedzone.NSEC3{Iterations: iterations, Salt: salt, OptOut: optOut}
	}
}

// hosts are the records of most zones.
const hosts = `
www    AAAA 2001:db8::80
www    A    198.51.100.80
nat64  AAAA 2001:db8:64:ff9b::c000:aa
nat64  AAAA 2001:db8:64:ff9b::c000:ab
alias  CNAME www
out    CNAME www.rsa.test.
open   CNAME www.unsigned.test.
none   CNAME nothing
ring1  CNAME ring2
ring2  CNAME ring1
*.wild TXT  "from a wildcard"
real.wild A 198.51.100.3
*.wide CNAME www
deep.empty TXT "below an empty name"
tree   DNAME rsa.test.
a.b.c  A 198.51.100.1
`

// newWorld signs the root, test., and the zones below it.
func newWorld() *world {
	children := []*signedzone.Zone{
		newZone("nsec.test.", hosts, dns.ED25519),
		newZone("nsec3.test.", hosts, dns.ECDSAP256SHA256, nsec3(0, "", false)),
		newZone("salted.test.", hosts, dns.ECDSAP256SHA256, nsec3(10, "aabbccdd", false)),
		newZone("optout.test.", hosts+"bare NS ns.invalid.\nsigned NS ns.invalid.\n", dns.ED25519, nsec3(0, "", true)),
		newZone("rsa.test.", hosts, dns.RSASHA256),
		newZone("p384.test.", hosts, dns.ECDSAP384SHA384),
		newZone("many.test.", hosts, dns.ED25519, nsec3(151, "", false)),
		newZone("unsigned.test.", hosts, 0),
		newZone("ed448.test.", hosts, 0),
		newZone("gost.test.", hosts, 0),
		newZone("old.test.", hosts, dns.ED25519, func(z *signedzone.Zone) { z.Expiration = now.Add(-time.Hour) }),
		newZone("future.test.", hosts, dns.ED25519, func(z *signedzone.Zone) { z.Inception = now.Add(time.Hour) }),
		newZone("parent.test.", hosts+"child NS ns.invalid.\nbare NS ns.invalid.\n", dns.ED25519),
	}
	low := []*signedzone.Zone{
		newZone("child.parent.test.", hosts, dns.ECDSAP256SHA256),
		newZone("bare.parent.test.", hosts, 0),
		newZone("bare.optout.test.", hosts, 0),
		newZone("signed.optout.test.", hosts, dns.ED25519),
	}
	w := &world{Server: &signedzone.Server{}, zone: map[string]*signedzone.Zone{}}
	for _, z := range low {
		z.Sign()
	}
	text := "plain A 198.51.100.2\n" +
		"ed448 NS ns.invalid.\ned448 DS 4711 16 2 " + strings.Repeat("ab", 32) + "\n" +
		"gost NS ns.invalid.\ngost DS 4711 15 3 " + strings.Repeat("ab", 32) + "\n" +
		"wrongds NS ns.invalid.\nwrongds DS 4711 15 2 " + strings.Repeat("ab", 32) + "\n"
	for _, z := range children {
		var below []*signedzone.Zone
		for _, l := range low {
			if dns.IsSubDomain(z.Name, l.Name) {
				below = append(below, l)
			}
		}
		z.Sign(below...)
		if z.Name != "ed448.test." && z.Name != "gost.test." {
			text += z.Name + " NS ns.invalid.\n"
		}
	}
	wrongDS := newZone("wrongds.test.", hosts, dns.ED25519).Sign()
	test := newZone("test.", text, dns.ED25519).Sign(children...)
	w.root = newZone(".", "test. NS ns.invalid.\n", dns.RSASHA256).Sign(test)
	w.Zones = append(append([]*signedzone.Zone{w.root, test, wrongDS}, children...), low...)
	for _, z := range w.Zones {
		w.zone[z.Name] = z
	}
	return w
}

// validator trusts the world's root.
func (w *world) validator() *Validator {
	return &Validator{Exchanger: w, Anchors: w.root.DS()}
}

func (w *world) validate(t *testing.T, name string, qtype uint16) Result {
	t.Helper()
	res := w.validator().Validate(context.Background(), name, qtype, now)
	t.Logf("%s %s: %s; %s; %d queries, %d signatures, %d hashes", dns.Type(qtype), name, res, res.Detail, res.Queries, res.Signatures, res.Hashes)
	return res
}
