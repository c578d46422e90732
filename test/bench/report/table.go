package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Markdown is the document as text that is readable as it stands.
func (d *Doc) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Bench of %s\n\n", d.Started.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "%s run, medians of %d interleaved rounds, %.0f s. In brackets: how many times %s, median of the rounds.\n\n", d.Mode, d.Rounds, d.Took, d.Baseline)
	for _, f := range d.Machine {
		fmt.Fprintf(&b, "- %s: %s\n", f.Name, f.Value)
	}
	b.WriteString("\n")
	for _, c := range d.Contenders {
		text := c.What
		if c.Reason != "" {
			text = "not available: " + c.Reason
		}
		fmt.Fprintf(&b, "- **%s**: %s\n", c.Name, text)
	}
	names := d.measured()
	for _, group := range d.groups() {
		rows := [][]string{append([]string{group, "unit"}, names...)}
		for _, m := range d.Measures {
			if m.Group != group {
				continue
			}
			row := []string{m.Title, m.Unit}
			for _, n := range names {
				row = append(row, cell(m.Values[n]))
			}
			rows = append(rows, row)
		}
		b.WriteString("\n")
		table(&b, rows)
	}
	if len(d.Notes) > 0 {
		b.WriteString("\nNotes:\n\n")
		for _, n := range d.Notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
	}
	return b.String()
}

// measured are the names of the contenders that have values, in their order.
func (d *Doc) measured() []string {
	var names []string
	for _, c := range d.Contenders {
		if slices.ContainsFunc(d.Measures, func(m *Measure) bool { return m.Values[c.Name] != nil }) {
			names = append(names, c.Name)
		}
	}
	return names
}

func (d *Doc) groups() []string {
	var list []string
	for _, m := range d.Measures {
		if !slices.Contains(list, m.Group) {
			list = append(list, m.Group)
		}
	}
	return list
}

func cell(s *Samples) string {
	switch {
	case s == nil:
		return ""
	case s.Ratio == nil:
		return Number(s.Median)
	}
	return fmt.Sprintf("%s (%s)", Number(s.Median), Number(*s.Ratio))
}

// Number shows three digits that count, and no more.
func Number(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case abs >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	case abs >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// table writes rows, the first of them the heads, with columns as wide as needed.
func table(b *strings.Builder, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for i, r := range rows {
		for k, c := range r {
			pad := strings.Repeat(" ", width[k]-utf8.RuneCountInString(c))
			if k < 2 {
				fmt.Fprintf(b, "| %s%s ", c, pad)
			} else {
				fmt.Fprintf(b, "| %s%s ", pad, c)
			}
		}
		b.WriteString("|\n")
		if i > 0 {
			continue
		}
		for k, w := range width {
			dash := strings.Repeat("-", w+1)
			if k < 2 {
				fmt.Fprintf(b, "|-%s", dash)
			} else {
				fmt.Fprintf(b, "|%s:", dash)
			}
		}
		b.WriteString("|\n")
	}
}
