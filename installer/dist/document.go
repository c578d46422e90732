package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// documents writes what every package carries beside the binary into
// stage/share, by the binary of this system: man pages and completions, and
// the licences of all modules.
func (d *dist) documents(ctx context.Context) error {
	host := filepath.Join(d.stage, "reach64")
	if err := d.compile(ctx, target{}, host); err != nil {
		return err
	}
	share := filepath.Join(d.stage, "share")
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		text, err := exec.CommandContext(ctx, host, "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("write completion for %s: %w", shell, err)
		}
		if err := put(filepath.Join(share, "completion", "reach64."+shell), text); err != nil {
			return err
		}
	}
	pages, err := filepath.Glob("cmd/reach64/man/*.[158]")
	if err != nil {
		return fmt.Errorf("find man pages: %w", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return fmt.Errorf("read man page: %w", err)
		}
		section := strings.TrimPrefix(filepath.Ext(page), ".")
		if err := d.putZipped(filepath.Join(share, "man", "man"+section, filepath.Base(page)+".gz"), text); err != nil {
			return err
		}
	}
	licences, err := exec.CommandContext(ctx, host, "licenses").Output()
	if err != nil {
		return fmt.Errorf("write licences: %w", err)
	}
	doc := filepath.Join(share, "doc", "reach64")
	if err := put(filepath.Join(doc, "LICENSES.txt"), licences); err != nil {
		return err
	}
	for from, to := range map[string]string{"README.md": "README.md", "CHANGELOG.md": "CHANGELOG.md", "installer/linux/copyright": "copyright"} {
		text, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("read document: %w", err)
		}
		if err := put(filepath.Join(doc, to), text); err != nil {
			return err
		}
	}
	rpm := fmt.Sprintf("- semver: %s-1\n  date: %s\n  packager: %s\n  changes:\n    - note: See CHANGELOG.md among the documents.\n", d.version, d.when.Format(time.RFC3339), maintainer)
	if err := put(filepath.Join(d.stage, "changelog.yaml"), []byte(rpm)); err != nil {
		return err
	}
	return d.putZipped(filepath.Join(doc, "changelog.gz"), []byte(d.debianChangelog()))
}

// debianChangelog is what Debian's tools want to read (deb-changelog(5)); the
// changes themselves are in CHANGELOG.md beside it.
func (d *dist) debianChangelog() string {
	return fmt.Sprintf("reach64 (%s) stable; urgency=medium\n\n  * See CHANGELOG.md beside this file.\n\n -- %s  %s\n",
		debVersion(d.version), maintainer, d.when.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

const maintainer = "reach64 maintainers <reach64@example.com>"

// debVersion sorts 1.2.3-rc.1 before 1.2.3, as semver does.
func debVersion(v string) string { return strings.Replace(v, "-", "~", 1) }

func put(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// putZipped writes gzip without name and time, so that equal text gives equal bytes.
func (d *dist) putZipped(file string, text []byte) error {
	var b strings.Builder
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if _, err := z.Write(text); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	return put(file, []byte(b.String()))
}
