package arch

import (
	"strings"
	"testing"
	"testing/fstest"
)

// load parses a fixture: file names and their text.
func load(t *testing.T, fixture map[string]string) []File {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range fixture {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	files, err := Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A ruleCase is a source tree and the words of the one problem in it, none if
// the tree is good.
type ruleCase struct {
	name    string
	fixture map[string]string
	want    string
}

func checkRule(t *testing.T, rule func([]File) []Problem, cases []ruleCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := rule(load(t, c.fixture))
			switch {
			case c.want == "" && len(got) != 0:
				t.Errorf("problems %v, want none", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), c.want)):
				t.Errorf("problems %v, want one with %q", got, c.want)
			}
		})
	}
}

func importing(pkg, folder string) string {
	return "package " + pkg + "\nimport _ \"" + Module + "/" + folder + "\"\n"
}

func TestImportsRule(t *testing.T) {
	table := map[string]Entry{
		"core":       {Kind: Pure},
		"core2":      {Kind: Pure, May: []string{"core"}},
		"edge":       {Kind: Edge},
		"edge2":      {Kind: Edge},
		"engine":     {Kind: Engine},
		"engine2":    {Kind: Engine},
		"api":        {Kind: API},
		"agent":      {Kind: Agent},
		"cmd/p":      {Kind: Command},
		"cmd/lab":    {Kind: Command, May: []string{"test/s"}},
		"test/s":     {Kind: Support, May: []string{"core"}},
		"test/netns": {Kind: Lab},
	}
	one := func(name, text string) map[string]string { return map[string]string{name: text} }
	checkRule(t, func(f []File) []Problem { return Imports(f, table) }, []ruleCase{
		{"a listed pure package", one("core2/a.go", importing("core2", "core")), ""},
		{"an unlisted pure package", one("core/a.go", importing("core", "core2")), "imports core2"},
		{"pure from an edge", one("edge/a.go", importing("edge", "core")), ""},
		{"an edge from an engine", one("engine/a.go", importing("engine", "edge")), "is engine (L1) and imports edge"},
		{"an engine from an edge", one("edge/a.go", importing("edge", "engine")), "is edge (L1) and imports engine"},
		{"an edge from an edge", one("edge/a.go", importing("edge", "edge2")), "imports edge2"},
		{"an engine from an engine", one("engine/a.go", importing("engine", "engine2")), "imports engine2"},
		{"an edge for Windows counts on Linux too", one("core/a_windows.go", importing("core", "edge")), "imports edge"},
		{"everything below from the agent", one("agent/a.go", importing("agent", "api")), ""},
		{"the agent from below", one("api/a.go", importing("api", "agent")), "imports agent"},
		{"a command", one("agent/a.go", importing("agent", "cmd/p")), "nobody imports a command"},
		{"test packages from the product", one("cmd/p/a.go", importing("main", "test/s")), "does not import test packages"},
		{"test packages from the lab command", one("cmd/lab/a.go", importing("main", "test/s")), ""},
		{"a test support package has its list", one("test/s/a.go", importing("s", "core2")), "imports core2"},
		{"a test uses its neighbours", one("edge/a_test.go", importing("edge", "edge2")), ""},
		{"a test uses test packages", one("edge/a_test.go", importing("edge", "test/s")), ""},
		{"a test uses what is above", one("edge/a_test.go", importing("edge", "agent")), "test it from up there"},
		{"an outside test imports its package", one("edge/a_test.go", importing("edge_test", "edge")), ""},
		{"a package that nobody wrote down", one("fresh/a.go", "package fresh\n"), "fresh: is not in the table"},
		{"an import that nobody wrote down", one("edge/a.go", importing("edge", "fresh")), "not in the table"},
		{"code in the root", one("a.go", "package a\n"), "below the root"},
	})
}

func TestTagRule(t *testing.T) {
	one := func(name, text string) map[string]string { return map[string]string{name: text} }
	goos := "package a\nimport \"runtime\"\nvar X = runtime.GOOS\n"
	checkRule(t, func(f []File) []Problem { return TagPlaces(f, []string{"platform", "tunnel/bpf"}) }, []ruleCase{
		{"everything in its place", map[string]string{
			"platform/x/a_linux.go": "//go:build linux\n\n" + goos, "tunnel/bpf/b_windows_test.go": "package bpf\n", "agent/a_unit.go": "package agent\n",
		}, ""},
		{"a folder of a like name", one("platforms/a_linux.go", "package a\n"), "for linux only"},
		{"a system in the name", one("agent/a_darwin.go", "package a\n"), "for darwin only"},
		{"a processor in the name of a test", one("agent/a_arm64_test.go", "package a\n"), "for arm64 only"},
		{"a build tag", one("agent/a.go", "// A comment.\n\n//go:build unix\n\npackage a\n"), "a build tag"},
		{"an old build tag", one("agent/a.go", "// +build linux\n\npackage a\n"), "a build tag"},
		{"a tag after the package clause is none", one("agent/a.go", "package a\n\n//go:build linux\n"), ""},
		{"runtime.GOOS", one("agent/a.go", goos), "runtime.GOOS"},
		{"runtime.GOOS by another name", one("agent/a.go", "package a\nimport r \"runtime\"\nvar X = r.GOOS\n"), "runtime.GOOS"},
	})
}

func TestPackageCommentRule(t *testing.T) {
	checkRule(t, PackageComments, []ruleCase{
		{"one", map[string]string{"a/a.go": "// Package a does it.\npackage a\n", "a/b.go": "package a\n"}, ""},
		{"none", map[string]string{"a/a.go": "package a\n"}, "0 package comments"},
		{"a detached comment is none", map[string]string{"a/a.go": "// Package a does it.\n\npackage a\n"}, "0 package comments"},
		{"two", map[string]string{"a/a.go": "// Package a is.\npackage a\n", "a/b.go": "// Package a is too.\npackage a\n"}, "2 package comments"},
		{"another name", map[string]string{"a/a.go": "// Package ab does it.\npackage a\n"}, "begins"},
		{"a command", map[string]string{"a/a.go": "// Command a does it.\npackage main\n"}, ""},
		{"a program named otherwise", map[string]string{"a/a.go": "// Package main does it.\npackage main\n"}, "begins"},
		{"tests alone", map[string]string{"a/a_test.go": "// Package a tests it.\npackage a_test\n"}, ""},
	})
}

func TestSizeRule(t *testing.T) {
	long := "package a\n" + strings.Repeat("\n", 10)
	checkRule(t, func(f []File) []Problem { return Sizes(f, 10) }, []ruleCase{
		{"as long as allowed", map[string]string{"a/a.go": long[:len(long)-1]}, ""},
		{"too long", map[string]string{"a/a.go": long}, "has 11 lines"},
		{"generated", map[string]string{"a/a.go": "// Code generated by x; DO NOT EDIT.\n" + long}, ""},
	})
}

func TestSysctlRule(t *testing.T) {
	const body = "package a\nimport \"os\"\nconst p = \"/proc/sys/net\"\n"
	checkRule(t, Sysctls, []ruleCase{
		{"reads one", map[string]string{"a/a.go": body + "var _, _ = os.ReadFile(p)\n"}, ""},
		{"writes one", map[string]string{"a/a.go": body + "var _ = os.WriteFile(p, nil, 0)\n"}, "os.WriteFile"},
		{"opens one", map[string]string{"a/a.go": body + "var _, _ = os.OpenFile(p, 0, 0)\n"}, "os.OpenFile"},
		{"writes another file", map[string]string{"a/a.go": "package a\nimport \"os\"\nvar _ = os.WriteFile(\"x\", nil, 0)\n"}, ""},
		{"runs the program", map[string]string{"a/a.go": "package a\nvar X = []string{\"/sbin/sysctl\", \"-w\"}\n"}, "runs sysctl"},
		{"a test of its own namespace", map[string]string{"a/a_test.go": body + "var _ = os.WriteFile(p, nil, 0)\n"}, ""},
	})
}

func TestSleepRule(t *testing.T) {
	const sleeps = "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"
	allowed := map[string]int{"b/b.go": 1}
	good := map[string]string{"b/b.go": sleeps}
	with := func(name, text string) map[string]string { return map[string]string{"b/b.go": sleeps, name: text} }
	checkRule(t, func(f []File) []Problem { return Sleeping(f, allowed) }, []ruleCase{
		{"listed", good, ""},
		{"product code", with("a/a.go", sleeps), "a/a.go: calls time.Sleep 1 times, 0 allowed"},
		{"a test", with("a/a_test.go", sleeps), "a/a_test.go: calls"},
		{"a test in synthetic time", with("a/a_test.go", "package a\nimport (\n_ \"testing/synctest\"\n\"time\"\n)\nfunc f() { time.Sleep(1) }\n"), ""},
		{"product code does not get out by an import", with("a/a.go", "package a\nimport (\n_ \"testing/synctest\"\n\"time\"\n)\nfunc f() { time.Sleep(1) }\n"), "a/a.go"},
		{"more than listed", map[string]string{"b/b.go": sleeps + "func g() { time.Sleep(2) }\n"}, "2 times, 1 allowed"},
		{"listed and gone", map[string]string{"a/a.go": "package a\n"}, "lower it"},
	})
}

func TestPurityRule(t *testing.T) {
	table := map[string]Entry{"core": {Kind: Pure, Libs: []string{"example.org/good"}}, "edge": {Kind: Edge}}
	core := func(text string) map[string]string { return map[string]string{"core/a.go": "package core\n" + text} }
	checkRule(t, func(f []File) []Problem { return Purity(f, table) }, []ruleCase{
		{"values", core("import (\n_ \"net/netip\"\n_ \"fmt\"\n_ \"example.org/good\"\n\"time\"\n)\nvar D = time.Second\n"), ""},
		{"files", core("import _ \"os\"\n"), "imports os"},
		{"sockets", core("import _ \"net\"\n"), "imports net"},
		{"HTTP", core("import _ \"net/http\"\n"), "imports net/http"},
		{"locks", core("import _ \"sync/atomic\"\n"), "imports sync/atomic"},
		{"another's module", core("import _ \"example.org/bad\"\n"), "imports example.org/bad"},
		{"the clock", core("import \"time\"\nvar X = time.Now()\n"), "time.Now"},
		{"a timer by another name", core("import t \"time\"\nvar X = t.NewTimer(1)\n"), "time.NewTimer"},
		{"a goroutine", core("func f() { go f() }\n"), "go statement"},
		{"a channel", core("func f(c chan int) {}\n"), "has a channel"},
		{"tests are free", map[string]string{"core/a_test.go": "package core\nimport _ \"os\"\n"}, ""},
		{"edges are free", map[string]string{"edge/a.go": "package edge\nimport _ \"os\"\n"}, ""},
	})
}

func TestLoadLeavesOutWhatTheGoCommandDoes(t *testing.T) {
	files := load(t, map[string]string{
		"a/a.go": "package a\n", "a/testdata/x.go": "not Go", ".git/x.go": "not Go", "_old/x.go": "not Go", "bin/x.go": "not Go", "a/readme.md": "not Go",
	})
	if len(files) != 1 || files[0].Path != "a/a.go" {
		t.Errorf("loaded %v, want a/a.go alone", files)
	}
	if _, err := Load(fstest.MapFS{"a/a.go": {Data: []byte("not Go")}}); err == nil {
		t.Error("a file that is not Go gave no error")
	}
}
