package report

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/status"
)

// Measures of the drawings, in pixels of their own.
const (
	wide    = 900
	boxWide = 116
	boxHigh = 46
	plotTop = 16
	plotLow = 120
	plotMin = 70 // left of it are the labels
)

func esc(s string) string { return template.HTMLEscapeString(s) }

// short cuts a text that has no room; its title has all of it.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// picture draws the path: a box for each hop, a line to it as the way there is.
func picture(hops []diag.Hop) template.HTML {
	inLine := 0
	for _, h := range hops {
		if !h.Beside {
			inLine++
		}
	}
	if inLine == 0 {
		return "<p>Nothing is known of the path.</p>"
	}
	gap := wide / inLine
	var b, said strings.Builder
	i, last := 0, 0
	for _, h := range hops {
		x, y := i*gap+(gap-boxWide)/2, 20
		state := string(h.State)
		switch {
		case h.Beside:
			x, y = last, 112
			line(&b, state, last+boxWide/2, 20+boxHigh, last+boxWide/2, y)
		case i > 0:
			line(&b, state, last+boxWide, 20+boxHigh/2, x, 20+boxHigh/2)
		}
		fmt.Fprintf(&b, `<g data-hop="%s" data-state="%s"><title>%s</title><rect class="box" x="%d" y="%d" width="%d" height="%d" rx="5"/><text x="%d" y="%d" text-anchor="middle">%s</text><text class="small" x="%d" y="%d" text-anchor="middle">%s</text></g>`,
			esc(h.Name), state, esc(h.Name+" "+h.Detail+": "+state), x, y, boxWide, boxHigh, x+boxWide/2, y+20, esc(h.Name), x+boxWide/2, y+36, esc(short(h.Detail, 19)))
		fmt.Fprintf(&said, "%s: the way there is %s. ", h.Name, state)
		if !h.Beside {
			last, i = x, i+1
		}
	}
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d 170" role="img" aria-label="%s">%s</svg>`, wide, esc(strings.TrimSpace(said.String())), b.String()))
}

// line draws the way between two boxes, with a cross where it is broken.
func line(b *strings.Builder, state string, x1, y1, x2, y2 int) {
	fmt.Fprintf(b, `<path class="link %s" d="M%d %d L%d %d"/>`, state, x1, y1, x2, y2)
	if state == string(diag.Broken) {
		x, y := (x1+x2)/2, (y1+y2)/2
		fmt.Fprintf(b, `<path class="cross" d="M%d %d l14 14 m0 -14 l-14 14"/>`, x-7, y-7)
	}
}

const none = "<p class=\"soft\">No samples: the service does not run, or was not watched. <code>reach64 bundle --for 2m</code> watches it.</p>"

// scale maps times to places.
type scale struct {
	from time.Time
	per  float64 // pixels a second
}

func scaleOf(s []Sample) scale {
	span := s[len(s)-1].At.Sub(s[0].At).Seconds()
	return scale{s[0].At, (wide - plotMin - 10) / max(span, 1)}
}

func (c scale) at(t time.Time) float64 { return plotMin + t.Sub(c.from).Seconds()*c.per }

// timeline draws spans of one class and path.
func timeline(s []Sample) template.HTML {
	if len(s) == 0 {
		return none
	}
	c := scaleOf(s)
	var b, list strings.Builder
	for i := 0; i < len(s); {
		j := i
		for j+1 < len(s) && s[j+1].Status.Class == s[i].Status.Class && s[j+1].Status.Path == s[i].Status.Path {
			j++
		}
		end := s[j].At
		if j+1 < len(s) {
			end = s[j+1].At
		}
		text := fmt.Sprintf("%s, path %s", s[i].Status.Class, s[i].Status.Path)
		x, w := c.at(s[i].At), max(c.at(end)-c.at(s[i].At), 6)
		fmt.Fprintf(&b, `<g><title>%s</title><rect class="span %s" x="%.1f" y="8" width="%.1f" height="30"/></g>`, esc(text), stateOf(s[i].Status), x, w)
		fmt.Fprintf(&list, "<li>%s: %s (%s)</li>", s[i].At.UTC().Format("15:04:05"), esc(text), esc(s[i].Status.Reason))
		i = j + 1
	}
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d 46" role="img" aria-label="Classes and paths over time; the list below tells the same">%s</svg><ul>%s</ul>`, wide, b.String(), list.String()))
}

func stateOf(s status.Status) string {
	switch s.Exit() {
	case status.ExitOK:
		return "good"
	case status.ExitPathBroken:
		return "bad"
	}
	return "warn"
}

// point is one value; without one the server did not answer.
type point struct {
	at    time.Time
	value float64
	ok    bool
}

// latency plots the TCP handshakes with each server.
func latency(s []Sample) template.HTML {
	var out strings.Builder
	for i := range maxServers(s) {
		var ps []point
		name := ""
		for _, x := range s {
			if i >= len(x.Status.Servers) {
				continue
			}
			v := x.Status.Servers[i]
			name = fmt.Sprintf("%s:%d", v.Name, v.Port)
			p := point{at: x.At}
			if v.RTT != nil && v.Reachable != nil && *v.Reachable {
				p.value, p.ok = *v.RTT*1000, true
			}
			ps = append(ps, p)
		}
		out.WriteString(plot("TCP handshake with "+name, "ms", ps, scaleOf(s)))
	}
	if out.Len() == 0 {
		return none
	}
	return template.HTML(out.String())
}

func maxServers(s []Sample) (n int) {
	for _, x := range s {
		n = max(n, len(x.Status.Servers))
	}
	return n
}

// throughput plots the translated packets of a second, both ways together.
func throughput(s []Sample) template.HTML {
	var ps []point
	for i := 1; i < len(s); i++ {
		span := s[i].At.Sub(s[i-1].At).Seconds()
		now, before := packets(s[i].Status), packets(s[i-1].Status)
		if span > 0 && now >= before {
			ps = append(ps, point{s[i].At, float64(now-before) / span, true})
		}
	}
	if len(ps) == 0 {
		return none
	}
	return template.HTML(plot("Translated packets, both ways", "a second", ps, scaleOf(s)))
}

func packets(s status.Status) uint64 {
	return s.Counters["4to6-translated"] + s.Counters["6to4-translated"]
}

// plot draws values over time. What has no value is marked at the bottom.
func plot(title, unit string, ps []point, c scale) string {
	top, sum, n := 0.0, 0.0, 0
	for _, p := range ps {
		if p.ok {
			top, sum, n = max(top, p.value), sum+p.value, n+1
		}
	}
	y := func(v float64) float64 { return plotLow - v/max(top, 0.001)*(plotLow-plotTop) }
	var b, d strings.Builder
	pen := "M"
	for _, p := range ps {
		if !p.ok {
			fmt.Fprintf(&b, `<circle class="gap" cx="%.1f" cy="%d" r="3"><title>no answer</title></circle>`, c.at(p.at), plotLow)
			pen = "M"
			continue
		}
		fmt.Fprintf(&d, "%s%.1f %.1f ", pen, c.at(p.at), y(p.value))
		fmt.Fprintf(&b, `<circle class="dot" cx="%.1f" cy="%.1f" r="2.5"><title>%.1f %s</title></circle>`, c.at(p.at), y(p.value), p.value, esc(unit))
		pen = "L"
	}
	told := "no value"
	if n > 0 {
		told = fmt.Sprintf("%d values, mean %.1f, highest %.1f %s", n, sum/float64(n), top, unit)
	}
	return fmt.Sprintf(`<p>%s: %s</p><svg viewBox="0 0 %d 140" role="img" aria-label="%s: %s"><path class="axis" d="M%d %d H%d M%d %d V%d"/><text class="small" x="%d" y="%d" text-anchor="end">%.1f</text><text class="small" x="%d" y="%d" text-anchor="end">0</text><path class="plot" d="%s"/>%s</svg>`,
		esc(title), esc(told), wide, esc(title), esc(told), plotMin, plotLow, wide-10, plotMin, plotTop, plotLow, plotMin-6, plotTop+5, top, plotMin-6, plotLow+4, strings.TrimSpace(d.String()), b.String())
}
