package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write generated files anew")

// generated wants a checked-in file to be what is made anew.
func generated(t *testing.T, file string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what it would be now; run: go test ./cmd/reach64 -run %s -update", file, t.Name())
	}
}

// TestLicensesAreComplete: every module that is linked on some system, with its text.
func TestLicensesAreComplete(t *testing.T) {
	modules := map[string]string{} // folder by path
	for _, system := range []string{"linux", "windows", "darwin"} {
		c := exec.Command("go", "list", "-deps", "-json=Module,Standard", ".")
		c.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := c.Output()
		if err != nil {
			t.Fatalf("list modules for %s: %v", system, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				Module *struct {
					Path, Dir string
					Main      bool
				}
			}
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if p.Module != nil && !p.Module.Main {
				modules[p.Module.Path] = p.Module.Dir
			}
		}
	}
	if len(modules) < 10 {
		t.Fatalf("only %d modules", len(modules))
	}
	var paths []string
	for path := range modules {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	own, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	goLicense, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	byText := map[string][]string{string(own): {"reach64"}, string(goLicense): {"the Go standard library"}}
	order := []string{string(own), string(goLicense)}
	for _, path := range paths {
		text := licenseOf(t, modules[path])
		if byText[text] == nil {
			order = append(order, text)
		}
		byText[text] = append(byText[text], path)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "reach64 is made of itself, the Go standard library and %d modules.\n", len(modules))
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 78), strings.Join(byText[text], "\n"), strings.TrimSpace(text))
	}
	generated(t, "licenses.txt", b.Bytes())
}

// licenseOf returns the text of a module's licence, with its notices.
func licenseOf(t *testing.T, dir string) (text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICENSE") && !strings.HasPrefix(name, "LICENCE") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "NOTICE") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text += strings.ReplaceAll(string(b), "\r\n", "\n") + "\n"
	}
	if text == "" {
		t.Errorf("%s has no licence", dir)
	}
	return strings.TrimSpace(text)
}
