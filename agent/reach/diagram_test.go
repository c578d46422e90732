package reach

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the diagram into ARCHITECTURE.md")

const (
	diagramFile  = "../../ARCHITECTURE.md"
	diagramBegin = "<!-- The machine, generated: go test ./agent/reach -run TestDiagram -update -->\n"
	diagramEnd   = "<!-- The machine's end. -->\n"
)

// stateOf is what the CLAT is doing.
func stateOf(n network, out Out) string {
	switch {
	case out.Intent.CLAT == (CLAT{}):
		return "none"
	case n.make().Own.Ready:
		return "up"
	}
	return "starting"
}

// diagram walks from every network to every other one and draws what the CLAT does
// then, and why; below it is what each network comes to.
func diagram() string {
	type edge struct{ from, to string }
	reasons := map[edge][]string{}
	for _, from := range networks() {
		for _, to := range networks() {
			m := New(Settings{})
			before, at := from.settle(m, t0)
			after, _ := to.settle(m, at)
			e := edge{stateOf(from, before), stateOf(to, after)}
			if e.from != e.to && !slices.Contains(reasons[e], string(after.Reason)) {
				reasons[e] = append(reasons[e], string(after.Reason))
			}
		}
	}
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    direction LR\n    none: no CLAT\n    starting: CLAT is being set up\n    up: CLAT carries IPv4\n    [*] --> none\n")
	for _, from := range []string{"none", "starting", "up"} {
		for _, to := range []string{"none", "starting", "up"} {
			if list := reasons[edge{from, to}]; len(list) > 0 {
				slices.Sort(list)
				fmt.Fprintf(&b, "    %s --> %s: %s\n", from, to, strings.Join(list, "<br/>"))
			}
		}
	}
	b.WriteString("```\n\n| network | class | path | reason | CLAT |\n|---|---|---|---|---|\n")
	for _, n := range networks() {
		out, _ := n.settle(New(Settings{}), t0)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", n.name, out.Class, out.Path, out.Reason, stateOf(n, out))
	}
	return b.String()
}

// TestDiagram: ARCHITECTURE.md shows the machine as it is.
func TestDiagram(t *testing.T) {
	raw, err := os.ReadFile(diagramFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(raw), diagramBegin)
	shown, after, ok2 := strings.Cut(rest, diagramEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no marks around the diagram", diagramFile)
	}
	want := diagram()
	if *update {
		if err := os.WriteFile(diagramFile, []byte(before+diagramBegin+want+diagramEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if shown != want {
		t.Errorf("the diagram is of another machine: go test ./agent/reach -run TestDiagram -update")
	}
	for class := range classWords {
		if !slices.ContainsFunc(networks(), func(n network) bool { return n.class == Class(class) }) {
			t.Errorf("no network of class %v", Class(class))
		}
	}
}
