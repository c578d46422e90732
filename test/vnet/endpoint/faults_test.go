package endpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/scenario"
	"github.com/reach64/reach64/test/signedzone"
	"github.com/reach64/reach64/test/vnet"
)

// faultPlays have one step on the way broken.
var faultPlays = map[string]play{
	"server down":                    {quiet: true, also: serverSays("timeout")},
	"server refuses":                 {quiet: true, before: func(g *game) { g.must(g.w.Internet.AddHost(ServerAddr.Addr())) }, also: serverSays("refused")},
	"certificate expired":            certified(certificate{name: scenario.ServerName, from: -48 * time.Hour, to: -time.Hour}, "tls-expired"),
	"certificate for another name":   certified(certificate{name: "other.example.test", from: -time.Hour, to: time.Hour}, "tls-name-mismatch"),
	"certificate of somebody else's": certified(certificate{name: scenario.ServerName, from: -time.Hour, to: time.Hour, strange: true}, "tls-unknown-authority"),
	"the host's address is in use": {net: vnet.Options{Managed: true},
		before: func(g *game) { // DHCPv6 gives an address that another machine has
			taken := netip.MustParsePrefix("2001:db8:1::77/128")
			g.w.Router.SetClaimed(func(a netip.Addr) bool { return a == taken.Addr() })
			g.must(g.w.Host.AddAddr(vnet.Uplink, taken, false))
		}},
	"the CLAT's first address is in use": {
		before: func(g *game) { g.claim(func(n int32) bool { return n == 1 }) },
		after:  func(g *game) { g.claim(nil) }},
	"every address is in use": {
		before: func(g *game) { g.claim(func(int32) bool { return true }) }, also: note("duplicate-address"),
		after: func(g *game) { // where nothing else is allowed
			g.reload("[path]\ndatapath = \"tun\"\n")
			waitFor(g.T, g.s, "down", func(st status.Status) bool {
				return st.Reason == "duplicate-address" && st.CLAT == nil && st.Path == "none"
			})
		}},
	"policy forbids the prefix": {conf: "[discovery]\nallow = [\"2001:db8:aaaa::/48\"]\n", also: noCLAT},
	"proof of the prefix":       proof("trusted.test", "nat64.trusted.test.", nil),
	"no proof of the prefix":    proof("trusted.test", "", func(st status.Status) error { return detail("no-name")(st) }),
	"one server's name is not known": {servers: byAddress + "[[server]]\nname = \"nosuch.example.test\"\n",
		also: func(st status.Status) error {
			v := st.Servers[1]
			return want("name-not-resolved", st.Exit() == status.ExitDegraded && v.Reason == "name-not-resolved" && v.Reachable != nil && !*v.Reachable)
		}},
}

// claim has another machine on the link that has those of the CLAT's addresses that it
// is asked for n-th, from 1; nil: none any more. The host's own addresses are asked for
// before the service starts.
func (g *game) claim(has func(n int32) bool) {
	if has == nil {
		g.w.Router.SetClaimed(nil)
		return
	}
	g.settle()
	l, _ := g.w.Host.Snapshot().Link(vnet.Uplink)
	own := map[netip.Addr]bool{g.w.Router.Addr(): true}
	for _, a := range l.Addrs {
		own[a.Prefix.Addr()] = true
	}
	var asked atomic.Int32
	var first atomic.Pointer[netip.Addr]
	g.w.Router.SetClaimed(func(a netip.Addr) bool {
		if own[a] || !oldPIO.Contains(a) {
			return false
		}
		if f := first.Load(); f == nil || *f != a {
			first.Store(&a)
			asked.Add(1)
		}
		return has(asked.Load())
	})
}

// certificate is one for the server; from and to are from now.
type certificate struct {
	name     string
	from, to time.Duration
	strange  bool // made by another authority than the one that is trusted
}

// certified is the network whose server shows a certificate on port 9443, and is not
// believed, for this reason.
func certified(c certificate, reason string) play {
	var ca []byte
	return play{
		servers: "[[server]]\nname = \"" + scenario.ServerName + "\"\nport = 9443\nca_file = \"ca.pem\"\n",
		read:    func(string) ([]byte, error) { return ca, nil },
		before: func(g *game) {
			text, conf, err := c.make()
			g.must(err)
			ca = text
			l, err := g.w.Internet.Listen(netip.AddrPortFrom(ServerAddr.Addr(), 9443))
			g.must(err)
			serve(g.T, tls.NewListener(l, conf), func(c net.Conn) { _ = c.(*tls.Conn).Handshake() })
		},
		also: serverSays(reason),
	}
}

// make returns the trusted authority and the server's side.
func (c certificate) make() (ca []byte, conf *tls.Config, err error) {
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "lab CA"}, NotBefore: now.Add(min(c.from, 0) - time.Hour),
		NotAfter: now.Add(c.to + 1000*time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(4), Subject: pkix.Name{CommonName: c.name}, NotBefore: now.Add(c.from), NotAfter: now.Add(c.to),
		DNSNames: []string{c.name}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	var keys [3]*ecdsa.PrivateKey // of the trusted authority, of the one that signs, of the server
	for i := range keys {
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, nil, err
		}
	}
	if !c.strange {
		keys[1] = keys[0]
	}
	trusted, err := x509.CreateCertificate(rand.Reader, authority, authority, &keys[0].PublicKey, keys[0])
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &keys[2].PublicKey, keys[1])
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted}),
		&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: keys[2]}}}, nil
}

// proof is a network whose prefix DNSSEC proves, by a name below domain (RFC 7050
// section 3.1), or has no name. Its DNS says so in place of a DNS64.
func proof(domain, pointer string, also func(status.Status) error) play {
	prefix := nat64.MustParse(scenario.Prefix)
	six := func(v4 string) string { return prefix.Embed(netip.MustParseAddr(v4)).String() }
	text := ""
	for _, v4 := range []string{"192.0.0.170", "192.0.0.171"} {
		text += fmt.Sprintf("nat64 60 IN AAAA %s\n", six(v4))
	}
	z := &signedzone.Zone{Name: domain + ".", Algorithm: dns.ECDSAP256SHA256, Inception: time.Now().Add(-time.Hour), Expiration: time.Now().Add(time.Hour), Text: text}
	z.Sign()
	anchor := ""
	for _, rr := range z.DS() {
		anchor += rr.String() + "\n"
	}
	zones := &signedzone.Server{Zones: []*signedzone.Zone{z}}
	return play{
		net:  vnet.Options{NoPref64: true},
		conf: fmt.Sprintf("[discovery]\nrequire_validation = true\ntrusted_domains = [%q]\ntrust_anchor_file = \"anchor\"\n", domain),
		read: func(string) ([]byte, error) { return []byte(anchor), nil },
		before: func(g *game) {
			g.w.Router.SetAnswer(func(q *dns.Msg) *dns.Msg {
				name, kind := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
				m := new(dns.Msg).SetReply(q)
				m.RecursionAvailable = true
				switch {
				case dns.IsSubDomain(z.Name, name):
					signed, err := zones.Exchange(g.Context(), name, kind)
					if err != nil {
						return failure(q)
					}
					signed.Id, signed.Question = q.Id, q.Question
					return signed
				case kind == dns.TypePTR && pointer != "":
					m.Answer = []dns.RR{&dns.PTR{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: 60}, Ptr: pointer}}
					return m
				}
				return nil
			})
		},
		also: also,
	}
}
