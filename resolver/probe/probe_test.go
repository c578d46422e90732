package probe

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "backup.example.com"

var (
	addr4 = netip.MustParseAddrPort("198.51.100.10:443")
	addr6 = netip.MustParseAddrPort("[64:ff9b::c633:640a]:443")
)

// dialer answers each connection with serve, on a goroutine of its own.
type dialer struct {
	serve func(net.Conn)
	err   error

	network, addr string
	wg            sync.WaitGroup
}

func (d *dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d.network, d.addr = network, addr
	if d.err != nil {
		return nil, d.err
	}
	if d.serve == nil { // a black hole
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	d.wg.Go(func() { defer far.Close(); d.serve(far) })
	return near, nil
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a leaf that ends after a time.
func (a *authority) issue(t *testing.T, ends time.Duration, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{host},
		IPAddresses: []net.IP{net.IP(addr4.Addr().AsSlice())}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(ends),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS completes a handshake and then expects silence until the end.
func serveTLS(t *testing.T, cert tls.Certificate, version uint16) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: version, SessionTicketsDisabled: true})
		if err := s.HandshakeContext(t.Context()); err != nil {
			return
		}
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("%d bytes came after the handshake: %x, %v", len(got), got, err)
		}
	}
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good, old := ca.issue(t, time.Hour, nil), ca.issue(t, -time.Minute, nil)
	client := ca.issue(t, time.Hour, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	leaf, err := x509.ParseCertificate(good.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	certPin, keyPin := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	tests := []struct {
		name     string
		cert     tls.Certificate
		version  uint16
		target   Target
		reason   string
		answered bool
	}{
		{"good certificate", good, 0, Target{Name: host, CAs: ca.pool}, OK, true},
		{"good certificate, TLS 1.2", good, tls.VersionTLS12, Target{Name: host, CAs: ca.pool}, OK, true},
		{"only TLS 1.1", good, tls.VersionTLS11, Target{Name: host, CAs: ca.pool}, TLSFailed, false},
		{"IPv4 literal as name", good, 0, Target{Name: "198.51.100.10", CAs: ca.pool}, OK, true},
		{"another IPv4 literal", good, 0, Target{Name: "198.51.100.11", CAs: ca.pool}, TLSNameMismatch, true},
		{"server name beside the name", good, 0, Target{Name: "198.51.100.11", ServerName: host, CAs: ca.pool}, OK, true},
		{"wrong name", good, 0, Target{Name: "other.example.com", CAs: ca.pool}, TLSNameMismatch, true},
		{"unknown authority", good, 0, Target{Name: host, CAs: other.pool}, TLSAuthority, true},
		{"expired", old, 0, Target{Name: host, CAs: ca.pool}, TLSExpired, true},
		{"expired and of unknown authority", old, 0, Target{Name: host, CAs: other.pool}, TLSExpired, true},
		{"not for servers", client, 0, Target{Name: host, CAs: ca.pool}, TLSBadCert, true},
		{"pin of the certificate", good, 0, Target{Name: host, PinSHA256: [][]byte{certPin[:]}}, OK, true},
		{"pin of the key, second in the list", good, 0, Target{Name: host, PinSHA256: [][]byte{make([]byte, 32), keyPin[:]}}, OK, true},
		{"a pin decides alone: wrong name, no authority", good, 0, Target{Name: "other", CAs: other.pool, PinSHA256: [][]byte{keyPin[:]}}, OK, true},
		{"wrong pin, authority known", good, 0, Target{Name: host, CAs: ca.pool, PinSHA256: [][]byte{make([]byte, 32)}}, TLSPinMismatch, true},
		{"cut pin", good, 0, Target{Name: host, CAs: ca.pool, PinSHA256: [][]byte{keyPin[:31]}}, TLSPinMismatch, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &dialer{serve: serveTLS(t, tt.cert, tt.version)}
			tt.target.Addr, tt.target.TLS = addr6, true
			r := Probe(t.Context(), d, tt.target)
			d.wg.Wait()
			if r.Reason != tt.reason || r.Answered != tt.answered || r.Reachable != (tt.reason == OK) {
				t.Errorf("got %+v, want %s, answered %v", r, tt.reason, tt.answered)
			}
			if (r.Err == "") != (tt.reason == OK) || r.Connect <= 0 || r.At.IsZero() {
				t.Errorf("got %+v", r)
			}
			if want := (r.Handshake > 0); want != tt.answered || want != strings.Contains(r.Subject, "leaf") || want == r.NotAfter.IsZero() {
				t.Errorf("handshake %v, subject %q, not after %v", r.Handshake, r.Subject, r.NotAfter)
			}
			if d.network != "tcp6" || d.addr != addr6.String() {
				t.Errorf("dialled %s %s", d.network, d.addr)
			}
		})
	}
}

// TestPlain: without TLS an open port is enough, and nothing is sent.
func TestPlain(t *testing.T) {
	var sent []byte
	d := &dialer{serve: func(c net.Conn) { sent, _ = io.ReadAll(c) }}
	r := Probe(t.Context(), d, Target{Name: host, Addr: addr4})
	d.wg.Wait()
	if !r.Reachable || !r.Answered || r.Reason != OK || len(sent) > 0 || d.network != "tcp4" {
		t.Errorf("got %+v over %s, sent %x", r, d.network, sent)
	}
}

func TestConnectErrors(t *testing.T) {
	sys := func(n syscall.Errno) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", n)} }
	tests := []struct {
		name, reason string
		err          error
	}{
		{"closed port", Refused, sys(syscall.ECONNREFUSED)},
		{"closed port, Windows", Refused, sys(10061)},
		{"no route", Unreachable, sys(syscall.ENETUNREACH)},
		{"host unreachable", Unreachable, sys(syscall.EHOSTUNREACH)},
		{"no IPv4 address here, Windows", Unreachable, sys(10051)},
		{"reset", Reset, sys(syscall.ECONNRESET)},
		{"kernel gave up", Timeout, sys(syscall.ETIMEDOUT)},
		{"firewall", NotPermitted, sys(syscall.EPERM)},
		{"gVisor's refusal has no number", Refused, &net.OpError{Op: "connect", Err: errors.New("connection was refused")}},
		{"gVisor: no route", Unreachable, &net.OpError{Op: "connect", Err: errors.New("no route to host")}},
		{"something else", ConnectFailed, errors.New("no idea")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Probe(t.Context(), &dialer{err: tt.err}, Target{Name: host, Addr: addr4, TLS: true})
			if r.Reason != tt.reason || r.Reachable || r.Answered || r.Err != tt.err.Error() || r.Connect != 0 {
				t.Errorf("got %+v, want %s", r, tt.reason)
			}
		})
	}
}

// TestTimes: the probe is limited, and says where it hung. Time is synthetic.
func TestTimes(t *testing.T) {
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	tests := []struct {
		name   string
		serve  func(net.Conn)
		limit  time.Duration // of the context, 0: none
		cancel time.Duration
		reason string
		took   time.Duration
	}{
		{"black hole", nil, 0, 0, Timeout, Limit},
		{"black hole, short limit", nil, time.Second, 0, Timeout, time.Second},
		{"TCP stands, TLS is silent", silent, 0, 0, TLSTimeout, Limit},
		{"cancelled", silent, 0, time.Second, Cancelled, time.Second},
		{"closed during the handshake", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, 0, 0, Reset, 0},
		{"no TLS there", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_, _ = io.Copy(io.Discard, c)
		}, 0, 0, TLSFailed, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.limit > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.limit)
					defer cancel()
				}
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				start := time.Now()
				d := &dialer{serve: tt.serve}
				r := Probe(ctx, d, Target{Name: host, Addr: addr4, TLS: true})
				if took := time.Since(start); r.Reason != tt.reason || r.Reachable || took != tt.took {
					t.Errorf("got %+v after %v, want %s after %v", r, took, tt.reason, tt.took)
				}
				d.wg.Wait()
			})
		})
	}
}

// TestNameSent: the name goes out as SNI, an address does not (RFC 6066).
func TestNameSent(t *testing.T) {
	for name, want := range map[string]bool{host: true, "198.51.100.10": false} {
		var sent []byte
		d := &dialer{serve: func(c net.Conn) {
			buf := make([]byte, 4096)
			n, _ := c.Read(buf)
			sent = buf[:n]
		}}
		Probe(t.Context(), d, Target{Name: name, Addr: addr4, TLS: true})
		d.wg.Wait()
		if got := bytes.Contains(sent, []byte(name)); got != want {
			t.Errorf("%s in the ClientHello: %v, want %v", name, got, want)
		}
	}
}
