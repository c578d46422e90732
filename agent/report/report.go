// Package report is the doctor's report as one self-contained HTML page: the path as a
// picture, the checks with their evidence, and what the service's status was over time.
// The page loads nothing, needs no script, follows light and dark, and prints.
//
// It is made of values that others gather (agent/diag, agent/status).
package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/status"
)

// Sample is the service's status at one moment.
type Sample struct {
	At     time.Time
	Status status.Status
}

// Page is what is shown.
type Page struct {
	At      time.Time
	Version string
	Doctor  diag.Report
	Samples []Sample // in the order of time; none: the service does not run
	Live    bool     // the page is shown by reach64 ui, which keeps it up to date
}

//go:embed page.html
var pageText string

//go:embed page.css
var styleText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"words": words, "clock": clock}).Parse(pageText))

// view is what the template sees.
type view struct {
	Page
	Style      template.CSS
	Headline   string // the word that comes first
	State      string // its class: good, warn, bad
	Picture    template.HTML
	Timeline   template.HTML
	Latency    template.HTML
	Throughput template.HTML
	Groups     []group
	Now        *status.Status
	Made       string
}

// group is checks of one verdict, the worst first.
type group struct {
	Verdict diag.Verdict
	Open    bool
	Checks  []diag.Check
}

// Write writes the page.
func Write(w io.Writer, p Page) error {
	v := view{Page: p, Style: template.CSS(styleText), Picture: picture(p.Doctor.Hops), Made: p.At.UTC().Format("2006-01-02 15:04:05 UTC")}
	v.Headline, v.State = headline(p.Doctor)
	for _, verdict := range []diag.Verdict{diag.Fail, diag.Warn, diag.Unknown, diag.Pass, diag.Skip} {
		g := group{Verdict: verdict, Open: verdict == diag.Fail || verdict == diag.Warn}
		for _, c := range p.Doctor.Checks {
			if c.Verdict == verdict {
				g.Checks = append(g.Checks, c)
			}
		}
		if len(g.Checks) > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	if n := len(p.Samples); n > 0 {
		v.Now = &p.Samples[n-1].Status
	}
	v.Timeline, v.Latency, v.Throughput = timeline(p.Samples), latency(p.Samples), throughput(p.Samples)
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func headline(r diag.Report) (word, state string) {
	switch {
	case r.FirstFailure == nil && r.Reached != nil && *r.Reached:
		return "Reached", "good"
	case r.Reached != nil && *r.Reached:
		return "Reached, with a fault", "warn"
	case r.FirstFailure == nil && r.Reached == nil:
		return "Nothing is broken", "good"
	}
	return "Not reached", "bad"
}

func words(v diag.Verdict) string {
	return map[diag.Verdict]string{diag.Fail: "Failed", diag.Warn: "Warnings", diag.Unknown: "Not seen", diag.Pass: "Passed", diag.Skip: "Skipped"}[v]
}

func clock(seconds *float64) string {
	if seconds == nil {
		return ""
	}
	return fmt.Sprintf("%.0f ms", *seconds*1000)
}
