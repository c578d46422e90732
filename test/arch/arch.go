// Package arch checks the rules of ARCHITECTURE.md against the source: which
// package imports which, where build tags may be, package comments, the size of
// files, and what product code and pure packages leave alone.
//
// It reads every Go file for every operating system, whatever the one that the
// test runs on. It does not type-check: the compiler, vet and staticcheck do.
package arch

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the root folder.
const Module = "github.com/reach64/reach64"

// A File is one parsed Go file.
type File struct {
	Path   string // slash-separated, from the root
	Folder string
	Test   bool // ends in _test.go
	AST    *ast.File
	Lines  int
	paths  []string          // what it imports
	locals map[string]string // local name to import path
}

// A Problem is one breach of a rule.
type Problem struct {
	Path string // file or folder
	Text string
}

func (p Problem) String() string { return p.Path + ": " + p.Text }

// Load parses all Go files below the root of a source tree. Hidden folders,
// testdata, vendor and what the build makes are left out, as the go command does.
func Load(tree fs.FS) ([]File, error) {
	var files []File
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipFolder(name) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		f, err := parse(name, src)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read source tree: %w", err)
	}
	return files, nil
}

func skipFolder(name string) bool {
	base := path.Base(name)
	return name != "." && (base[0] == '.' || base[0] == '_' || slices.Contains([]string{"testdata", "vendor", "bin", "artifacts"}, base))
}

func parse(name string, src []byte) (File, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, fmt.Errorf("parse: %w", err)
	}
	f := File{
		Path: name, Folder: path.Dir(name), Test: strings.HasSuffix(name, "_test.go"), AST: tree,
		Lines: strings.Count(string(src), "\n"), locals: map[string]string{},
	}
	for _, spec := range tree.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return File{}, fmt.Errorf("parse %s: import %s: %w", name, spec.Path.Value, err)
		}
		local := path.Base(p)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		f.locals[local] = p
		f.paths = append(f.paths, p)
	}
	return f, nil
}

// uses counts where the file names something of a package, such as os.WriteFile.
func (f File) uses(pkg, name string) int {
	n := 0
	ast.Inspect(f.AST, func(node ast.Node) bool {
		sel, ok := node.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != name {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && f.locals[id.Name] == pkg {
			n++
		}
		return true
	})
	return n
}

// literal tells whether a string in the file, imports aside, satisfies match.
func (f File) literal(match func(string) bool) bool {
	found := false
	ast.Inspect(f.AST, func(node ast.Node) bool {
		if _, ok := node.(*ast.ImportSpec); ok {
			return false
		}
		lit, ok := node.(*ast.BasicLit)
		if ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && match(s) {
				found = true
			}
		}
		return true
	})
	return found
}

// product tells whether a file is part of what is shipped.
func (f File) product() bool {
	return !f.Test && f.Folder != "test" && !strings.HasPrefix(f.Folder, "test/")
}

func sorted(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(problems)
}
