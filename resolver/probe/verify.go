package probe

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// verify checks the identity. The reason is OK or says why not.
func (t Target) verify(certs []*x509.Certificate, now time.Time) (reason, detail string) {
	if len(certs) == 0 {
		return TLSNoCertificate, "the server sent no certificate"
	}
	if len(t.PinSHA256) > 0 {
		return t.verifyPin(certs[0])
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: t.CAs, Intermediates: between, CurrentTime: now})
	if err != nil {
		return chainReason(err, certs[0], now)
	}
	if err := certs[0].VerifyHostname(t.name()); err != nil {
		return TLSNameMismatch, err.Error()
	}
	return OK, ""
}

func chainReason(err error, leaf *x509.Certificate, now time.Time) (reason, detail string) {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case now.Before(leaf.NotBefore) || now.After(leaf.NotAfter), errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return TLSExpired, fmt.Sprintf("%v (the clock here says %s)", err, now.UTC().Format(time.RFC3339))
	case errors.As(err, &unknown):
		return TLSAuthority, err.Error()
	default:
		return TLSBadCert, err.Error()
	}
}

func (t Target) verifyPin(leaf *x509.Certificate) (reason, detail string) {
	cert, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	if slices.ContainsFunc(t.PinSHA256, func(pin []byte) bool { return bytes.Equal(pin, cert[:]) || bytes.Equal(pin, key[:]) }) {
		return OK, ""
	}
	return TLSPinMismatch, fmt.Sprintf("no pin matches; the certificate's SHA-256 is %s, its key's %s",
		hex.EncodeToString(cert[:]), hex.EncodeToString(key[:]))
}
