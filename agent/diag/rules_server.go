package diag

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/reach64/reach64/resolver/probe"
	"github.com/reach64/reach64/tunnel/dial"
)

func (s *Server) label() string { return fmt.Sprintf("%s:%d", s.Name, s.Port) }

// kindWords are the kinds of paths for people.
var kindWords = map[dial.Kind]string{
	dial.NativeIPv6: "native IPv6", dial.NativeIPv4: "native IPv4", dial.CLAT: "the CLAT", dial.Synthesized: "the NAT64",
	dial.DNS64: "the NAT64, by the name's AAAA record", dial.NoPath: "no route",
}

func (p Path) way() string {
	w := kindWords[p.Kind]
	if p.Kind == dial.CLAT && !p.Own {
		w = "another program's CLAT"
	}
	if p.Tunnel && p.Kind == dial.NativeIPv4 {
		w = "the VPN " + p.Link
	}
	return w
}

// tcpRemedies say what to do about the way in which no connection came to stand.
var tcpRemedies = map[string]string{
	probe.Refused:      "The server's host answers, but nothing listens at this port: start the backup service there, and check the port.",
	probe.Timeout:      "The server, or a firewall before it, drops the packets: check that the server is up and that its firewall lets the NAT64's addresses in.",
	probe.Unreachable:  "A router says that there is no way to the server: check that the server is up, and the route to it.",
	probe.Reset:        "Something closes the connection at once: look for a firewall or proxy between.",
	probe.NotPermitted: "A firewall or sandbox on this machine forbids the connection.",
}

func judgeTCP(_ *Evidence, s *Server) finding {
	var good, bad []string
	remedy := ""
	for _, p := range s.Paths {
		switch {
		case p.Result.Connect > 0:
			good = append(good, fmt.Sprintf("%s answers through %s in %s", p.Addr, p.way(), millis(p.Result.Connect)))
		case p.Kind == dial.NoPath && len(s.Paths) > 1:
		default:
			bad = append(bad, fmt.Sprintf("%s through %s: %s", p.Addr, p.way(), p.Result.Reason))
			if remedy == "" || p.Result.Reason == probe.Refused {
				remedy = tcpRemedies[p.Result.Reason]
			}
		}
	}
	switch {
	case len(good) > 0:
		return pass("%s", good[0]).with(append(good[1:], bad...)...)
	case len(bad) > 0:
		return fail(orElse(remedy, "Look at the server and at the firewalls before it."), "%s", bad[0]).with(bad[1:]...)
	}
	return fail("Give its IPv4 address with ipv4 = [...], or mend its DNS records.", "no address of %s is known", s.Name)
}

func judgeTLS(_ *Evidence, s *Server) finding {
	if !s.Identity.TLS {
		return skip("server.tls is off for %s", s.label())
	}
	if p, ok := s.any(func(p Path) bool { return p.Result.Handshake > 0 }); ok {
		return pass("%s completes the handshake in %s", p.Addr, millis(p.Result.Handshake))
	}
	p, ok := s.any(func(p Path) bool { return p.Result.Connect > 0 })
	if !ok {
		return unknown("TCP does not stand")
	}
	if p.Result.Reason == probe.TLSTimeout {
		return fail("The server takes connections and says nothing: look at the backup service there, and whether the port speaks TLS. Small packets fare no better, so it is not their size.",
			"%s: TCP stands, TLS gets no answer", p.Addr)
	}
	return fail("What answers at this port does not speak TLS 1.2 or later, or closes the connection: check the port, and set server.tls = false if it has no TLS.", "%s: %s (%s)", p.Addr, p.Result.Reason, p.Result.Err)
}

// shown is the path whose certificate is looked at: one that proved itself first.
func (s *Server) shown() (Path, *x509.Certificate) {
	p, ok := s.any(func(p Path) bool { return p.Result.Reachable && len(p.Result.Chain) > 0 })
	if !ok {
		p, ok = s.any(func(p Path) bool { return len(p.Result.Chain) > 0 })
	}
	if !ok {
		return Path{}, nil
	}
	return p, p.Result.Chain[0]
}

func judgeIdentity(_ *Evidence, s *Server) finding {
	p, leaf := s.shown()
	if leaf == nil {
		if _, ok := s.any(func(p Path) bool { return p.Result.Reason == probe.TLSNoCertificate }); ok {
			return fail("The server has to send its certificate.", "%s sends no certificate", s.label())
		}
		return unknown("no certificate was seen")
	}
	issued := fmt.Sprintf("%s, issued by %s", leaf.Subject, leaf.Issuer)
	const proxy = "If the issuer is that of a security proxy or firewall (TLS inspection), exempt the backup server from it: the backup client checks the certificate too. If it is the server's own authority, set server.ca_file or server.pin_sha256."
	switch {
	case p.Result.Reason == probe.TLSPinMismatch:
		return fail(proxy, "%s does not match the configured pin: %s", p.Addr, issued).with(p.Result.Err)
	case p.Result.Reason == probe.TLSAuthority, p.Result.Reason == probe.TLSExpired && !trusted(s, p.Result.Chain):
		return fail(proxy, "%s is vouched for by an authority that is not trusted here: %s", p.Addr, issued)
	case p.Result.Reason == probe.TLSBadCert:
		return fail("Have the server's operator renew the certificate.", "%s: %s", issued, p.Result.Err)
	}
	return pass("%s", issued)
}

// trusted tells whether the chain leads to a trusted authority, whatever the clock
// says: at the middle of the leaf's lifetime.
func trusted(s *Server, chain []*x509.Certificate) bool {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := chain[0]
	at := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: s.Identity.CAs, Intermediates: between, CurrentTime: at})
	return err == nil
}

// soon is how long before its end a certificate is warned of.
const soon = 14 * 24 * time.Hour

func judgeCertificate(e *Evidence, s *Server) finding {
	p, leaf := s.shown()
	if leaf == nil {
		return unknown("no certificate was seen")
	}
	if len(s.Identity.PinSHA256) > 0 {
		return pass("pinned, so neither its name nor its dates count")
	}
	dates := fmt.Sprintf("valid from %s to %s", date(leaf.NotBefore), date(leaf.NotAfter))
	name := s.Identity.ServerName
	if name == "" {
		name = s.Name
	}
	switch {
	case e.Now.After(leaf.NotAfter):
		return fail("Have the server's operator renew the certificate. If other machines accept it, look at this machine's clock.", "expired: "+dates+"; the clock here says "+date(e.Now))
	case e.Now.Before(leaf.NotBefore):
		return fail("Have the server's operator look at the certificate's dates.", "not valid yet: "+dates)
	case leaf.VerifyHostname(name) != nil:
		return fail("Connect by a name that the certificate has, set server.server_name, or have the certificate made anew. If the names are strange, something answers in place of the server.",
			"it is for %s, not for %s", and(names(leaf)), name)
	case p.Result.Reason == probe.TLSBadCert:
		return unknown("not looked at: the certificate is bad")
	case leaf.NotAfter.Sub(e.Now) < min(soon, leaf.NotAfter.Sub(leaf.NotBefore)/3): // some live for days by design
		return warn("Have the server's operator renew the certificate.", "ends soon: "+dates)
	}
	return pass("for %s, %s", name, dates)
}

func names(c *x509.Certificate) []string {
	out := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	return out[:min(len(out), 4)]
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

func judgeRTT(_ *Evidence, s *Server) finding {
	var best Path
	for _, p := range s.Paths {
		if p.Result.Connect > 0 && (best.Result.Connect == 0 || p.Result.Connect < best.Result.Connect) {
			best = p
		}
	}
	switch c := best.Result.Connect; {
	case c == 0:
		return unknown("TCP does not stand")
	case c > time.Second:
		return warn("The link is slow or full: backups take long. Compare with a ping to the router.", "%s to %s", millis(c), best.Addr)
	default:
		return pass("%s to %s", millis(c), best.Addr)
	}
}

func judgeClock(e *Evidence) finding {
	const remedy = "Set the clock and the time zone, and turn time synchronization on (timedatectl, w32tm /resync)."
	var seen []string
	for i := range e.Servers {
		s := &e.Servers[i]
		_, leaf := s.shown()
		if leaf == nil {
			continue
		}
		if e.Now.Before(leaf.NotBefore) {
			return fail(remedy, "the clock says %s, before the certificate of %s was made at %s", date(e.Now), s.label(), date(leaf.NotBefore))
		}
		seen = append(seen, fmt.Sprintf("%s fits the certificate of %s", date(e.Now), s.label()))
	}
	if e.Now.Before(e.Built) {
		return fail(remedy, "the clock says %s, before this program was made at %s", date(e.Now), date(e.Built))
	}
	if len(seen) == 0 {
		return unknown("no certificate was seen to compare %s with", date(e.Now))
	}
	return pass("%s", seen[0])
}
