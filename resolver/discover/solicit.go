package discover

import (
	"context"
	"math/rand/v2"
	"time"
)

// The constants of soliciting, RFC 4861 section 10.
const (
	solicitEvery = 4 * time.Second
	solicitMax   = 3
	solicitRetry = time.Second // after one that could not be sent, such as before DAD has ended
	// solicitSpread is shorter than the second of RFC 4861 section 6.3.7: the
	// system has solicited on its own when a link comes up, so that only agents that
	// start on a link that is up send any.
	solicitSpread = 250 * time.Millisecond
)

func solicitDelay() time.Duration { return rand.N(solicitSpread) }

// solicitor plans the solicitations on one link.
type solicitor struct {
	next time.Time // zero: no more
	sent int
	busy bool
	err  error // of the last one
}

// again starts over.
func (s *solicitor) again(now time.Time) { s.next, s.sent = now.Add(solicitDelay()), 0 }

// stop plans no more: a router has answered.
func (s *solicitor) stop() { s.next = time.Time{} }

func (s *solicitor) due(now time.Time) bool {
	return !s.busy && !s.next.IsZero() && !now.Before(s.next)
}

// wake returns when the solicitor has to be looked at, zero for not at all.
func (s *solicitor) wake() time.Time {
	if s.busy {
		return time.Time{}
	}
	return s.next
}

// solicitEnd is the outcome of a solicitation.
type solicitEnd struct {
	link *linkState
	err  error
}

func (e *engine) startSolicit(ctx context.Context, l *linkState) {
	l.solicit.busy = true
	reader, index := e.d.ra, l.Index
	e.workers.Go(func() {
		end := solicitEnd{l, reader.Solicit(ctx, index)}
		select {
		case e.solicited <- end:
		case <-ctx.Done():
		}
	})
}

func (e *engine) onSolicited(now time.Time, end solicitEnd) {
	s := &end.link.solicit
	s.busy, s.err = false, end.err
	s.sent++
	switch {
	case s.next.IsZero() || s.next.After(now): // stopped or started over meanwhile
	case s.sent >= solicitMax && (end.err == nil || s.sent >= 3*solicitMax):
		s.stop()
	case end.err != nil:
		s.next = now.Add(solicitRetry)
	default:
		s.next = now.Add(solicitEvery)
	}
}
