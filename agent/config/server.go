package config

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/reach64/reach64/resolver/nat64"
)

// server reads one table [[server]].
func (v *validator) server(key string, r rawServer) Server {
	s := Server{Name: strings.TrimSuffix(r.Name, "."), Port: 443, TLS: r.TLS == nil || *r.TLS, ServerName: r.ServerName, CAFile: r.CAFile}
	switch a, err := netip.ParseAddr(s.Name); {
	case s.Name == "":
		v.bad(key+".name", "is missing: give the server's host name or IPv4 address")
	case err == nil && !a.Is4():
		v.bad(key+".name", "%q is an IPv6 address: such a server needs no help; give its host name or IPv4 address", s.Name)
	case err == nil:
		s.IPv4 = append(s.IPv4, a)
	case !isHostName(s.Name):
		v.bad(key+".name", "%q is neither a host name nor an IPv4 address", s.Name)
	}
	if r.Port != nil {
		if *r.Port < 1 || *r.Port > 65535 {
			v.bad(key+".port", "%d is not a TCP port (1 to 65535)", *r.Port)
		}
		s.Port = uint16(*r.Port)
	}
	for i, text := range r.IPv4 {
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() || !nat64.NonGlobalAlways.Allows(nat64.WellKnown(), a) {
			v.bad(fmt.Sprintf("%s.ipv4[%d]", key, i+1), "%q is not an IPv4 address that a server can have", text)
			continue
		}
		if !slices.Contains(s.IPv4, a) {
			s.IPv4 = append(s.IPv4, a)
		}
	}
	for i, text := range r.DNS {
		a, err := netip.ParseAddr(text)
		if err != nil || a.IsUnspecified() || a.IsMulticast() || s.IsLiteral() {
			v.bad(fmt.Sprintf("%s.dns[%d]", key, i+1), "%q is not the address of a name server for a host name", text)
			continue
		}
		s.DNS = append(s.DNS, a)
	}
	if s.ServerName == "" {
		s.ServerName = s.Name
	}
	v.identity(key, r, &s)
	return s
}

// identity reads what the server's certificate is checked against.
func (v *validator) identity(key string, r rawServer, s *Server) {
	if !s.TLS && (r.ServerName != "" || r.CAFile != "" || len(r.PinSHA256) > 0) {
		v.bad(key+".tls", "is false, yet server_name, ca_file or pin_sha256 is given")
	}
	for i, text := range r.PinSHA256 {
		pin, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		if err != nil || len(pin) != 32 {
			v.bad(fmt.Sprintf("%s.pin_sha256[%d]", key, i+1), "%q is not a SHA-256 in hex (64 digits, colons allowed)", text)
			continue
		}
		s.Pins = append(s.Pins, pin)
	}
	if r.CAFile == "" || !s.TLS {
		return
	}
	pem, err := v.read(r.CAFile)
	if err != nil {
		v.bad(key+".ca_file", "read certificates: %v", err)
		return
	}
	s.CAs = x509.NewCertPool()
	if !s.CAs.AppendCertsFromPEM(pem) {
		v.bad(key+".ca_file", "%s holds no PEM certificate", r.CAFile)
	}
}

// isHostName accepts letters, digits, hyphens, underscores and dots, RFC 1123
// section 2.1 with the usual underscore.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	return true
}
