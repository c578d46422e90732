package tun

import "time"

// pace decides how a reader waits that has found its queue empty. Packets that come one
// by one at a high rate would each wake it, and that costs more than moving them. So
// once packets have come soon after the reader had begun to wait, some times in a row,
// it sleeps for a moment instead, and finds many at once. When it finds few, it waits
// again. Network cards and their drivers do the same (interrupt moderation, NAPI).
type pace struct {
	soon  int  // how many times in a row a packet came soon
	busy  bool // sleep instead of waiting
	slept bool // since the last packets were read
}

const (
	soonAfter = 25 * time.Microsecond
	soonTimes = 4
	moment    = 100 * time.Microsecond // of sleep
	few       = 4                      // packets after a moment are not worth sleeping for
)

// sleeps tells whether to sleep for a moment, or else to wait for a packet.
func (p *pace) sleeps() bool {
	p.slept, p.busy = p.busy && !p.slept, p.busy && !p.slept
	return p.slept
}

// waited notes how long it took until a packet came.
func (p *pace) waited(took time.Duration) {
	if took > soonAfter {
		p.soon = 0
	} else if p.soon++; p.soon == soonTimes {
		p.soon, p.busy = 0, true
	}
}

// read notes that n packets were found.
func (p *pace) read(n int) {
	p.busy = p.busy && (!p.slept || n >= few)
	p.slept = false
}
