package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/netstate"
)

const (
	// What others change of ours is repaired, but maxRepairs times within
	// repairWindow at most: two programs that undo each other help nobody.
	maxRepairs   = 5
	repairWindow = time.Minute
)

// errContested is the failure when somebody keeps undoing what was set up.
var errContested = errors.New("another program keeps taking away what the CLAT needs")

// lost says what others took away of the instance, "" for nothing. A snapshot from
// before the last change of ours says nothing about that.
func (a *Agent) lost(have netstate.Snapshot, in *instance) string {
	if !a.readAt.After(in.applied) {
		return ""
	}
	var steps []string
	for _, s := range netcfg.Drift(have, in.state()) {
		steps = append(steps, s.String())
	}
	return strings.Join(steps, ", ")
}

// repair notes that what is lost is about to be put back. It is an error when that
// was done too often.
func (a *Agent) repair(in *instance, lost string) error {
	now := a.now()
	in.repairs = slices.DeleteFunc(in.repairs, func(t time.Time) bool { return now.Sub(t) > repairWindow })
	if len(in.repairs) == maxRepairs {
		return fmt.Errorf("%w: %s", errContested, lost)
	}
	in.repairs = append(in.repairs, now)
	a.log.WithField("steps", lost).Warn("put back what another program took away")
	return nil
}
