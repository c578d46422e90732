// Package diag is the doctor: it gathers what this machine and its network say
// about the way to the backup servers, and turns it into verdicts in the order of
// the path, so that the first failure is the broken step.
//
// Evidence is plain data and Judge is pure: no network is needed to say what a
// piece of evidence means. Gather collects it through Ports. Nothing is changed,
// and to a server nothing is sent beyond handshakes and echo requests.
package diag

import (
	"time"

	"github.com/reach64/reach64/agent/status"
)

// Verdict is what became of a check.
type Verdict string

// The verdicts.
const (
	Pass    Verdict = "PASS"
	Warn    Verdict = "WARN"    // it works, but somebody should know
	Fail    Verdict = "FAIL"    // this is broken
	Skip    Verdict = "SKIP"    // does not apply here, or follows from a failed check
	Unknown Verdict = "UNKNOWN" // could not be seen, Evidence says why
)

// Check is one step of the path and its verdict.
type Check struct {
	Code      string   `json:"code"`
	Title     string   `json:"title"`
	Verdict   Verdict  `json:"verdict"`
	Evidence  []string `json:"evidence"`
	DependsOn []string `json:"depends_on"`
	Remedy    *string  `json:"remedy"` // null unless somebody has to do something
	Took      *float64 `json:"took"`   // seconds, of gathering its evidence
}

// Report is the result of the doctor.
type Report struct {
	Checks       []Check  `json:"checks"`
	FirstFailure *string  `json:"first_failure"` // code; null: none
	Summary      string   `json:"summary"`
	Servers      []string `json:"servers"`
	Reached      *bool    `json:"reached"` // whether applications reach every server; null: not known
	Hops         []Hop    `json:"path"`
	Took         float64  `json:"took"` // seconds, of everything
	GeneratedAt  string   `json:"-"`
}

// finding is what a judge says.
type finding struct {
	verdict  Verdict
	evidence []string
	remedy   string
}

// rule is one check: after names the checks whose failure explains its own.
type rule struct {
	code, title string
	after       []string
	topic       Topic
	judge       func(*Evidence) finding
}

// Codes are those of all checks, in their order.
func Codes() (out []string) {
	for _, r := range rules {
		out = append(out, r.code)
	}
	return out
}

// Judge returns the verdicts on e, in the order of the path. A check that does not
// pass while one that it depends on has failed is skipped: its trouble is explained.
func Judge(e *Evidence) []Check {
	j := judgement{e: e, found: map[string]finding{}, failed: map[string]string{}}
	var out []Check
	for _, r := range rules {
		f := j.of(r)
		c := Check{Code: r.code, Title: r.title, Verdict: f.verdict, Evidence: append([]string{}, f.evidence...), DependsOn: append([]string{}, r.after...),
			Remedy: status.Ptr(f.remedy), Took: status.Seconds(e.Took[r.topic].Round(time.Microsecond))}
		out = append(out, c)
	}
	return out
}

// follow begins the evidence of a check that is explained by another's failure.
const follow = "follows from the failure"

// judgement is Judge at work.
type judgement struct {
	e      *Evidence
	found  map[string]finding
	failed map[string]string // by code: the first failed check on the way to it, or itself; "" none
}

func (j *judgement) of(r rule) finding {
	if f, done := j.found[r.code]; done {
		return f
	}
	blamed := ""
	for _, code := range r.after {
		j.of(ruleOf(code))
		if blamed == "" {
			blamed = j.failed[code]
		}
	}
	f := r.judge(j.e)
	switch {
	case f.verdict == Fail && blamed == "":
		blamed = r.code
	case f.verdict != Pass && f.verdict != Skip && blamed != "":
		f = skip(follow+" of '%s'", ruleOf(blamed).title)
	}
	j.failed[r.code] = blamed // what depends on this one is explained by it too
	j.found[r.code] = f
	return f
}

func ruleOf(code string) rule {
	for _, r := range rules {
		if r.code == code {
			return r
		}
	}
	panic("diag: no check " + code) // the rules are part of the program, and a test reads them
}
