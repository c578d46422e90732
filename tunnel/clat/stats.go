package clat

import (
	"sync/atomic"

	"github.com/reach64/reach64/tunnel/siit"
)

// directions is the number of values of siit.Direction.
const directions = 3

// counters are written by one worker and read by anybody.
type counters struct {
	packets     [directions][siit.NumVerdicts]atomic.Uint64
	bytes       [directions]atomic.Uint64
	suppressed  atomic.Uint64
	writeErrors atomic.Uint64
}

func (c *counters) add(d siit.Direction, v siit.Verdict, n int) {
	c.packets[d][v].Add(1)
	if v.Kind() == siit.Translated {
		c.bytes[d].Add(uint64(n))
	}
}

// Stats returns the counters that are not zero, by name: packets as
// "4to6-translated" and "6to4-dropped-bad-fragment" (direction, verdict), bytes of
// translated packets as "4to6-bytes". A super-packet counts as one packet.
func (c *CLAT) Stats() map[string]uint64 {
	out := make(map[string]uint64)
	sum := func(name string, of func(*counters) *atomic.Uint64) {
		total := uint64(0)
		for _, w := range c.workers {
			total += of(&w.stats).Load()
		}
		if total > 0 {
			out[name] = total
		}
	}
	for d := range directions {
		dir := siit.Direction(d).String()
		for v := range int(siit.NumVerdicts) {
			sum(dir+"-"+siit.Verdict(v).String(), func(n *counters) *atomic.Uint64 { return &n.packets[d][v] })
		}
		sum(dir+"-bytes", func(n *counters) *atomic.Uint64 { return &n.bytes[d] })
	}
	sum("errors-suppressed", func(n *counters) *atomic.Uint64 { return &n.suppressed })
	sum("write-errors", func(n *counters) *atomic.Uint64 { return &n.writeErrors })
	return out
}
