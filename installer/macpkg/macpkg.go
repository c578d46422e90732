// Package macpkg writes flat installer packages for macOS (.pkg) on any system:
// an xar archive with a distribution and one component, whose payload and scripts
// are gzipped cpio archives and whose bill of materials is a BOM store.
//
// It knows files, folders and links, owned by root and group wheel. It signs
// nothing: productsign does, on a Mac. The formats have no standard; what is
// written here is what Apple's and others' tools are known to read (xar(1),
// cpio(5), bom(5), Distribution XML). Equal input gives equal bytes.
package macpkg

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// A File is one entry of the payload. Missing parent folders are made, with mode
// 0755.
type File struct {
	Name string      // where it goes, such as "usr/local/bin/reach64"; no leading slash
	Mode fs.FileMode // permissions, and fs.ModeDir or fs.ModeSymlink
	Data []byte      // contents, or where a link leads
}

// A Package is what Write writes.
type Package struct {
	Identifier  string // such as com.example.reach64
	Version     string // digits and points
	Title       string // for the installer's window
	Host        string // processor: "x86_64", "arm64" or both by a comma
	MinOS       string // oldest macOS, such as "12.0"
	When        time.Time
	Files       []File
	Preinstall  []byte // shell scripts, may be nil
	Postinstall []byte
	Licence     []byte // plain text, may be nil
}

// Bytes returns the package. It fails for names that are not clean relative
// paths or stand twice.
func (p Package) Bytes() ([]byte, error) {
	files, err := complete(p.Files)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", p.Identifier, err)
	}
	payload, err := zip(cpio(files, p.When))
	if err != nil {
		return nil, fmt.Errorf("write payload: %w", err)
	}
	component := []entry{
		{name: "Bom", data: bom(files, p.When)},
		{name: "PackageInfo", data: p.info(files)},
		{name: "Payload", data: payload},
	}
	if scripts := p.scripts(); len(scripts) > 0 {
		all, err := complete(scripts)
		if err != nil {
			return nil, fmt.Errorf("write scripts: %w", err)
		}
		packed, err := zip(cpio(all, p.When))
		if err != nil {
			return nil, fmt.Errorf("write scripts: %w", err)
		}
		component = append(component, entry{name: "Scripts", data: packed})
	}
	top := []entry{{name: "Distribution", data: p.distribution(files)}, {name: componentName, files: component}}
	if p.Licence != nil {
		top = append(top, entry{name: "Resources", files: []entry{{name: "LICENSE.txt", data: p.Licence}}})
	}
	return xar(top, p.When)
}

// componentName is the one component's folder in the archive.
const componentName = "reach64.pkg"

func (p Package) scripts() (list []File) {
	for name, text := range map[string][]byte{"preinstall": p.Preinstall, "postinstall": p.Postinstall} {
		if text != nil {
			list = append(list, File{Name: name, Mode: 0o755, Data: text})
		}
	}
	return list
}

// complete adds the root and the missing folders, and sorts folders before what
// they hold.
func complete(files []File) ([]File, error) {
	have := map[string]File{".": {Name: ".", Mode: fs.ModeDir | 0o755}}
	for _, f := range files {
		if !fs.ValidPath(f.Name) || f.Name == "." {
			return nil, fmt.Errorf("name %q is not a clean relative path", f.Name)
		}
		if _, twice := have[f.Name]; twice {
			return nil, fmt.Errorf("name %q stands twice", f.Name)
		}
		have[f.Name] = f
	}
	for _, f := range files {
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if _, there := have[dir]; !there {
				have[dir] = File{Name: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	var out []File
	for _, f := range have {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(sortKey(a.Name), sortKey(b.Name)) })
	return out, nil
}

// sortKey sorts the root first, and a folder right before what it holds.
func sortKey(name string) string {
	if name == "." {
		return ""
	}
	return strings.ReplaceAll(name, "/", "\x00")
}

// zip compresses without name and time (RFC 1952).
func zip(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unixMode is st_mode of a file (POSIX sys/stat.h).
func unixMode(m fs.FileMode) uint32 {
	kind := uint32(0o100000)
	switch {
	case m.IsDir():
		kind = 0o040000
	case m&fs.ModeSymlink != 0:
		kind = 0o120000
	}
	return kind | uint32(m.Perm())
}
