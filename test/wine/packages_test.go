package wine

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// resultLine is what a test binary says of a test with -test.v.
var resultLine = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+)`)

// lacking are tests that are not for Wine, or for Windows, by package, with the
// reason. What Wine does not have is in docs/verify-windows.md.
var lacking = map[string]map[string]string{
	"agent/control": {
		"TestLastLinesOfTheLog$|TestFollowTheLog$|TestGoroutinesAreForAdministrators$": "they ask for the user id 0",
	},
	"cmd/reach64": {
		"TestScripts$/explain$":        "it goes by the network of the machine",
		"TestManPages$":                "pages are made on Linux",
		"TestLicensesAreComplete$":     "it runs the go command",
		"TestLogFileIsRotated$":        "Windows renames no file that is open",
		"TestScripts/translate$":       "symbolic links of Wine lead nowhere",
		"TestScripts/translate_usage$": "symbolic links of Wine lead nowhere",
	},
	"platform/svc": {"TestMessages$": "systemd's datagrams over unix sockets"},
	"tunnel/relay": {
		"TestResets$":                      "it wants the error numbers of Unix",
		"TestClosedPortIsToldToTheSender$": "Windows tells a program nothing of a closed UDP port",
	},
	"resolver/dns64": {"TestForward$/nobody$": "Windows tells a program nothing of a closed UDP port"},
}

// TestPackages runs the unit tests of the packages below Wine. Each of them counts
// as one test here.
func TestPackages(t *testing.T) {
	m := need(t)
	for _, p := range tested {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			args := []string{`C:\programs\` + path.Base(p) + ".test.exe", "-test.v", "-test.short", "-test.timeout=170s"}
			var skip []string
			for name := range lacking[p] {
				skip = append(skip, name)
			}
			if len(skip) > 0 {
				args = append(args, "-test.skip="+strings.Join(skip, "|"))
			}
			r := m.wine(t, "source/"+p, args...)
			ran := 0
			for line := range strings.Lines(r.out) {
				found := resultLine.FindStringSubmatch(line)
				if found == nil {
					continue
				}
				ran++
				t.Run(found[2], func(t *testing.T) {
					if found[1] != "PASS" {
						t.Errorf("%s under Wine", found[1])
					}
				})
			}
			if r.code != 0 || ran == 0 {
				t.Errorf("%d tests ran: %v", ran, r)
			}
		})
	}
}
