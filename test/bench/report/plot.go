package report

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Sizes of the plot in pixels.
const (
	panelWidth, panelHeight = 300, 190
	columns                 = 3
	margin                  = 16
	barTop                  = 40 // of the first bar in its panel
	labelWidth              = 52
)

// The first contender gets the first colour. They differ in lightness too.
var colours = []string{"#6b7280", "#1d4ed8", "#0d9488", "#d97706", "#b91c1c", "#7c3aed"}

// SVG is the plot: a panel of bars for each measure that is to be plotted, and one of
// lines for each curve.
func (d *Doc) SVG() string {
	var panels []func(b *strings.Builder, x, y int)
	var curves []string
	for _, m := range d.Measures {
		switch {
		case !m.Plot:
		case m.Curve == "":
			panels = append(panels, func(b *strings.Builder, x, y int) { d.bars(b, m, x, y) })
		case !slices.Contains(curves, m.Curve):
			curves = append(curves, m.Curve)
			panels = append(panels, func(b *strings.Builder, x, y int) { d.lines(b, m, x, y) })
		}
	}
	rows := (len(panels) + columns - 1) / columns
	width, height := columns*panelWidth+(columns+1)*margin, rows*(panelHeight+margin)+3*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	x := margin
	for i, name := range d.measured() {
		fmt.Fprintf(&b, `<rect x="%d" y="12" width="10" height="10" fill="%s"/><text x="%d" y="21">%s</text>`+"\n", x, d.colour(name), x+14, text(name))
		x += 40 + 7*len(d.measured()[i])
	}
	for i, p := range panels {
		p(&b, margin+i%columns*(panelWidth+margin), 2*margin+i/columns*(panelHeight+margin))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (d *Doc) colour(contender string) string {
	i := slices.IndexFunc(d.Contenders, func(c Contender) bool { return c.Name == contender })
	return colours[max(0, i)%len(colours)]
}

func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func frame(b *strings.Builder, x, y int, title, unit string) {
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#d1d5db"/>`+"\n", x, y, panelWidth, panelHeight)
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s</text><text x="%d" y="%d" fill="#4b5563">%s</text>`+"\n", x+8, y+16, text(title), x+8, y+30, text(unit))
}

// bars draws the medians, with their least and greatest values as a thin line.
func (d *Doc) bars(b *strings.Builder, m *Measure, x, y int) {
	frame(b, x, y, m.Group+": "+m.Title, m.Unit)
	names, top := d.measured(), 0.0
	for _, s := range m.Values {
		top = max(top, slices.Max(s.All))
	}
	if top == 0 {
		top = 1
	}
	step := (panelHeight - barTop - 8) / max(1, len(names))
	scale := float64(panelWidth-labelWidth-60) / top
	for i, name := range names {
		s, at := m.Values[name], y+barTop+i*step
		fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`, x+8, at+step/2+4, text(name))
		if s == nil {
			b.WriteString("\n")
			continue
		}
		left, w := float64(x+labelWidth), s.Median*scale
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, left, at+2, w, step-4, d.colour(name))
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#111827"/>`, left+slices.Min(s.All)*scale, left+slices.Max(s.All)*scale, at+step/2, at+step/2)
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", left+slices.Max(s.All)*scale+4, at+step/2+4, text(Number(s.Median)))
	}
}

// lines draws the curve that m belongs to, over a logarithmic axis.
func (d *Doc) lines(b *strings.Builder, m *Measure, x, y int) {
	var points []*Measure
	top, far := 0.0, 1.0
	for _, p := range d.Measures {
		if p.Curve == m.Curve {
			points = append(points, p)
			far = max(far, p.X)
			for _, s := range p.Values {
				top = max(top, s.Median)
			}
		}
	}
	if top == 0 {
		top = 1
	}
	frame(b, x, y, m.Curve, m.Unit)
	width, height := float64(panelWidth-60), float64(panelHeight-barTop-26)
	px := func(v float64) float64 { return float64(x+40) + width*math.Log(v)/max(1, math.Log(far)) }
	py := func(v float64) float64 { return float64(y+barTop) + height*(1-v/top) }
	fmt.Fprintf(b, `<text x="%d" y="%.1f">%s</text><text x="%d" y="%.1f">0</text>`+"\n", x+6, py(top)+4, text(Number(top)), x+6, py(0)+4)
	for _, p := range points {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", px(p.X), y+panelHeight-8, text(Number(p.X)))
	}
	for _, name := range d.measured() {
		var line []string
		for _, p := range points {
			if s := p.Values[name]; s != nil {
				line = append(line, fmt.Sprintf("%.1f,%.1f", px(p.X), py(s.Median)))
			}
		}
		if len(line) > 0 {
			fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(line, " "), d.colour(name))
		}
	}
}
