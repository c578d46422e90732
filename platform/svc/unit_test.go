package svc

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnitIsThePackages: a service that copies the binary is guarded as one from a
// package.
func TestUnitIsThePackages(t *testing.T) {
	packaged, err := os.ReadFile("../../installer/linux/reach64.service")
	if err != nil {
		t.Skip(err) // the tests run without the source, under Wine
	}
	// Where the program is, what a package alone brings.
	differs := []string{"ExecStart=", "ExecReload=", "ExecStopPost=", "EnvironmentFile=", "Documentation="}
	same := func(text string) (lines []string) {
	next:
		for line := range strings.Lines(text) {
			for _, d := range differs {
				if strings.HasPrefix(line, d) {
					continue next
				}
			}
			lines = append(lines, line)
		}
		return lines
	}
	if diff := cmp.Diff(same(string(packaged)), same(unit)); diff != "" {
		t.Errorf("(-package +service install):\n%s", diff)
	}
}

// TestPlistIsThePackages: launchd gets the same of both but the program's place.
func TestPlistIsThePackages(t *testing.T) {
	packaged, err := os.ReadFile("../../installer/darwin/com.github.reach64.plist")
	if err != nil {
		t.Skip(err)
	}
	const arguments = "{{range Arguments}}\t\t<string>{{. | html}}</string>\n{{end}}"
	filled := strings.NewReplacer("{{Name | html}}", "com.github.reach64", "{{Path | html}}", "/usr/local/bin/reach64",
		arguments, "\t\t<string>run</string>\n").Replace(plist)
	if diff := cmp.Diff(string(packaged), filled); diff != "" {
		t.Errorf("(-package +service install):\n%s", diff)
	}
}
