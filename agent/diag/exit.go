package diag

import (
	"fmt"
	"slices"

	"github.com/reach64/reach64/agent/status"
)

// FailOn says which verdict makes the doctor end with another code than 0.
type FailOn string

// The words of --fail-on.
const (
	OnFail    FailOn = "fail"
	OnWarn    FailOn = "warn"
	OnUnknown FailOn = "unknown"
	OnNothing FailOn = "never"
)

// ParseFailOn reads such a word.
func ParseFailOn(text string) (FailOn, error) {
	if f := FailOn(text); slices.Contains([]FailOn{OnFail, OnWarn, OnUnknown, OnNothing}, f) {
		return f, nil
	}
	return "", fmt.Errorf("--fail-on %q is none of fail, warn, unknown, never", text)
}

// ofCheck are failures that have a code of their own.
var ofCheck = map[string]int{"configuration": status.ExitConfig, "permission": status.ExitNotPermitted, "service": status.ExitNotRunning, "other-clat": status.ExitStoodDown}

// Exit is the exit code that tells how it went.
func (r Report) Exit(on FailOn) int {
	has := func(v Verdict) bool {
		return slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Verdict == v })
	}
	switch {
	case on == OnNothing:
		return status.ExitOK
	case r.FirstFailure != nil && ofCheck[*r.FirstFailure] != 0:
		return ofCheck[*r.FirstFailure]
	case r.FirstFailure != nil && r.Reached != nil && *r.Reached:
		return status.ExitDegraded
	case r.FirstFailure != nil:
		return status.ExitPathBroken
	case r.Reached != nil && !*r.Reached:
		return status.ExitInconclusive
	case on == OnWarn && has(Warn):
		return status.ExitDegraded
	case on == OnUnknown && has(Warn):
		return status.ExitDegraded
	case on == OnUnknown && has(Unknown):
		return status.ExitInconclusive
	}
	return status.ExitOK
}
