package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// signing is the certificate for Windows' programs and packages, by these variables of
// the environment; without the first nothing is signed.
type signing struct {
	cert      string // WINDOWS_SIGN_CERT: certificate and chain, PEM
	key       string // WINDOWS_SIGN_KEY: private key, PEM; with a module the URI of a key in a token
	pass      string // WINDOWS_SIGN_PASS: file with the password of the key
	module    string // WINDOWS_SIGN_PKCS11: module of the token
	timestamp string // WINDOWS_SIGN_TIMESTAMP: URL of an authority for timestamps (RFC 3161)
}

func findSigning() (signing, error) {
	s := signing{os.Getenv("WINDOWS_SIGN_CERT"), os.Getenv("WINDOWS_SIGN_KEY"), os.Getenv("WINDOWS_SIGN_PASS"), os.Getenv("WINDOWS_SIGN_PKCS11"), os.Getenv("WINDOWS_SIGN_TIMESTAMP")}
	if (s.cert == "") != (s.key == "") {
		return signing{}, fmt.Errorf("WINDOWS_SIGN_CERT and WINDOWS_SIGN_KEY go together: one is missing")
	}
	return s, nil
}

// sign signs a program or an MSI in its place (Authenticode). Without a timestamp the
// time of signing is that of the source, and equal input gives equal bytes.
func (d *dist) sign(ctx context.Context, file string) error {
	s := d.signing
	if s.cert == "" {
		return nil
	}
	args := []string{"sign", "-h", "sha256", "-n", "reach64 " + d.version, "-i", "https://github.com/reach64/reach64", "-certs", s.cert, "-key", s.key}
	for _, option := range []struct{ name, value string }{{"-readpass", s.pass}, {"-pkcs11module", s.module}, {"-ts", s.timestamp}} {
		if option.value != "" {
			args = append(args, option.name, option.value)
		}
	}
	if s.timestamp == "" {
		args = append(args, "-time", strconv.FormatInt(d.when.Unix(), 10))
	}
	signed := file + ".signed"
	if err := call(exec.CommandContext(ctx, "osslsigncode", append(args, "-in", file, "-out", signed)...), "sign "+file); err != nil {
		return err
	}
	if err := os.Rename(signed, file); err != nil {
		return fmt.Errorf("sign %s: %w", file, err)
	}
	return nil
}
