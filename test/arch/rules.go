package arch

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/token"
	"path"
	"slices"
	"strings"
)

// TagPlaces finds build tags, names for one system and runtime.GOOS outside
// the folders that may have them.
func TagPlaces(files []File, folders []string) []Problem {
	var problems []Problem
	for _, f := range files {
		if slices.ContainsFunc(folders, func(p string) bool { return within(f.Folder, p) }) {
			continue
		}
		where := " belongs into " + strings.Join(folders, " or ")
		if s := systemSuffix(f.Path); s != "" {
			problems = append(problems, Problem{f.Path, "a file for " + s + " only" + where})
		}
		if buildTag(f.AST) {
			problems = append(problems, Problem{f.Path, "a build tag" + where})
		}
		if f.uses("runtime", "GOOS") > 0 {
			problems = append(problems, Problem{f.Path, "runtime.GOOS" + where})
		}
	}
	return sorted(problems)
}

func within(folder, top string) bool { return folder == top || strings.HasPrefix(folder, top+"/") }

// The systems and processors that the go command knows from file names (go help
// buildconstraint).
var systems = strings.Fields(`aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris wasip1 windows
	386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm`)

func systemSuffix(name string) string {
	base := strings.TrimSuffix(strings.TrimSuffix(path.Base(name), ".go"), "_test")
	i := strings.LastIndexByte(base, '_')
	if i >= 0 && slices.Contains(systems, base[i+1:]) {
		return base[i+1:]
	}
	return ""
}

func buildTag(f *ast.File) bool {
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			return false
		}
		for _, c := range group.List {
			if constraint.IsGoBuild(c.Text) || constraint.IsPlusBuild(c.Text) {
				return true
			}
		}
	}
	return false
}

// PackageComments finds folders without exactly one package comment, or with one
// that does not begin as go doc wants it.
func PackageComments(files []File) []Problem {
	docs := map[string][]File{}
	for _, f := range files {
		if _, ok := docs[f.Folder]; !ok {
			docs[f.Folder] = nil // a folder without a comment counts too
		}
		if f.AST.Doc.Text() != "" {
			docs[f.Folder] = append(docs[f.Folder], f)
		}
	}
	var problems []Problem
	for folder, have := range docs {
		if len(have) != 1 {
			var names []string
			for _, f := range have {
				names = append(names, path.Base(f.Path))
			}
			problems = append(problems, Problem{folder, fmt.Sprintf("has %d package comments %v, want one, in one file", len(have), names)})
			continue
		}
		name := strings.TrimSuffix(have[0].AST.Name.Name, "_test")
		starts := []string{"Package " + name + " "}
		if name == "main" {
			starts = []string{"Command ", "Reach64 "}
		}
		text := have[0].AST.Doc.Text()
		if !slices.ContainsFunc(starts, func(s string) bool { return strings.HasPrefix(text, s) }) {
			problems = append(problems, Problem{have[0].Path, fmt.Sprintf("the package comment begins %.20q, want %q", text, starts)})
		}
	}
	return sorted(problems)
}

// Sizes finds files that are too long to read at once.
func Sizes(files []File, limit int) []Problem {
	var problems []Problem
	for _, f := range files {
		if f.Lines > limit && !ast.IsGenerated(f.AST) {
			problems = append(problems, Problem{f.Path, fmt.Sprintf("has %d lines, at most %d: split it by what its parts do", f.Lines, limit)})
		}
	}
	return sorted(problems)
}

// writers are the calls that could write a sysctl once its path is known.
var writers = map[string][]string{
	"os":                    {"WriteFile", "OpenFile", "Create", "OpenRoot", "OpenInRoot"},
	"syscall":               {"Open", "Openat"},
	"golang.org/x/sys/unix": {"Open", "Openat", "Openat2"},
}

// Sysctls finds product code that could write a sysctl: a file that has a path
// in /proc/sys and also opens files for writing, or one that runs sysctl.
func Sysctls(files []File) []Problem {
	var problems []Problem
	for _, f := range files {
		if !f.product() {
			continue
		}
		if f.literal(func(s string) bool { return path.Base(s) == "sysctl" || strings.HasPrefix(s, "sysctl ") }) {
			problems = append(problems, Problem{f.Path, "runs sysctl: no sysctl is ever written"})
		}
		if !f.literal(func(s string) bool { return strings.Contains(s, "/proc/sys") }) {
			continue
		}
		for pkg, names := range writers {
			for _, name := range names {
				if f.uses(pkg, name) > 0 {
					problems = append(problems, Problem{f.Path, "has a path in /proc/sys and uses " + path.Base(pkg) + "." + name +
						": no sysctl is ever written; read it with os.ReadFile, and write other files from another source file"})
				}
			}
		}
	}
	return sorted(problems)
}

// Sleeping finds calls of time.Sleep outside synthetic time that are not in the
// list, and entries of the list that are not needed any more.
func Sleeping(files []File, allowed map[string]int) []Problem {
	var problems []Problem
	seen := map[string]int{}
	for _, f := range files {
		n := f.uses("time", "Sleep")
		if f.Test && slices.Contains(f.paths, "testing/synctest") {
			n = 0
		}
		seen[f.Path] = n
		if n > allowed[f.Path] {
			problems = append(problems, Problem{f.Path, fmt.Sprintf("calls time.Sleep %d times, %d allowed: wait for an event, or use testing/synctest", n, allowed[f.Path])})
		}
	}
	for name, n := range allowed {
		if seen[name] < n {
			problems = append(problems, Problem{name, fmt.Sprintf("calls time.Sleep %d times, the list Sleeps allows %d: lower it", seen[name], n)})
		}
	}
	return sorted(problems)
}

// forbidden is what a pure package leaves alone, with net/netip and the like as
// the good part of net.
var forbidden = []string{"net", "net/", "os", "os/", "sync", "sync/", "syscall", "unsafe", "log", "log/", "io/ioutil", "math/rand", "math/rand/", "crypto/rand", "crypto/tls", "runtime/", "plugin", "C"}

var pureNet = []string{"net/netip", "net/url"}

// clocks are the parts of package time that look at a clock.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// Purity finds I/O, clocks, locks and goroutines in pure packages. Their tests
// are free.
func Purity(files []File, table map[string]Entry) []Problem {
	var problems []Problem
	for _, f := range files {
		e, known := table[f.Folder]
		if !known || e.Kind != Pure || f.Test {
			continue
		}
		add := func(text string) { problems = append(problems, Problem{f.Path, text}) }
		for _, p := range f.paths {
			if impure(p, e.Libs) {
				add("imports " + p + ": a pure package does no I/O, has no clock, lock or goroutine; take a value as an argument")
			}
		}
		for _, name := range clocks {
			if f.uses("time", name) > 0 {
				add("uses time." + name + ": in a pure package time is an argument")
			}
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				add("has a go statement: a pure package starts no goroutine")
			case *ast.ChanType, *ast.SelectStmt:
				add("has a channel: a pure package talks by values")
			case *ast.UnaryExpr:
				if n.Op == token.ARROW {
					add("has a channel: a pure package talks by values")
				}
			}
			return true
		})
	}
	return sorted(problems)
}

func impure(p string, libs []string) bool {
	if within(p, Module) || slices.Contains(pureNet, p) {
		return false
	}
	if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
		return !slices.Contains(libs, p)
	}
	return slices.ContainsFunc(forbidden, func(bad string) bool {
		return p == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(p, bad)
	})
}
