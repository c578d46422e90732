package scenario

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/reach64/reach64/agent/reach"
)

// testsOf are the test functions of a folder, and all texts in it.
func testsOf(t *testing.T, folder string) (names []string, texts map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	texts = map[string]bool{}
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && isTest.MatchString(f.Name.Name) {
				names = append(names, f.Name.Name)
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				text, _ := strconv.Unquote(l.Value)
				texts[text] = true
			}
			return true
		})
	}
	return names, texts
}

var isTest = regexp.MustCompile(`^Test[^a-z]`)

// TestEveryTestOfTheLabIsAccountedFor: what the lab with real kernels plays is on the
// list, or there is a reason.
func TestEveryTestOfTheLabIsAccountedFor(t *testing.T) {
	lab, texts := testsOf(t, "../netns")
	if len(lab) < 50 {
		t.Fatalf("only %d tests in the lab: %v", len(lab), lab)
	}
	named := map[string]bool{}
	for _, s := range List {
		for _, l := range s.Labs {
			test, sub, _ := strings.Cut(l, "/")
			if named[test] = true; sub != "" && !texts[sub] {
				t.Errorf("%s: the lab has no %q", s.Name, sub)
			}
		}
	}
	for test := range Elsewhere {
		top, name, sub := strings.Cut(test, "/")
		if named[top] && !sub {
			t.Errorf("%s is in a scenario and elsewhere", test)
		}
		if sub && !texts[name] {
			t.Errorf("%s: the lab has no %q", test, name)
		}
		named[top] = true
	}
	for _, test := range lab {
		if test != "TestMain" && !named[test] {
			t.Errorf("%s is in no scenario, and has no reason in Elsewhere", test)
		}
		delete(named, test)
	}
	for test := range named {
		t.Errorf("the lab has no %s", test)
	}
}

func TestListIsWhole(t *testing.T) {
	names := map[string]bool{}
	classes := map[string]bool{}
	for _, s := range List {
		if names[s.Name] {
			t.Errorf("two scenarios %q", s.Name)
		}
		names[s.Name], classes[s.Want.Class] = true, true
		if (len(s.Labs) == 0) == (s.NoLab == "") {
			t.Errorf("%s: tests %v of the lab, and the reason for none %q", s.Name, s.Labs, s.NoLab)
		}
		if len(s.Labs) == 0 && s.NoMemory != "" {
			t.Errorf("%s is played nowhere", s.Name)
		}
		if s.Want.Class == "" || s.Want.Path == "" || reach.Reason(s.Want.Reason).Sentence() == "" {
			t.Errorf("%s: %+v", s.Name, s.Want)
		}
	}
	for c := reach.ClassUnknown; c <= reach.ClassIPv6Mostly; c++ { // the last one
		if !classes[c.String()] {
			t.Errorf("no scenario is of the class %v", c)
		}
	}
}

func TestFits(t *testing.T) {
	w := up("v6-only-nat64")
	seen := []string{"v6-only-nat64", "clat", "clat-carries-ipv4", Prefix, "ra"}
	fits := func(s []string) bool { return w.Fits(s[0], s[1], s[2], s[3], s[4]) }
	if !fits(seen) {
		t.Errorf("%v does not fit %+v", seen, w)
	}
	for i := range seen {
		other := slices.Clone(seen)
		if other[i] = "other"; fits(other) {
			t.Errorf("%v fits %+v", other, w)
		}
	}
	if w.Prefix, w.Source = "", ""; !w.Fits(seen[0], seen[1], seen[2], "", "") {
		t.Errorf("a document without prefix does not fit %+v", w)
	}
}
