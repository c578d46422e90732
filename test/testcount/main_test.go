package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// events writes "action package test output" lines as `go test -json` does.
func events(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		f := append(strings.SplitN(l, " ", 4), "", "", "")
		if f[2] == "-" {
			f[2] = ""
		}
		fmt.Fprintf(&b, `{"Action":%q,"Package":%q,"Test":%q,"Output":%q}`+"\n", f[0], f[1], f[2], f[3])
	}
	return b.String()
}

func TestCounts(t *testing.T) {
	tests := []struct {
		name       string
		in         string
		requireAll bool
		last       string
		code       int
		shows      string
	}{
		{name: "passes", in: events("run a T", "pass a T", "pass a U", "pass a -"), last: "2 passed, 0 failed, 0 skipped", shows: "ok   a"},
		{name: "a parent is not counted beside its subtests",
			in: events("pass a T/x", "pass a T/y", "pass a T", "pass a -"), last: "2 passed, 0 failed, 0 skipped"},
		{name: "a parent fails by its subtest",
			in: events("pass a T/x", "fail a T/y", "fail a T", "fail a -"), last: "1 passed, 1 failed, 0 skipped", code: 1},
		{name: "a parent fails by itself",
			in:   events("pass a T/x", "output a T t.go:3: leaked\n", "fail a T", "fail a -"),
			last: "1 passed, 1 failed, 0 skipped", code: 1, shows: "t.go:3: leaked"},
		{name: "subtests of subtests",
			in: events("pass a T/x/1", "fail a T/x/2", "fail a T/x", "fail a T", "fail a -"), last: "1 passed, 1 failed, 0 skipped", code: 1},
		{name: "a like name is no subtest", in: events("pass a T", "pass a T2", "pass a -"), last: "2 passed, 0 failed, 0 skipped"},
		{name: "a parent whose subtests all skip",
			in:   events("pass a U", "output a T/x     t.go:9: needs root: really\n", "skip a T/x", "pass a T", "pass a -"),
			last: "1 passed, 0 failed, 1 skipped", shows: "skipped: a T/x: needs root: really"},
		{name: "a skip when all is required",
			in:         events("pass a U", "output a T t.go:9: needs root\n", "skip a T", "pass a -"),
			requireAll: true, last: "1 passed, 1 failed, 0 skipped", code: 1, shows: "counts as a failure: a T: needs root"},
		{name: "a package without tests", in: events("pass a T", "pass a -", "output b - ? b [no test files]\n", "skip b -"), last: "1 passed, 0 failed, 0 skipped"},
		{name: "a package that fails as a whole",
			in: events("pass a T", "output a - goleak: found\n", "fail a -"), last: "1 passed, 1 failed, 0 skipped", code: 1, shows: "goleak: found"},
		{name: "a package that does not build",
			in:   `{"ImportPath":"a","Action":"build-output","Output":"a.go:1: no\n"}` + "\n" + `{"ImportPath":"a","Action":"build-fail"}` + "\n" + events("fail a -"),
			last: "0 passed, 1 failed, 0 skipped", code: 1, shows: "a.go:1: no"},
		{name: "a test that was running when the package died",
			in: events("run a T", "output a T waits\n", "pass a U", "fail a -"), last: "1 passed, 1 failed, 0 skipped", code: 1, shows: "waits"},
		{name: "events that stop in the middle", in: events("pass a U", "run a T"), last: "1 passed, 1 failed, 0 skipped", code: 1},
		{name: "a package that is run twice", in: events("pass a T", "pass a -", "pass a T", "pass a -"), last: "2 passed, 0 failed, 0 skipped"},
		{name: "nothing ran", last: "0 passed, 0 failed, 0 skipped", code: 1},
		{name: "a line that is no event", in: "go: warning\n" + events("pass a T", "pass a -"), last: "1 passed, 0 failed, 0 skipped", shows: "go: warning"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			code, err := run(strings.NewReader(tt.in), &out, tt.requireAll)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != tt.last || code != tt.code {
				t.Errorf("last line %q, code %d; want %q, %d", last, code, tt.last, tt.code)
			}
			if !strings.Contains(out.String(), tt.shows) {
				t.Errorf("output lacks %q:\n%s", tt.shows, &out)
			}
		})
	}
}
