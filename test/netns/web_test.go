package netns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// web starts an HTTPS server in a namespace, which is this test binary again. It
// answers on addr only, with a certificate for the lab's server.
func (l *lab) web(s *space, addr string) {
	l.t.Helper()
	if l.ca == "" { // all have one certificate
		if err := l.certify(); err != nil {
			l.t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	s.start("web", "env", roleVariable+"=web", self, net.JoinHostPort(addr, strconv.Itoa(webPort)), l.file("web.pem")).waitFor("ready")
}

// certify makes an authority (l.ca) and a certificate with its key (web.pem).
func (l *lab) certify() error {
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: serverName}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		DNSNames: []string{serverName, portalName}, IPAddresses: []net.IP{l.server4.AsSlice()}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	caDER, err1 := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	der, err2 := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, caKey)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	l.ca = l.write("ca.pem", block("CERTIFICATE", caDER))
	l.write("web.pem", block("CERTIFICATE", der)+block("PRIVATE KEY", keyDER))
	return nil
}

// playWeb serves HTTPS on args[0] with the certificate and key in args[1] until
// the process is ended. GET /N gives N bytes, PUT tells how many came.
func playWeb(args []string) error {
	if len(args) != 2 {
		return errors.New("want an address and a file")
	}
	cert, err := tls.LoadX509KeyPair(args[1], args[1])
	if err != nil {
		return err
	}
	network := "tcp4"
	if strings.HasPrefix(args[0], "[") {
		network = "tcp6"
	}
	listener, err := net.Listen(network, args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, Handler: http.HandlerFunc(answer)}
	return srv.ServeTLS(listener, "", "")
}

// zeros gives zero bytes for ever.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func answer(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, n)
		return
	}
	n, _ := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64) // no number: no bytes
	_, _ = io.CopyN(w, zeros{}, n)                                        // the client sees that it is short
}
