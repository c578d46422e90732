package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/pref64"
)

// discovered is the result of the verb (design section 7).
type discovered struct {
	Candidates []candidate `json:"candidates"`
	Refused    []candidate `json:"refused"` // found, but the configuration does not allow them
	Sources    []source    `json:"sources"`
}

// candidate is one prefix.
type candidate struct {
	Prefix   string   `json:"prefix"`
	Source   string   `json:"source"`
	Link     *string  `json:"link"`
	Server   *string  `json:"server"`
	Lifetime *float64 `json:"lifetime"` // seconds; null: no end
	Trust    string   `json:"trust"`
	Reason   string   `json:"reason"`
}

// source is one place that was asked.
type source struct {
	Source  string   `json:"source"`
	Link    *string  `json:"link"`
	Server  *string  `json:"server"`
	Verdict string   `json:"verdict"`
	Reason  string   `json:"reason"`
	Took    *float64 `json:"took"` // seconds; null: it was not asked
}

func discoverResult(r discover.Report, names map[int]string) discovered {
	now := time.Now()
	out := discovered{Candidates: candidatesOf(now, r.Candidates, names), Refused: candidatesOf(now, r.Refused, names), Sources: []source{}}
	for _, s := range r.Sources {
		v := source{Source: s.Source.String(), Link: status.Ptr(names[s.Link]), Server: address(s.Server), Verdict: string(s.Verdict), Reason: s.Reason}
		if s.Verdict != discover.Skipped {
			took := s.Took.Seconds()
			v.Took = &took
		}
		out.Sources = append(out.Sources, v)
	}
	return out
}

func candidatesOf(now time.Time, list []pref64.Candidate, names map[int]string) []candidate {
	out := []candidate{}
	for _, c := range list {
		v := candidate{Prefix: c.Prefix.String(), Source: c.Source.String(), Link: status.Ptr(names[c.Link]),
			Server: address(c.Server), Trust: c.Trust.String(), Reason: c.Reason}
		if !c.Until.IsZero() {
			left := max(0, c.Until.Sub(now)).Round(time.Second).Seconds()
			v.Lifetime = &left
		}
		out = append(out, v)
	}
	return out
}

func address(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return status.Ptr(a.String())
}

func printDiscover(w io.Writer, r discover.Report, names map[int]string) error {
	d := discoverResult(r, names)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "PREFIX\tSOURCE\tFROM\tLIFETIME\tTRUST\tNOTE")
	for _, c := range append(slices.Clone(d.Candidates), d.Refused...) {
		life := "no end"
		if c.Lifetime != nil {
			life = (time.Duration(*c.Lifetime) * time.Second).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Prefix, c.Source, place(c.Link, c.Server), life, c.Trust, c.Reason)
	}
	if len(d.Candidates)+len(d.Refused) == 0 {
		fmt.Fprintln(t, "none")
	}
	fmt.Fprintln(t, "\nSOURCE\tVERDICT\tASKED\tTOOK\tANSWER")
	for _, s := range d.Sources {
		took := "-"
		if s.Took != nil {
			took = fmt.Sprintf("%.1f ms", *s.Took*1000)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.Source, s.Verdict, place(s.Link, s.Server), took, s.Reason)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// place names a link and a server, as far as they are known.
func place(link, server *string) string {
	switch {
	case server != nil:
		return *server
	case link != nil:
		return *link
	}
	return "-"
}
