package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An event is one line of `go test -json` (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

type test struct {
	name   string
	result string // pass, fail, skip; empty while it runs
	output []string
}

type pkg struct {
	name   string
	tests  map[string]*test
	order  []*test
	output []string // outside of tests
	done   bool
}

type totals struct{ passed, failed, skipped int }

func (t totals) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// A counter adds up events. It holds the output of what has not passed.
type counter struct {
	out   io.Writer
	pkgs  map[string]*pkg
	skips []string // "package test: reason"
	total totals
}

func newCounter(out io.Writer) *counter { return &counter{out: out, pkgs: map[string]*pkg{}} }

// read takes events until the end. A line that is no event is printed as it is.
func (c *counter) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			var e event
			if line[0] != '{' || json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(c.out, "%s\n", line)
			} else {
				c.add(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}

func (c *counter) add(e event) {
	if e.Action == "build-output" {
		fmt.Fprint(c.out, e.Output)
		return
	}
	if e.Package == "" { // build-fail; its package's own event follows
		return
	}
	p := c.pkgs[e.Package]
	if p == nil || p.done { // a package may be run twice
		p = &pkg{name: e.Package, tests: map[string]*test{}}
		c.pkgs[e.Package] = p
	}
	if e.Test == "" {
		c.addPackage(p, e)
		return
	}
	t := p.tests[e.Test]
	if t == nil {
		t = &test{name: e.Test}
		p.tests[e.Test] = t
		p.order = append(p.order, t)
	}
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "fail":
		t.result = e.Action
		c.print(p, t)
	case "pass", "skip":
		t.result = e.Action
	}
}

func (c *counter) addPackage(p *pkg, e event) {
	switch e.Action {
	case "output":
		p.output = append(p.output, e.Output)
	case "pass", "fail", "skip":
		c.close(p, e.Action, e.Elapsed)
	}
}

// print writes the output of a failed test.
func (c *counter) print(p *pkg, t *test) {
	fmt.Fprintf(c.out, "--- %s\n", p.name)
	for _, line := range t.output {
		if !strings.HasPrefix(line, "=== ") {
			fmt.Fprint(c.out, line)
		}
	}
	t.output = nil
}

// close counts a package that has ended.
func (c *counter) close(p *pkg, result string, seconds float64) {
	p.done = true
	var n totals
	for _, t := range p.order {
		if t.result == "" && result == "fail" { // it was running when the package died
			t.result = "fail"
			t.output = append(t.output, "did not end\n")
			c.print(p, t)
		}
		if p.explained(t) {
			continue
		}
		switch t.result {
		case "pass":
			n.passed++
		case "fail":
			n.failed++
		case "skip":
			n.skipped++
			c.skips = append(c.skips, fmt.Sprintf("%s %s: %s", p.name, t.name, reason(t.output)))
		}
	}
	if result == "fail" && n.failed == 0 {
		n.failed = 1
		fmt.Fprintf(c.out, "--- %s failed as a whole\n%s", p.name, strings.Join(p.output, ""))
	}
	c.total = totals{c.total.passed + n.passed, c.total.failed + n.failed, c.total.skipped + n.skipped}
	if n != (totals{}) || result == "fail" {
		word := map[string]string{"pass": "ok", "fail": "FAIL", "skip": "skip"}[result]
		fmt.Fprintf(c.out, "%-4s %s %.1f s: %v\n", word, p.name, seconds, n)
	}
}

// explained tells whether subtests stand for a test.
func (p *pkg) explained(t *test) bool {
	parent, same := false, false
	for name, sub := range p.tests {
		if strings.HasPrefix(name, t.name+"/") {
			parent = true
			same = same || sub.result == t.result
		}
	}
	return parent && (same || t.result == "pass")
}

// reason finds what a test said when it skipped.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "=== ") {
			continue
		}
		if _, after, ok := strings.Cut(line, ".go:"); ok { // "file.go:12: text"
			if _, text, ok := strings.Cut(after, ": "); ok {
				return text
			}
		}
		return line
	}
	return "no reason given"
}

// finish closes packages that never ended and lists the skips.
func (c *counter) finish(requireAll bool) totals {
	var open []*pkg
	for _, p := range c.pkgs {
		if !p.done {
			open = append(open, p)
		}
	}
	slices.SortFunc(open, func(a, b *pkg) int { return cmp.Compare(a.name, b.name) })
	for _, p := range open {
		c.close(p, "fail", 0)
	}
	word := "skipped"
	if requireAll {
		word = "skipped, which counts as a failure"
		c.total.failed += c.total.skipped
		c.total.skipped = 0
	}
	for _, s := range c.skips {
		fmt.Fprintf(c.out, "%s: %s\n", word, s)
	}
	return c.total
}
