package agent

import (
	"time"

	"github.com/reach64/reach64/resolver/discover"
)

// wakeUp has everything looked at anew when the machine has slept since the last
// decision, of which platform/netmon tells at once: another network may be there, and
// nobody has heard of the CLAT's address for as long.
func (a *Agent) wakeUp(now time.Time) {
	last := a.decidedAt
	a.decidedAt = now
	if last.IsZero() {
		return
	}
	// Round strips the monotonic reading, so that Sub takes the wall clock's.
	if gap := discover.Asleep(now.Round(0).Sub(last.Round(0)), now.Sub(last)); gap > 0 {
		a.log.WithField("asleep", gap.Round(time.Second)).Info("the machine has slept, or its clock was set ahead: everything is looked at anew")
		a.find.Refresh()
		a.probes.refresh()
	}
}
