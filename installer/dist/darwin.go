package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/reach64/reach64/installer/macpkg"
)

// macArch are Apple's names of processors.
var macArch = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

// label names the service on macOS.
const label = "com.github.reach64"

// prerelease is what Apple's installer does not order.
var prerelease = regexp.MustCompile(`-.*$`)

// pkg makes a flat package for macOS, unsigned.
func (d *dist) pkg(t target, binary string) error {
	p := macpkg.Package{Identifier: label, Version: prerelease.ReplaceAllString(d.version, ""), Title: "reach64 " + d.version,
		Host: macArch[t.arch], MinOS: "12.0", When: d.when}
	const data = "Library/Application Support/Reach64/"
	files := []struct {
		from, to string
		mode     fs.FileMode
	}{
		{binary, "usr/local/bin/reach64", 0o755},
		{"installer/darwin/" + label + ".plist", "Library/LaunchDaemons/" + label + ".plist", 0o644},
		{"installer/linux/reach64.toml", data + "reach64.toml.example", 0o644},
		{filepath.Join(d.stage, "share/doc/reach64/LICENSES.txt"), data + "LICENSES.txt", 0o644},
	}
	pages, err := filepath.Glob(filepath.Join(d.stage, "share/man/man*/*"))
	if err != nil {
		return fmt.Errorf("find man pages: %w", err)
	}
	for _, page := range pages {
		files = append(files, struct {
			from, to string
			mode     fs.FileMode
		}{page, "usr/local" + strings.TrimPrefix(filepath.ToSlash(page), filepath.ToSlash(d.stage)), 0o644})
	}
	for _, f := range files {
		text, err := os.ReadFile(f.from)
		if err != nil {
			return fmt.Errorf("read for pkg: %w", err)
		}
		p.Files = append(p.Files, macpkg.File{Name: f.to, Mode: f.mode, Data: text})
	}
	for from, to := range map[string]*[]byte{"installer/darwin/preinstall": &p.Preinstall, "installer/darwin/postinstall": &p.Postinstall, "LICENSE": &p.Licence} {
		if *to, err = os.ReadFile(from); err != nil {
			return fmt.Errorf("read for pkg: %w", err)
		}
	}
	text, err := p.Bytes()
	if err != nil {
		return fmt.Errorf("make pkg: %w", err)
	}
	return put(filepath.Join(d.out, fmt.Sprintf("reach64-%s-%s.pkg", d.version, macArch[t.arch])), text)
}
