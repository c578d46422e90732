package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A part is a file of an archive, and its name there.
type part struct{ from, to string }

// archive packs the binary with its documents: a zip for Windows, a tar.gz elsewhere.
func (d *dist) archive(t target, binary string) error {
	folder := fmt.Sprintf("reach64-%s-%s-%s", d.version, t.os, t.arch)
	doc := filepath.Join(d.stage, "share", "doc", "reach64")
	files := []string{binary, filepath.Join(doc, "README.md"), filepath.Join(doc, "CHANGELOG.md"), filepath.Join(doc, "LICENSES.txt"), "LICENSE",
		"agent/config/reference.toml"}
	if t.os == "linux" {
		files = append(files, "installer/linux/reach64.service", "installer/container/Containerfile")
	}
	if t.os == "windows" && d.wintun.folder != "" {
		msi := filepath.Join(filepath.Dir(binary), "msi") // with the names that they have there
		files = append(files, filepath.Join(msi, "wintun.dll"), filepath.Join(msi, "wintun-LICENSE.txt"))
	}
	var parts []part
	for _, f := range files {
		parts = append(parts, part{f, folder + "/" + filepath.Base(f)})
	}
	pack, name := d.packTar, folder+".tar.gz"
	if t.os == "windows" {
		pack, name = d.packZip, folder+".zip"
	}
	return pack(name, parts)
}

// management packs what management tools want to have: templates, a profile and
// examples, for all systems.
func (d *dist) management() error {
	folder := fmt.Sprintf("reach64-%s-policy", d.version)
	parts := []part{{"docs/rollout.md", folder + "/rollout.md"}, {"LICENSE", folder + "/LICENSE"}}
	for _, top := range []struct{ from, to string }{
		{"installer/windows/policy", "PolicyDefinitions"}, {"installer/rollout", "examples"}, {"installer/container", "container"},
	} {
		err := filepath.WalkDir(top.from, func(file string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				parts = append(parts, part{file, folder + "/" + top.to + strings.TrimPrefix(filepath.ToSlash(file), top.from)})
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("list files of policy: %w", err)
		}
	}
	for _, name := range []string{label + ".schema.json", "reach64.mobileconfig"} {
		parts = append(parts, part{"installer/darwin/" + name, folder + "/macOS/" + name})
	}
	return d.packZip(folder+".zip", parts)
}

func (p part) mode() int64 {
	if b := filepath.Base(p.from); b == "reach64" || b == "reach64.exe" || filepath.Ext(b) == ".sh" {
		return 0o755
	}
	return 0o644
}

func (d *dist) packTar(name string, parts []part) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("pack archive: %w", err)
	}
	w := tar.NewWriter(z)
	for _, p := range parts {
		text, err := os.ReadFile(p.from)
		if err != nil {
			return fmt.Errorf("pack archive: %w", err)
		}
		h := &tar.Header{Name: p.to, Mode: p.mode(), Size: int64(len(text)), ModTime: d.when, Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("pack archive: %w", err)
		}
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("pack archive: %w", err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return fmt.Errorf("pack archive: %w", err)
	}
	return put(filepath.Join(d.out, name), b.Bytes())
}

func (d *dist) packZip(name string, parts []part) error {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, p := range parts {
		text, err := os.ReadFile(p.from)
		if err != nil {
			return fmt.Errorf("pack archive: %w", err)
		}
		h := &zip.FileHeader{Name: p.to, Method: zip.Deflate, Modified: d.when}
		h.SetMode(fs.FileMode(p.mode()))
		e, err := w.CreateHeader(h)
		if err != nil {
			return fmt.Errorf("pack archive: %w", err)
		}
		if _, err := e.Write(text); err != nil {
			return fmt.Errorf("pack archive: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("pack archive: %w", err)
	}
	return put(filepath.Join(d.out, name), b.Bytes())
}

// sums writes SHA256SUMS as sha256sum(1) reads it.
func (d *dist) sums() error {
	entries, err := os.ReadDir(d.out) // sorted by name
	if err != nil {
		return fmt.Errorf("list packages: %w", err)
	}
	var list strings.Builder
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(d.out, e.Name()))
		if err != nil {
			return fmt.Errorf("read package: %w", err)
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(text), e.Name())
		fmt.Printf("%9d  %s\n", len(text), e.Name())
	}
	return put(filepath.Join(d.out, "SHA256SUMS"), []byte(list.String()))
}
