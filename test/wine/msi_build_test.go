package wine

import (
	"archive/zip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/agent/config"
)

// The versions that are made for Wine, the older first, with the changes of
// build_test.go; and one twice as it is for users, in plain and again.
const (
	older, newer = "0.0.1", "0.0.2"
	plain, again = "plain", "again"
)

// libraryText stands for wintun.dll in the packages: Wine loads no driver.
const libraryText = "no library: the tests have a driver of their own\n"

// msiPrograms make, sign and read packages.
var msiPrograms = []string{"wixl", "msibuild", "msiinfo", "osslsigncode"}

// buildPackages makes MSIs below dir/packages, signed by a certificate of the test's own.
func buildPackages(dir string) error {
	for _, p := range msiPrograms {
		if _, err := exec.LookPath(p); err != nil {
			return nil // the tests that need packages say so
		}
	}
	dir = filepath.Join(dir, "packages")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	over, err := overlay(dir)
	if err != nil {
		return err
	}
	environment, err := inputs(dir)
	if err != nil {
		return err
	}
	for _, made := range []struct{ folder, version, only, flags string }{
		{older, older, "windows/amd64", "-overlay=" + over},
		{newer, newer, "windows/amd64", "-overlay=" + over},
		{plain, older, "windows", ""},
		{again, older, "windows", ""},
	} {
		c := exec.Command("go", "run", "./installer/dist", "-version", made.version, "-only", made.only, "-out", filepath.Join(dir, made.folder))
		c.Dir = "../.."
		c.Env = append(os.Environ(), append(environment, "GOFLAGS="+made.flags)...)
		if text, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("make packages %s: %w: %s", made.folder, err, text)
		}
	}
	return nil
}

// inputs writes what a builder has: the driver's library with its hash, and a
// certificate with its key.
func inputs(dir string) (environment []string, err error) {
	sums := ""
	for _, arch := range []string{"amd64", "arm64"} {
		name := filepath.Join("bin", arch, "wintun.dll")
		if err := put(filepath.Join(dir, "wintun", name), []byte(libraryText)); err != nil {
			return nil, err
		}
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(libraryText)), name)
	}
	authority, leaf, key, err := certificate()
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	for name, text := range map[string][]byte{
		"wintun/LICENSE.txt": []byte("the test's own\n"), "wintun.sha256": []byte(sums),
		"ca.pem": authority, "cert.pem": leaf, "key.pem": key,
	} {
		if err := put(filepath.Join(dir, name), text); err != nil {
			return nil, err
		}
	}
	return []string{"WINTUN=" + filepath.Join(dir, "wintun"), "WINTUN_SHA256=" + filepath.Join(dir, "wintun.sha256"),
		"WINDOWS_SIGN_CERT=" + filepath.Join(dir, "cert.pem"), "WINDOWS_SIGN_KEY=" + filepath.Join(dir, "key.pem")}, nil
}

func put(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// certificate makes one for signing code, with its authority, in PEM.
func certificate() (authority, leaf, key []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	leafKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, nil, err
	}
	from, to := time.Unix(0, 0), time.Now().AddDate(1, 0, 0)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "reach64 test authority"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	signer := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "reach64 test"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	leafDER, err := x509.CreateCertificate(rand.Reader, signer, ca, leafKey.Public(), caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, nil, nil, err
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return block("CERTIFICATE", caDER), block("CERTIFICATE", leafDER), block("PRIVATE KEY", keyDER), nil
}

// packages is the folder with the MSIs; it skips where they cannot be made.
func packages(t *testing.T) string {
	t.Helper()
	need(t)
	dir := filepath.Join(os.Getenv(insideVariable), "packages")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir
	}
	const reason = "one of the programs wixl, msibuild, msiinfo and osslsigncode is missing (test/wine/install.sh installs them)"
	if os.Getenv("REACH64_REQUIRE") == "all" {
		t.Fatal("REACH64_REQUIRE=all, but: " + reason)
	}
	t.Skip(reason)
	return ""
}

func msiFile(folder, version, arch string) string {
	return filepath.Join(folder, "reach64-"+version+"-windows-"+arch+".msi")
}

// limitOfPackages is how large a package may be, in bytes.
const limitOfPackages = 15e6

func TestPackagesAreReproducible(t *testing.T) {
	dir := packages(t)
	first, err := filepath.Glob(filepath.Join(dir, plain, "*"))
	if err != nil || len(first) != 8 { // of two processors MSI, zip and SBOM; policy and the sums
		t.Fatalf("made %v, %v, want 8 files", first, err)
	}
	for _, file := range first {
		a, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, again, filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		if string(a) != string(b) {
			t.Errorf("%s: %d and %d bytes, not the same", filepath.Base(file), len(a), len(b))
		}
		if len(a) > limitOfPackages {
			t.Errorf("%s has %d bytes, want at most %.0f", filepath.Base(file), len(a), limitOfPackages)
		}
	}
}

func TestSignatures(t *testing.T) {
	dir := packages(t)
	verify := func(file string) (string, error) {
		out, err := exec.Command("osslsigncode", "verify", "-CAfile", filepath.Join(dir, "ca.pem"), "-in", file).CombinedOutput()
		return string(out), err
	}
	work := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		msi := msiFile(filepath.Join(dir, plain), older, arch)
		archive, err := zip.OpenReader(strings.TrimSuffix(msi, ".msi") + ".zip")
		if err != nil {
			t.Fatal(err)
		}
		defer archive.Close()
		packed, err := fs.ReadFile(archive, strings.TrimSuffix(filepath.Base(msi), ".msi")+"/reach64.exe")
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(work, arch+".exe")
		if err := os.WriteFile(program, packed, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{msi, program} {
			if out, err := verify(file); err != nil || !strings.Contains(out, "reach64 test") {
				t.Errorf("%s: %v: %s", filepath.Base(file), err, out)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1
			changed := filepath.Join(work, "changed"+filepath.Ext(file))
			if err := os.WriteFile(changed, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := verify(changed); err == nil {
				t.Errorf("%s with one bit changed is verified: %s", filepath.Base(file), out)
			}
		}
	}
}

// TestTables looks at what Wine takes no notice of.
func TestTables(t *testing.T) {
	dir := packages(t)
	levels := slices.Sorted(slices.Values(config.LogLevels))
	for arch, template := range map[string]string{"amd64": "x64;1033", "arm64": "Arm64;1033"} {
		file := msiFile(filepath.Join(dir, plain), older, arch)
		if out, err := exec.Command("msiinfo", "suminfo", file).Output(); err != nil || !strings.Contains(string(out), "Template: "+template+"\n") {
			t.Errorf("summary for %s, want template %s: %v: %s", arch, template, err, out)
		}
		for table, wants := range map[string][]string{
			"Property":    {"UpgradeCode\t{A7E2C1B4-6D3F-4C58-9E21-0B64D5F17A90}", "ALLUSERS\t1", "REBOOT\tReallySuppress", "SERVER;PORT;MODE;SCOPE;LOGLEVEL;CONFIGFILE;NOSTART;INSTALLDIR;PURGE;"},
			"Upgrade":     {"\t0.0.0\t0.0.1\t\t768\t\tOLDER", "\t0.0.1\t\t\t2\t\tNEWER"},
			"Environment": {"path\t=-*PATH\t[~];[INSTALLDIR]\tprogram"},
			"Registry":    {`EventMessageFile` + "\t" + `#%%SystemRoot%\System32\EventCreate.exe`},
			"LaunchCondition": {"REMOVE OR NOT NEWER\tA newer version of reach64 is installed.", "MODE is [MODE], want auto or off.", "SCOPE is [SCOPE], want server or all.",
				"LOGLEVEL is [LOGLEVEL], want " + strings.Join(levels[:len(levels)-1], ", ") + " or " + levels[len(levels)-1], "PORT is [PORT], want a number from 1 to 65535.", "NOSTART is [NOSTART], want 1 or 0."},
			"Error":          {"1722\treach64 was not installed"},
			"ServiceInstall": {"\treach64\treach64\t16\t2\t1\t\tNsi[~]Tcpip[~][~]\tLocalSystem\t\trun\tprogram\t"},
			"ServiceControl": {"\treach64\t162\t\t1\tprogram"},
		} {
			out, err := exec.Command("msiinfo", "export", file, table).Output()
			for _, want := range wants {
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%s: %v, no %q in table %s:\n%s", arch, err, want, table, out)
				}
			}
		}
	}
}
