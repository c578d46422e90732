// Package probe finds out whether a server is reachable over a path: a TCP
// handshake and, if wanted, a TLS handshake with the server's identity checked.
// Nothing is sent after the handshake, no close_notify either.
//
// It does not choose addresses or paths, retry, or remember. TLS is 1.2 or later
// (RFC 5246, RFC 8446), names are checked by RFC 6125 as crypto/x509 does.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"time"
)

// Limit is how long a probe takes at most when the context allows longer.
const Limit = 10 * time.Second

// Dialer opens connections; net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Target is what to probe.
type Target struct {
	Name    string         // host name or IP address as configured
	Addr    netip.AddrPort // where to connect
	Network string         // "tcp4" or "tcp6"; empty: by Addr
	TLS     bool           // handshake TLS after TCP
	// ServerName is the name in the certificate, empty: Name.
	ServerName string
	CAs        *x509.CertPool // nil: the system's
	// PinSHA256 are SHA-256 digests, 32 bytes each, either of the leaf
	// certificate (DER) or of its public key (SubjectPublicKeyInfo, RFC 7469). With
	// pins the certificate is accepted if and only if one matches: name, expiry and
	// authority do not count then.
	PinSHA256 [][]byte
}

// The words of Result.Reason.
const (
	OK               = "ok"
	NotYetProbed     = "not-yet-probed"
	Cancelled        = "cancelled"
	Refused          = "refused"        // TCP: nothing listens
	Timeout          = "timeout"        // TCP: no answer
	Unreachable      = "unreachable"    // no route, or a router says so
	Reset            = "reset"          // closed by the other end or something between
	NotPermitted     = "not-permitted"  // by a local firewall or sandbox
	ConnectFailed    = "connect-failed" // anything else before TCP stood
	TLSTimeout       = "tls-timeout"    // TCP stands, TLS is silent: often an MTU fault
	TLSFailed        = "tls-failed"     // no TLS there, or no version in common
	TLSNameMismatch  = "tls-name-mismatch"
	TLSAuthority     = "tls-unknown-authority"
	TLSExpired       = "tls-expired" // or not valid yet, or our clock is wrong
	TLSPinMismatch   = "tls-pin-mismatch"
	TLSBadCert       = "tls-invalid-certificate"
	TLSNoCertificate = "tls-no-certificate"
)

// Result is what a probe found.
type Result struct {
	// Reachable: TCP stands, and with TLS the identity is proven.
	Reachable bool
	// Answered: the handshakes were completed. With Reachable false the path works
	// but whoever is there did not prove to be the server.
	Answered  bool
	Reason    string              // one of the words above
	Err       string              // the cause in full, "" when reachable
	Connect   time.Duration       // of TCP; 0: it did not stand
	Handshake time.Duration       // of TLS; 0: not completed
	At        time.Time           // when the probe ended
	Subject   string              // of the leaf certificate
	NotAfter  time.Time           // of the leaf certificate
	Chain     []*x509.Certificate // what the server sent, leaf first, trusted or not
}

// Probe probes t once. It ends with ctx, and after Limit.
func Probe(ctx context.Context, d Dialer, t Target) Result {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	r := run(ctx, d, t)
	r.At = time.Now()
	r.Reachable = r.Reason == OK
	return r
}

func run(ctx context.Context, d Dialer, t Target) Result {
	start := time.Now()
	conn, err := d.DialContext(ctx, t.network(), t.Addr.String())
	if err != nil {
		return Result{Reason: connectReason(ctx, err), Err: err.Error()}
	}
	defer conn.Close()
	// A handshake on a coarse clock may take no time at all.
	r := Result{Reason: OK, Answered: true, Connect: max(time.Since(start), 1)}
	if !t.TLS {
		return r
	}
	return t.handshake(ctx, conn, r)
}

func (t Target) network() string {
	switch {
	case t.Network != "":
		return t.Network
	case t.Addr.Addr().Is4():
		return "tcp4"
	default:
		return "tcp6"
	}
}

// handshake completes TLS before it looks at the certificate, so that a path that
// works and an identity that is not proven can be told apart. conn is closed
// below TLS by the caller, which sends nothing.
func (t Target) handshake(ctx context.Context, conn net.Conn, r Result) Result {
	start := time.Now()
	c := tls.Client(conn, &tls.Config{
		ServerName:         t.name(),
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // verify does it below, after the handshake
	})
	if err := c.HandshakeContext(ctx); err != nil {
		r.Answered, r.Reason, r.Err = false, handshakeReason(ctx, err), err.Error()
		return r
	}
	r.Handshake = max(time.Since(start), 1)
	certs := c.ConnectionState().PeerCertificates
	r.Chain = certs
	if len(certs) > 0 {
		r.Subject, r.NotAfter = certs[0].Subject.String(), certs[0].NotAfter
	}
	r.Reason, r.Err = t.verify(certs, time.Now())
	return r
}

// name is what the certificate must name.
func (t Target) name() string {
	if t.ServerName != "" {
		return t.ServerName
	}
	return t.Name
}
