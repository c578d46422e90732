package siit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// required are all requirements on a translator: spec section 2 (SIIT), RFC 7915
// and its neighbours read against their texts (spec-checked section 8), and what
// the sections on addresses (R6052, 6052) and security (SEC, SECU) say of it.
func required() (ids []string) {
	add := func(prefix, list string) {
		for _, n := range strings.Fields(list) {
			ids = append(ids, prefix+n)
		}
	}
	add("SIIT-", `1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 16a 17 18 19 20 21 22 23 24 25 26 27 28 28a 29 30 31 32 33 34 35 36
		40 41 42 43 44 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71 72 73
		80 81 82 83 84 85 86 87 88 89 90 91 91a 92`)
	add("7915-", `1 2 3 4 5 10 11 12 13 20 21 22 23 30 31 32 33 34 35 36 37 40 41 42 43 44
		60 61 62 63 70 71 72 73 74 80 81 82 83 84 85`)
	add("6791-", "1 2 3")
	add("7757-", "1 2 3 4")
	add("8021-", "1")
	add("6145-", "1")
	add("1624-", "1 2 3 4")
	add("R6052-", "2 3 4 8 9 10 11 13 14")
	add("6052-", "2 4 5 6 7 11")
	add("SEC-", "10 11 12 13 14 15 16")
	add("SECU-", "3 5 9")
	return ids
}

var matrixRow = regexp.MustCompile(`(?m)^//\t((?:[A-Z]+|R?\d+)-\w+)\s+([\w, ]+?)\s+\|\s+([\w, ]+)$`)
var elsewhereRow = regexp.MustCompile(`(?m)^//   - ((?:[A-Z]+|R?\d+)-\w+): `)

// TestMatrix reads the matrix in the package's comment: each requirement must be
// in it once, with functions that exist and tests that exist and cite it.
func TestMatrix(t *testing.T) {
	functions, tests := declarations(t)
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	tested := 0
	for _, row := range matrixRow.FindAllStringSubmatch(string(doc), -1) {
		id := row[1]
		got = append(got, id)
		for name := range strings.SplitSeq(row[2], ", ") {
			if _, ok := functions[name]; !ok {
				t.Errorf("%s: there is no function %s", id, name)
			}
		}
		for name := range strings.SplitSeq(row[3], ", ") {
			if text, ok := tests[name]; !ok {
				t.Errorf("%s: there is no test %s", id, name)
			} else if !regexp.MustCompile(`\b` + regexp.QuoteMeta(id) + `\b`).MatchString(text) {
				t.Errorf("%s: test %s does not cite it", id, name)
			}
		}
		tested++
	}
	elsewhere := 0
	for _, row := range elsewhereRow.FindAllStringSubmatch(string(doc), -1) {
		got = append(got, row[1])
		elsewhere++
	}
	want := required()
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("requirements (-all +matrix):\n%s", d)
	}
	t.Logf("%d requirements: %d here, each with a test; %d elsewhere or of no effect", len(want), tested, elsewhere)
}

// declarations returns the functions of the package, and the text of its tests
// with their comments, by name.
func declarations(t *testing.T) (functions map[string]bool, tests map[string]string) {
	t.Helper()
	functions, tests = map[string]bool{}, map[string]string{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		src, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, f.Name(), src, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch {
			case !ok:
			case !strings.HasSuffix(f.Name(), "_test.go"):
				functions[fn.Name.Name] = true
			default:
				from := fn.Pos()
				if fn.Doc != nil {
					from = fn.Doc.Pos()
				}
				tests[fn.Name.Name] = string(src[set.Position(from).Offset:set.Position(fn.End()).Offset])
			}
		}
	}
	return functions, tests
}
