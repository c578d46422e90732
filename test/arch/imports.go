package arch

import (
	"fmt"
	"slices"
	"strings"
)

// Imports finds imports inside this module that do not go down the table, and
// folders that the table does not have.
func Imports(files []File, table map[string]Entry) []Problem {
	var problems []Problem
	for _, f := range files {
		if f.Folder == "." {
			problems = append(problems, Problem{f.Path, "Go files belong into a package below the root"})
			continue
		}
		from, known := table[f.Folder]
		if !known {
			problems = append(problems, Problem{f.Folder, "is not in the table of test/arch/table.go: add it with its kind, and to ARCHITECTURE.md"})
			continue
		}
		for _, p := range f.paths {
			to, ours := strings.CutPrefix(p, Module+"/")
			if !ours || f.Test && to == f.Folder {
				continue
			}
			if text := refuse(f, from, to, table); text != "" {
				problems = append(problems, Problem{f.Path, text})
			}
		}
	}
	return sorted(problems)
}

// refuse returns why a file may not import to, empty if it may.
func refuse(f File, from Entry, to string, table map[string]Entry) string {
	target, known := table[to]
	switch {
	case !known:
		return "imports " + to + ", which is not in the table of test/arch/table.go"
	case slices.Contains(from.May, to):
		return ""
	case target.Kind == Command:
		return "imports " + to + ": nobody imports a command"
	case f.Test:
		return refuseTest(from, to, target)
	case target.Kind == Support || target.Kind == Lab:
		return fmt.Sprintf("imports %s: product code does not import test packages", to)
	}
	var ok bool
	switch from.Kind {
	case Pure, Support: // their list is all
	case Edge, Engine:
		ok = target.Kind == Pure
	default:
		ok = levels[target.Kind] < levels[from.Kind]
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("is %s and imports %s, which is %s: imports go down only; see test/arch/table.go", kindNames[from.Kind], to, kindNames[target.Kind])
}

// refuseTest: a test may use what is below it and beside it, and test packages.
func refuseTest(from Entry, to string, target Entry) string {
	if target.Kind == Support || target.Kind == Lab || from.Kind == Support {
		return ""
	}
	if levels[target.Kind] > levels[from.Kind] {
		return fmt.Sprintf("is a test of a package that is %s and imports %s, which is %s: test it from up there", kindNames[from.Kind], to, kindNames[target.Kind])
	}
	return ""
}
