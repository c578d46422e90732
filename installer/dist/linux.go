package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// rpmArch are rpm's names of processors; deb's are Go's.
var rpmArch = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// pack makes a deb or rpm by nfpm.
func (d *dist) pack(ctx context.Context, t target, format, binary string) error {
	recipe, err := os.ReadFile("installer/linux/nfpm.yaml")
	if err != nil {
		return fmt.Errorf("read recipe: %w", err)
	}
	if err := d.touch(); err != nil {
		return err
	}
	pages, err := d.manPages()
	if err != nil {
		return err
	}
	var unknown error
	text := os.Expand(string(recipe), func(name string) string {
		switch name {
		case "VERSION":
			return d.version
		case "ARCH":
			return t.arch
		case "BINARY":
			return binary
		case "SHARE":
			return filepath.Join(d.stage, "share")
		case "CHANGELOG":
			if format == "rpm" { // a deb has its own, in share
				return filepath.Join(d.stage, "changelog.yaml")
			}
			return ""
		case "MANPAGES":
			return pages
		case "MTIME":
			return d.when.Format(time.RFC3339)
		}
		unknown = fmt.Errorf("fill in recipe: there is no ${%s}", name)
		return ""
	})
	if unknown != nil {
		return unknown
	}
	file := filepath.Join(d.stage, "nfpm.yaml")
	if err := put(file, []byte(text)); err != nil {
		return err
	}
	name := fmt.Sprintf("reach64_%s_%s.deb", debVersion(d.version), t.arch)
	if format == "rpm" {
		name = fmt.Sprintf("reach64-%s-1.%s.rpm", debVersion(d.version), rpmArch[t.arch])
	}
	c := exec.CommandContext(ctx, d.tools["nfpm"], "package", "--config", file, "--packager", format, "--target", filepath.Join(d.out, name))
	c.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(d.when.Unix(), 10))
	return call(c, "make "+format)
}

// touch gives everything that is packed from a folder the time of the source.
func (d *dist) touch() error {
	return filepath.WalkDir(filepath.Join(d.stage, "share"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("walk stage: %w", err)
		}
		return os.Chtimes(path, d.when, d.when)
	})
}

// manPages are the recipe's lines for an rpm, which wants to know each document
// as one.
func (d *dist) manPages() (lines string, err error) {
	man := filepath.Join(d.stage, "share", "man")
	pages, err := filepath.Glob(filepath.Join(man, "man*", "*"))
	if err != nil {
		return "", fmt.Errorf("find man pages: %w", err)
	}
	for _, p := range pages {
		lines += fmt.Sprintf("  - {src: %q, dst: %q, type: doc, packager: rpm, file_info: {mode: 0644}}\n", p, "/usr/share/man"+strings.TrimPrefix(p, man))
	}
	return lines, nil
}
