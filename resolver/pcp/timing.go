package pcp

import "time"

// The constants of retransmission, RFC 6887 section 8.1.1. MRC and MRD are 0: the
// RFC sets no limit to the number and the time.
const (
	IRT = 3 * time.Second    // initial
	MRT = 1024 * time.Second // maximum
	// Spread bounds RAND, which is drawn uniformly from -Spread to +Spread.
	Spread = 0.1
)

// Timeout returns how long to wait for an answer before the request is sent
// again: prev is the wait before, 0 for the first one, rand is RAND, drawn anew
// each time and held to its bounds (RFC 6887 section 8.1.1).
func Timeout(prev time.Duration, rand float64) time.Duration {
	d := IRT
	if prev > 0 {
		d = min(2*min(prev, MRT), MRT)
	}
	rand = min(max(rand, -Spread), Spread)
	return time.Duration(float64(d) * (1 + rand))
}

// The bounds of how long an error is believed (spec PCP-16): those that RFC 6887
// section 7.4 recommends to servers.
const (
	errorMin = 30 * time.Second
	errorMax = 30 * time.Minute
)

// ErrorLifetime returns how long the same question must not be asked again after
// an error with this lifetime.
func ErrorLifetime(lifetime time.Duration) time.Duration {
	return min(max(lifetime, errorMin), errorMax)
}

// Clock is a server's epoch time as it was seen last. The zero value has seen
// none.
type Clock struct {
	Epoch uint32 // seconds
	At    time.Time
}

// Valid tells whether a server that says epoch at now has kept its state since c
// (RFC 6887 section 8.5). It is true when nothing was seen before.
func (c Clock) Valid(epoch uint32, now time.Time) bool {
	if c.At.IsZero() {
		return true
	}
	server := int64(epoch) - int64(c.Epoch)
	if server < -1 {
		return false
	}
	client := int64(now.Sub(c.At) / time.Second)
	return client+2 >= server-server/16 && server+2 >= client-client/16
}

// Before returns c as if it was seen that much earlier, for time that the clock of
// the caller did not count.
func (c Clock) Before(by time.Duration) Clock {
	if !c.At.IsZero() {
		c.At = c.At.Add(-by)
	}
	return c
}
