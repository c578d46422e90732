package diag

import (
	"fmt"
	"io"
	"strings"

	"github.com/reach64/reach64/agent/status"
)

// The columns of the text.
const (
	width  = status.Columns
	indent = 31 // where evidence begins
)

var colors = map[Verdict]string{Pass: "32", Warn: "33", Fail: "1;31", Skip: "2", Unknown: "35"}

// Text writes the report for people, at most 80 columns wide.
func (r Report) Text(w io.Writer, style status.Style) error {
	var b strings.Builder
	skipped := map[bool][]string{} // by whether a failure explains it
	for _, c := range r.Checks {
		if c.Verdict == Skip && !style.Verbose {
			follows := strings.HasPrefix(c.Evidence[0], follow)
			skipped[follows] = append(skipped[follows], c.Title)
			continue
		}
		c.text(&b, style)
	}
	for _, follows := range []bool{true, false} {
		if names := skipped[follows]; len(names) > 0 {
			what := map[bool]string{true: "explained by it", false: "nothing to look at"}[follows]
			Check{Verdict: Skip, Title: what, Evidence: []string{strings.Join(names, ", ")}}.text(&b, style)
		}
	}
	b.WriteByte('\n')
	b.WriteString(Draw(r.Hops, r.title))
	b.WriteByte('\n')
	for _, l := range status.Fold(r.Summary, width) {
		b.WriteString(l + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// title is what a check of the report is called.
func (r Report) title(code string) string { return ruleOf(code).title }

func (c Check) text(b *strings.Builder, style status.Style) {
	word := fmt.Sprintf("%-8s", c.Verdict)
	if style.Color {
		word = "\x1b[" + colors[c.Verdict] + "m" + word + "\x1b[0m"
	}
	first := fmt.Sprintf(" %-22s", c.Title)
	evidence := c.Evidence
	if !style.Verbose && (c.Verdict == Pass || c.Verdict == Skip) && len(evidence) > 1 {
		evidence = evidence[:1]
	}
	for _, e := range evidence {
		for _, l := range status.Fold(e, width-indent) {
			b.WriteString(word + first + l + "\n")
			word, first = strings.Repeat(" ", 8), strings.Repeat(" ", indent-8)
		}
	}
	if c.Remedy != nil && (c.Verdict == Fail || c.Verdict == Warn) {
		for i, l := range status.Fold(*c.Remedy, width-indent-7) {
			head := "       "
			if i == 0 {
				head = "To do: "
			}
			b.WriteString(strings.Repeat(" ", indent) + head + l + "\n")
		}
	}
}

// marks are the links of the drawing.
var marks = map[State]string{Good: " ---- ", Broken: " -XX- ", Dark: " .... "}

// Draw draws the way to the server, with what is broken marked. title names a check.
func Draw(path []Hop, title func(code string) string) string {
	var line, below, last strings.Builder
	var notes []string
	pad := func(b *strings.Builder, n int) {
		if d := n - b.Len(); d > 0 {
			b.WriteString(strings.Repeat(" ", d))
		}
	}
	line.WriteString("  ")
	for i, h := range path {
		switch {
		case h.Beside:
			at := line.Len() - 3 // under the station before
			pad(&below, at)
			below.WriteString(map[State]string{Good: "|", Broken: "X", Dark: ":"}[h.State])
			pad(&last, at-1)
			last.WriteString(h.Name)
		case i > 0:
			line.WriteString(marks[h.State])
			line.WriteString(h.Name)
		default:
			line.WriteString(h.Name)
		}
		if h.Check != nil {
			notes = append(notes, fmt.Sprintf("  XX before %s: %s", h.Name, title(*h.Check)))
		}
	}
	out := strings.TrimRight(line.String(), " ") + "\n" + below.String() + "\n" + last.String() + "\n"
	for _, n := range notes {
		out += n + "\n"
	}
	for _, h := range path {
		if h.Detail != "" {
			for i, l := range status.Fold(h.Detail, width-18) {
				name := h.Name
				if i > 0 {
					name = ""
				}
				out += fmt.Sprintf("  %-14s%s\n", name, l)
			}
		}
	}
	return out
}
