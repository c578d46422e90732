package arch

import (
	"os"
	"testing"
)

// TestSourceTree holds the real tree to every rule.
func TestSourceTree(t *testing.T) {
	files, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("%d Go files found; is this the root of the module?", len(files))
	}
	rules := map[string][]Problem{
		"imports go down only":               Imports(files, Table),
		"build tags only at the edge":        TagPlaces(files, TagFolders),
		"one package comment in each folder": PackageComments(files),
		"files can be read at once":          Sizes(files, MaxLines),
		"no sysctl is written":               Sysctls(files),
		"no sleeping":                        Sleeping(files, Sleeps),
		"pure packages are pure":             Purity(files, Table),
	}
	for name, problems := range rules {
		t.Run(name, func(t *testing.T) {
			for _, p := range problems {
				t.Error(p)
			}
		})
	}
}
