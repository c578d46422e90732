package siit

import "time"

// Limits of the errors that one worker may send (SIIT-68, RFC 4443 section
// 2.4(f)): a second and at once.
const (
	errorRate, errorBurst   = 10, 10
	tooBigRate, tooBigBurst = 100, 50
)

// Limiter says whether an answer may be sent now: a token bucket, and another,
// larger one for packets that are too big, so that nothing starves path MTU
// discovery. The zero value is full. It is not safe for concurrent use.
type Limiter struct {
	errors, tooBig bucket
}

// bucket counts what was taken, so that zero is full.
type bucket struct {
	used float64
	last time.Time
}

// Allow tells whether the answer with verdict v may be sent at now, and counts
// it if so.
func (l *Limiter) Allow(now time.Time, v Verdict) bool {
	if v == AnsweredTooBig {
		return l.tooBig.take(now, tooBigRate, tooBigBurst)
	}
	return l.errors.take(now, errorRate, errorBurst)
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.used, b.last = max(0, b.used-passed*rate), now
	}
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}
