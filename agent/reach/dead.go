package reach

import (
	"fmt"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

const (
	// silence is how long no server may answer through a NAT64 before another one
	// is tried: long enough for a second probe.
	silence = 3 * time.Second
	// A NAT64 that was given up is tried again after deadFor, doubled each time up
	// to deadMax, so that two that fail in turn do not flap.
	deadFor, deadMax = 2 * time.Minute, 30 * time.Minute
)

// way is a NAT64 as it is reached over one uplink: two may announce the same prefix.
type way struct {
	prefix nat64.Prefix
	link   int
}

// deaths are the ways through which no server answered, while another was
// there to be tried. The zero value is none.
type deaths struct {
	list   map[way]death
	silent time.Time // since when no server answers through the prefix in use; zero: one does
}

type death struct {
	until time.Time
	count int
}

// follow notes what the CLAT with this prefix reaches. wake is when silence has
// lasted long enough.
func (d *deaths) follow(now time.Time, p way, ready bool, why Reason) (wake time.Time) {
	switch {
	case !ready || why != ReasonServerSilent:
		d.silent = time.Time{}
		if ready && why == ReasonCLATUp {
			delete(d.list, p)
		}
		return time.Time{}
	case d.silent.IsZero():
		d.silent = now
	}
	if now.Before(d.silent.Add(silence)) {
		return d.silent.Add(silence)
	}
	if d.dead(now, p) {
		return time.Time{}
	}
	if d.list == nil {
		d.list = map[way]death{}
	}
	n := d.list[p].count + 1
	d.list[p] = death{now.Add(min(deadFor<<min(n-1, 8), deadMax)), n}
	return time.Time{}
}

// dead tells whether a way was given up and is not to be tried yet.
func (d *deaths) dead(now time.Time, p way) bool { return now.Before(d.list[p].until) }

// next is when the first of them may be tried again, zero for never.
func (d *deaths) next(now time.Time) (at time.Time) {
	for _, x := range d.list {
		if now.Before(x.until) && (at.IsZero() || x.until.Before(at)) {
			at = x.until
		}
	}
	return at
}

// text says which NAT64 of these was given up, the first of them, "" for none.
func (d *deaths) text(now time.Time, used way, there []pref64.Candidate) string {
	for _, c := range there {
		for w := range d.list {
			if w.prefix == c.Prefix && w != used && d.dead(now, w) {
				return fmt.Sprintf("through %s no server answered; it is tried again later", c.Prefix)
			}
		}
	}
	return ""
}
