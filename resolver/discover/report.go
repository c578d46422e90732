package discover

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/resolver/ra"
)

// Verdict is what became of asking a source.
type Verdict string

// The verdicts.
const (
	Found   Verdict = "found"
	None    Verdict = "none"    // asked, and there is no prefix
	Error   Verdict = "error"   // inconclusive: it is asked again
	Skipped Verdict = "skipped" // not asked, Reason says why
	Pending Verdict = "pending" // asked, no verdict yet
)

// Report is what is known at one moment. It is never modified.
type Report struct {
	Epoch uint64 // of the SetLinks that it belongs to, 0 before the first
	// Candidates that may be used: those for every link first (Link 0), then link
	// by link, each best first.
	Candidates []pref64.Candidate
	Refused    []pref64.Candidate // what the configuration does not allow
	Sources    []SourceReport     // in rank order
	Routers    []RouterInfo       // by link and first sight
}

// SourceReport is how one source fares on one link, with one server.
type SourceReport struct {
	Source  pref64.Source
	Link    int        // index; 0: no link in particular
	Server  netip.Addr // resolver or PCP server; invalid: none in particular
	Verdict Verdict
	Reason  string        // for people
	Took    time.Duration // from question to answer
	At      time.Time     // of the verdict; zero: not yet
	Next    time.Time     // when it is asked again; zero: not planned
	Silent  bool          // the last question had no answer at all; Verdict may still be that of an older one
}

// RouterInfo is what a router last advertised.
type RouterInfo struct {
	Link                int
	Addr                netip.Addr // link-local, with zone
	FirstSeen, LastSeen time.Time
	Lifetime            time.Duration // as a default router, from LastSeen; 0: it is none
	Managed, Other      bool          // DHCPv6 flags
	Prefixes            []ra.PrefixInfo
	RDNSS               []netip.Addr // not run out; link-local ones with zone
	MTU                 int          // bytes, 0: not said
	Portal              string       // URI of the captive portal's API (RFC 8910), "": not said
}

// equal tells whether two reports say the same.
func (r Report) equal(o Report) bool { return reflect.DeepEqual(r, o) }

// sourceKey identifies a SourceReport.
type sourceKey struct {
	source pref64.Source
	link   int
	server netip.Addr
}

// logChanges logs each verdict that has changed and each change of a link's best
// prefix.
func logChanges(log logrus.FieldLogger, old, now Report) {
	verdicts := make(map[sourceKey]Verdict)
	for _, s := range old.Sources {
		verdicts[sourceKey{s.Source, s.Link, s.Server}] = s.Verdict
	}
	for _, s := range now.Sources {
		if s.Verdict == Pending || s.Verdict == verdicts[sourceKey{s.Source, s.Link, s.Server}] {
			continue
		}
		log.WithFields(logrus.Fields{"source": s.Source.String(), "link": s.Link, "server": s.Server.String(),
			"verdict": string(s.Verdict), "reason": s.Reason}).Debug("prefix source has a verdict")
	}
	was, is := bestByLink(old), bestByLink(now)
	for link, c := range is {
		if was[link].Prefix != c.Prefix {
			log.WithFields(logrus.Fields{"prefix": c.Prefix.String(), "source": c.Source.String(), "link": link,
				"trust": c.Trust.String(), "reason": c.Reason}).Info("prefix found")
		}
	}
	for link, c := range was {
		if _, ok := is[link]; !ok {
			log.WithFields(logrus.Fields{"prefix": c.Prefix.String(), "source": c.Source.String(), "link": link}).Info("prefix gone")
		}
	}
}

// bestByLink returns the first candidate of each link.
func bestByLink(r Report) map[int]pref64.Candidate {
	best := make(map[int]pref64.Candidate)
	for _, c := range r.Candidates {
		if _, ok := best[c.Link]; !ok {
			best[c.Link] = c
		}
	}
	return best
}
