package wine

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// resultLine is what a test binary says of a test with -test.v.
var resultLine = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+)`)

// lacking are the tests that skip under Wine, for what it does not have.
// docs/verify-windows.md says how to check that on a real machine.
var lacking = map[string]bool{}

// TestPackages runs the unit tests of the packages below Wine. Each of them counts
// as one test here.
func TestPackages(t *testing.T) {
	m := need(t)
	for _, p := range tested {
		t.Run(p, func(t *testing.T) {
			r := m.wine(t, "source/"+p, `C:\programs\`+path.Base(p)+".test.exe", "-test.v", "-test.short", "-test.timeout=35s")
			ran := 0
			for line := range strings.Lines(r.out) {
				found := resultLine.FindStringSubmatch(line)
				if found == nil {
					continue
				}
				if found[1] == "SKIP" {
					if !lacking[p+" "+found[2]] {
						t.Errorf("%s skipped under Wine, and is not in the list of those that do", found[2])
					}
					continue
				}
				ran++
				t.Run(found[2], func(t *testing.T) {
					if found[1] == "FAIL" {
						t.Error("failed under Wine")
					}
				})
			}
			if r.code != 0 || ran == 0 {
				t.Errorf("%d tests ran: %v", ran, r)
			}
		})
	}
}
