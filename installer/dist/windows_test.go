package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVersionForWindows(t *testing.T) {
	for version, want := range map[string]string{
		"1.2.3": "1.2.3", "1.2.3-rc.1": "1.2.3", "255.255.65535": "255.255.65535",
		"256.0.0": "", "1.256.0": "", "1.2.65536": "", "1.2.99999999999999999999": "",
	} {
		if got, err := msiVersion(version); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v, want %q", version, got, err, want)
		}
	}
}

// TestIdentifiersStay: with a changed one Windows would take a version for another product.
func TestIdentifiersStay(t *testing.T) {
	if got, want := msiID("product", "0.0.1", "amd64"), "6904526B-E049-53A8-9133-2FA9D2730103"; got != want {
		t.Errorf("product code of 0.0.1 for amd64: %s, want %s", got, want)
	}
	if msiID("product", "0.0.1", "amd64") == msiID("product", "0.0.1", "arm64") || msiID("package", "x") == msiID("product", "x") {
		t.Error("two things have one identifier")
	}
}

func TestStatements(t *testing.T) {
	list, err := statements("../windows/tables.sql", "1.2.3")
	if err != nil || len(list) == 0 {
		t.Fatalf("%d, %v", len(list), err)
	}
	for _, s := range list {
		if word, _, _ := strings.Cut(s, " "); word != "INSERT" && word != "UPDATE" && word != "CREATE" || strings.Contains(s, "${") {
			t.Errorf("no statement, or not filled in: %s", s)
		}
	}
}

// property is an identifier with the type of its value.
type property struct{ id, kind uint32 }

// summary is an MSI's summary with these properties at its end (MS-OLEPS).
func summary(values ...property) []byte {
	u32 := binary.LittleEndian.AppendUint32
	section := u32(u32(nil, 0), uint32(len(values)))
	at := uint32(8 + 8*len(values))
	var tail []byte
	for _, p := range values {
		section = u32(u32(section, p.id), at+uint32(len(tail)))
		tail = append(u32(tail, p.kind), "12345678"...)
	}
	section = append(section, tail...)
	b := append(bytes.Repeat([]byte{7}, 512), make([]byte, 28)...) // other sectors, header of the set
	return append(u32(append(b, summaryInformation...), 48), section...)
}

func TestStamp(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	msi := summary(property{1, 2}, property{createdAt, isFiletime}, property{14, 3}, property{savedAt, isFiletime})
	want := binary.LittleEndian.AppendUint64(nil, 134117966450000000) // by python: (unix + 11644473600) * 10**7
	if err := stamp(msi, when); err != nil || bytes.Count(msi, want) != 2 || bytes.Count(msi, []byte("12345678")) != 2 {
		t.Errorf("%v, set %d times, %d others as they were", err, bytes.Count(msi, want), bytes.Count(msi, []byte("12345678")))
	}
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"no summary":          bytes.Repeat([]byte{7}, 600),
		"one time":            summary(property{createdAt, isFiletime}),
		"a time of text":      summary(property{createdAt, isFiletime}, property{savedAt, 30}),
		"two summaries":       append(summary(property{createdAt, isFiletime}, property{savedAt, isFiletime}), summaryInformation...),
		"an end in a value":   msi[:len(msi)-1],
		"an end in the place": append(make([]byte, 28), summaryInformation...),
	} {
		before := bytes.Clone(b)
		if err := stamp(b, when.AddDate(1, 0, 0)); err == nil {
			t.Errorf("%s: no error", name)
		}
		if len(before) != len(b) {
			t.Errorf("%s: another length", name)
		}
	}
}

func FuzzStamp(f *testing.F) {
	f.Add(summary(property{createdAt, isFiletime}, property{savedAt, isFiletime}))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = stamp(b, time.Unix(0, 0)) }) // must not panic
}

func TestLibraryOfTheDriver(t *testing.T) {
	t.Chdir("../..") // dist runs in the root of the source
	t.Setenv("WINTUN", "")
	w, err := findWintun()
	if err != nil || len(w.sums["amd64"]) != 64 || w.sums["amd64"] == w.sums["arm64"] {
		t.Errorf("%+v, %v, want a hash for each processor", w, err)
	}
	dir := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		if err := put(filepath.Join(dir, "bin", arch, "wintun.dll"), []byte("another library")); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("WINTUN", dir)
	if _, err := findWintun(); err == nil || !strings.Contains(err.Error(), "want "+w.sums["amd64"]) {
		t.Errorf("another library: %v, want an error with both hashes", err)
	}
	sums := filepath.Join(dir, "sums")
	t.Setenv("WINTUN_SHA256", sums)
	const hash = "b9fa31a4cb03ee2c9d10b50d0ec12be0ccfd0c2d3a0e8ed9e5bd0b8dd9a7eef4"
	if err := os.WriteFile(sums, []byte(hash+"  bin/amd64/wintun.dll\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := findWintun(); err == nil || !strings.Contains(err.Error(), hash) {
		t.Errorf("another list: %v, want an error with its hash", err)
	}
	t.Setenv("WINTUN", t.TempDir())
	if _, err := findWintun(); err == nil {
		t.Error("a folder without the library, and a list with one hash: no error")
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := needPrograms(map[string]string{"wixl": "wixl", "msibuild": "msitools"})
	if err == nil || !strings.Contains(err.Error(), "apt-get install msitools wixl") {
		t.Errorf("%v, want what to install", err)
	}
}

func TestCertificateWithoutKey(t *testing.T) {
	t.Setenv("WINDOWS_SIGN_CERT", "cert.pem")
	t.Setenv("WINDOWS_SIGN_KEY", "")
	if _, err := findSigning(); err == nil || !strings.Contains(err.Error(), "WINDOWS_SIGN_KEY") {
		t.Errorf("%v, want an error that names what is missing", err)
	}
}
