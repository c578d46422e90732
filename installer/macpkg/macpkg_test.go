package macpkg_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/installer/macpkg"
)

var when = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

func sample() macpkg.Package {
	return macpkg.Package{
		Identifier: "com.example.tool", Version: "1.2.3", Title: "Tool & more", Host: "arm64", MinOS: "12.0", When: when,
		Files: []macpkg.File{
			{Name: "Library/LaunchDaemons/com.example.tool.plist", Mode: 0o644, Data: []byte("<plist/>\n")},
			{Name: "usr/local/bin/tool", Mode: 0o755, Data: bytes.Repeat([]byte("tool"), 5000)},
			{Name: "usr/local/bin/alias", Mode: fs.ModeSymlink | 0o755, Data: []byte("tool")},
			{Name: "private/empty", Mode: fs.ModeDir | 0o700},
		},
		Preinstall: []byte("#!/bin/sh\nexit 0\n"), Postinstall: []byte("#!/bin/sh\nexit 1\n"), Licence: []byte("Free.\n"),
	}
}

// bsdtar skips the test where libarchive's reader, which knows xar and cpio, is
// not there.
func bsdtar(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("bsdtar"); err == nil {
		return
	}
	if os.Getenv("REACH64_REQUIRE") == "all" {
		t.Fatal("REACH64_REQUIRE=all, but the program bsdtar is missing (test/netns/install-peers.sh installs it)")
	}
	t.Skip("the program bsdtar is missing (test/netns/install-peers.sh installs it)")
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// opened is the sample, taken apart by bsdtar.
func opened(t *testing.T, p macpkg.Package) string {
	t.Helper()
	bsdtar(t)
	data, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "x.pkg")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "bsdtar", "-x", "-f", file, "-C", dir)
	return dir
}

func TestAnotherReaderFindsTheParts(t *testing.T) {
	dir := opened(t, sample())
	for name, want := range map[string]string{
		"Distribution":            `<pkg-ref id="com.example.tool" version="1.2.3" onConclusion="none" installKBytes="22">#reach64.pkg</pkg-ref>`,
		"reach64.pkg/PackageInfo": `identifier="com.example.tool" version="1.2.3" install-location="/"`,
		"Resources/LICENSE.txt":   "Free.",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: %v, %s, want %s in it", name, err, got, want)
		}
	}
}

func TestAnotherReaderUnpacksPayloadAndScripts(t *testing.T) {
	dir := opened(t, sample())
	for part, want := range map[string][]string{
		"Payload": {
			"drwxr-xr-x root wheel 0 .", "drwxr-xr-x root wheel 0 ./Library", "drwxr-xr-x root wheel 0 ./Library/LaunchDaemons",
			"-rw-r--r-- root wheel 9 ./Library/LaunchDaemons/com.example.tool.plist",
			"drwxr-xr-x root wheel 0 ./private", "drwx------ root wheel 0 ./private/empty", "drwxr-xr-x root wheel 0 ./usr",
			"drwxr-xr-x root wheel 0 ./usr/local", "drwxr-xr-x root wheel 0 ./usr/local/bin",
			"lrwxr-xr-x root wheel 4 ./usr/local/bin/alias", "-rwxr-xr-x root wheel 20000 ./usr/local/bin/tool",
		},
		"Scripts": {"drwxr-xr-x root wheel 0 .", "-rwxr-xr-x root wheel 17 ./postinstall", "-rwxr-xr-x root wheel 17 ./preinstall"},
	} {
		var got []string
		for line := range strings.Lines(run(t, "bsdtar", "-t", "-v", "-n", "-f", filepath.Join(dir, "reach64.pkg", part))) {
			f := strings.Fields(line) // mode links owner group size month day year name
			owner := map[string]string{"0": "root"}[f[2]]
			group := map[string]string{"0": "wheel"}[f[3]]
			got = append(got, strings.Join([]string{f[0], owner, group, f[4], f[8]}, " "))
		}
		slices.SortFunc(got, func(a, b string) int { return strings.Compare(name(a), name(b)) })
		slices.SortFunc(want, func(a, b string) int { return strings.Compare(name(a), name(b)) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", part, diff)
		}
	}
	out := t.TempDir()
	run(t, "bsdtar", "-x", "-f", filepath.Join(dir, "reach64.pkg", "Payload"), "-C", out)
	if got, err := os.ReadFile(filepath.Join(out, "usr/local/bin/alias")); err != nil || len(got) != 20000 {
		t.Errorf("through the link: %d bytes, %v", len(got), err)
	}
}

func name(line string) string { return line[strings.LastIndexByte(line, ' ')+1:] }

// listed reads a bill of materials as the format is described, and returns a line for each
// path, as lsbom(8) does: path, mode, owner/group, size, checksum.
func listed(t *testing.T, b []byte) []string {
	t.Helper()
	be := binary.BigEndian
	if string(b[:8]) != "BOMStore" || be.Uint32(b[8:]) != 1 {
		t.Fatalf("the head is %x", b[:16])
	}
	index, vars := b[be.Uint32(b[16:]):], b[be.Uint32(b[24:]):]
	block := func(n uint32) []byte {
		at, size := be.Uint32(index[4+8*n:]), be.Uint32(index[8+8*n:])
		return b[at : at+size]
	}
	names := map[string]uint32{}
	rest := vars[4:]
	for range be.Uint32(vars) {
		size := int(rest[4])
		names[string(rest[5:5+size])] = be.Uint32(rest)
		rest = rest[5+size:]
	}
	for _, want := range []string{"BomInfo", "Paths", "HLIndex", "VIndex", "Size64"} {
		if _, ok := names[want]; !ok {
			t.Errorf("there is no %s", want)
		}
	}
	tree := block(names["Paths"])
	if string(tree[:4]) != "tree" {
		t.Fatalf("Paths is no tree: %x", tree)
	}
	page := block(be.Uint32(tree[8:]))
	for be.Uint16(page) == 0 { // down to the first leaf
		page = block(be.Uint32(page[12:]))
	}
	type node struct {
		parent uint32
		name   string
	}
	nodes := map[uint32]node{}
	full := func(id uint32) string {
		p := ""
		for id != 0 {
			p = "/" + nodes[id].name + p
			id = nodes[id].parent
		}
		return strings.TrimPrefix(p, "/")
	}
	var out []string
	for {
		for i := range int(be.Uint16(page[2:])) {
			one, file := block(be.Uint32(page[12+8*i:])), block(be.Uint32(page[16+8*i:]))
			id := be.Uint32(one)
			nodes[id] = node{be.Uint32(file), strings.TrimSuffix(string(file[4:]), "\x00")}
			info := block(be.Uint32(one[4:]))
			line := fmt.Sprintf("%s %o %d/%d", full(id), be.Uint16(info[4:]), be.Uint32(info[6:]), be.Uint32(info[10:]))
			if info[0] != 2 {
				line += fmt.Sprintf(" %d %d", be.Uint32(info[18:]), be.Uint32(info[23:]))
			}
			if got := be.Uint32(info[14:]); got != uint32(when.Unix()) {
				t.Errorf("%s: time %d", full(id), got)
			}
			out = append(out, line)
		}
		next := be.Uint32(page[4:])
		if next == 0 {
			break
		}
		page = block(next)
	}
	if count := be.Uint32(tree[16:]); int(count) != len(out) {
		t.Errorf("the tree tells %d paths, it holds %d", count, len(out))
	}
	if info := block(names["BomInfo"]); int(be.Uint32(info[4:])) != len(out) {
		t.Errorf("BomInfo tells %d paths, there are %d", be.Uint32(info[4:]), len(out))
	}
	return out
}

func TestBillOfMaterials(t *testing.T) {
	dir := opened(t, sample())
	b, err := os.ReadFile(filepath.Join(dir, "reach64.pkg", "Bom"))
	if err != nil {
		t.Fatal(err)
	}
	sum := func(data string) string { // cksum(1) says it on its own
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		return strings.Fields(run(t, "cksum", file))[0]
	}
	want := []string{
		". 40755 0/0", "./Library 40755 0/0", "./Library/LaunchDaemons 40755 0/0",
		"./Library/LaunchDaemons/com.example.tool.plist 100644 0/0 9 " + sum("<plist/>\n"),
		"./private 40755 0/0", "./private/empty 40700 0/0", "./usr 40755 0/0", "./usr/local 40755 0/0", "./usr/local/bin 40755 0/0",
		"./usr/local/bin/alias 120755 0/0 4 " + sum("tool"), "./usr/local/bin/tool 100755 0/0 20000 " + sum(strings.Repeat("tool", 5000)),
	}
	got := listed(t, b)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBillOfMaterialsOfMoreThanOnePage(t *testing.T) {
	p := sample()
	for i := range 1200 {
		p.Files = append(p.Files, macpkg.File{Name: fmt.Sprintf("many/%04d", i), Mode: 0o644})
	}
	b, err := os.ReadFile(filepath.Join(opened(t, p), "reach64.pkg", "Bom"))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(listed(t, b)); got != 11+1201 {
		t.Errorf("%d paths, want 1212", got)
	}
}

func TestSameInputSameBytes(t *testing.T) {
	a, err := sample().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p := sample()
	slices.Reverse(p.Files)
	b, err := p.Bytes()
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("%v; files in another order give other bytes", err)
	}
}

func TestBadNames(t *testing.T) {
	for _, names := range [][]string{{"/usr/bin/x"}, {"../x"}, {"a//b"}, {""}, {"."}, {"a", "a"}} {
		p := sample()
		p.Files = nil
		for _, n := range names {
			p.Files = append(p.Files, macpkg.File{Name: n, Mode: 0o644})
		}
		if _, err := p.Bytes(); err == nil {
			t.Errorf("%q: no error", names)
		}
	}
}
