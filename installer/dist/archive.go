package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// archive packs the binary with its documents: a zip for Windows, a tar.gz elsewhere.
func (d *dist) archive(t target, binary string) error {
	folder := fmt.Sprintf("reach64-%s-%s-%s", d.version, t.os, t.arch)
	doc := filepath.Join(d.stage, "share", "doc", "reach64")
	files := []string{binary, filepath.Join(doc, "README.md"), filepath.Join(doc, "CHANGELOG.md"), filepath.Join(doc, "LICENSES.txt"), "LICENSE",
		"agent/config/reference.toml"}
	if t.os == "linux" {
		files = append(files, "installer/linux/reach64.service")
	}
	if t.os == "windows" && d.wintun.folder != "" {
		msi := filepath.Join(filepath.Dir(binary), "msi") // with the names that they have there
		files = append(files, filepath.Join(msi, "wintun.dll"), filepath.Join(msi, "wintun-LICENSE.txt"))
	}
	var b bytes.Buffer
	pack, name := packTar, folder+".tar.gz"
	if t.os == "windows" {
		pack, name = packZip, folder+".zip"
	}
	if err := pack(d, &b, folder, files); err != nil {
		return fmt.Errorf("pack archive: %w", err)
	}
	return put(filepath.Join(d.out, name), b.Bytes())
}

func mode(file string) int64 {
	if b := filepath.Base(file); b == "reach64" || b == "reach64.exe" {
		return 0o755
	}
	return 0o644
}

func packTar(d *dist, b *bytes.Buffer, folder string, files []string) error {
	z, err := gzip.NewWriterLevel(b, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: folder + "/" + filepath.Base(f), Mode: mode(f), Size: int64(len(text)), ModTime: d.when,
			Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return z.Close()
}

func packZip(d *dist, b *bytes.Buffer, folder string, files []string) error {
	w := zip.NewWriter(b)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		e, err := w.CreateHeader(&zip.FileHeader{Name: folder + "/" + filepath.Base(f), Method: zip.Deflate, Modified: d.when})
		if err != nil {
			return err
		}
		if _, err := e.Write(text); err != nil {
			return err
		}
	}
	return w.Close()
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
