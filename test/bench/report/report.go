// Package report is the pure half of test/bench: what was measured, medians and
// ratios of it, and how that is shown as text and as a plot. It does no I/O.
package report

import (
	"math"
	"slices"
	"time"
)

// Doc is one run of the bench, as it is written to JSON.
type Doc struct {
	Schema     int         `json:"schema"` // 1; fields are only added
	Started    time.Time   `json:"started"`
	Took       float64     `json:"took"` // seconds
	Mode       string      `json:"mode"` // quick, full
	Rounds     int         `json:"rounds"`
	Machine    []Fact      `json:"machine"`
	Baseline   string      `json:"baseline"` // the contender that ratios are to
	Contenders []Contender `json:"contenders"`
	Measures   []*Measure  `json:"measures"`
	Notes      []string    `json:"notes"` // what went wrong, whole sentences
}

// Fact is one thing that figures depend on, such as the kernel's version.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Contender is what was measured.
type Contender struct {
	Name   string `json:"name"`
	What   string `json:"what"`   // in words
	Reason string `json:"reason"` // why it is not available, "" if it is
}

// Measure is one quantity, of each contender.
type Measure struct {
	ID     string              `json:"id"`    // such as "tcp-4-up.throughput"
	Group  string              `json:"group"` // title of the table
	Title  string              `json:"title"` // of the row
	Unit   string              `json:"unit"`
	X      float64             `json:"x,omitempty"`     // of a curve: how many flows, servers, links
	Curve  string              `json:"curve,omitempty"` // the rows with the same curve belong together
	Plot   bool                `json:"plot"`            // shown in the plot too
	Values map[string]*Samples `json:"values"`          // by contender
}

// Samples are the values of one contender, one per round, in order.
type Samples struct {
	All    []float64 `json:"all"`
	Median float64   `json:"median"`
	Ratio  *float64  `json:"ratio"` // to the baseline: median of the ratios within each round
}

// Add notes one value. The first of a measure decides about its place.
func (d *Doc) Add(m Measure, contender string, value float64) {
	i := slices.IndexFunc(d.Measures, func(x *Measure) bool { return x.ID == m.ID })
	if i < 0 {
		m.Values = map[string]*Samples{}
		d.Measures = append(d.Measures, &m)
		i = len(d.Measures) - 1
	}
	v := d.Measures[i].Values
	if v[contender] == nil {
		v[contender] = &Samples{}
	}
	v[contender].All = append(v[contender].All, value)
}

// Finish works out medians and ratios.
func (d *Doc) Finish() {
	for _, m := range d.Measures {
		base := m.Values[d.Baseline]
		for name, s := range m.Values {
			s.Median, s.Ratio = Median(s.All), nil
			if base == nil || name == d.Baseline {
				continue
			}
			var ratios []float64
			for i := range min(len(s.All), len(base.All)) {
				if base.All[i] > 0 {
					ratios = append(ratios, s.All[i]/base.All[i])
				}
			}
			if len(ratios) > 0 {
				r := Median(ratios)
				s.Ratio = &r
			}
		}
	}
}

// Median is the middle value, or the mean of the two in the middle; NaN of none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Percentile is the smallest value that p percent of all do not exceed (nearest
// rank); NaN of none.
func Percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)-1, max(0, int(math.Ceil(p/100*float64(len(v))))-1))]
}

// Jain is Jain's index of fairness (RFC 5166 section 2.5 tells of it): 1 when all
// get the same, 1/n when one gets all; NaN when nobody gets anything.
func Jain(v []uint64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range v {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	return sum * sum / (float64(len(v)) * squares)
}

// Starved counts who got less than a tenth of the mean.
func Starved(v []uint64) int {
	sum, n := uint64(0), 0
	for _, x := range v {
		sum += x
	}
	for _, x := range v {
		if float64(x) < 0.1*float64(sum)/float64(len(v)) || x == 0 {
			n++
		}
	}
	return n
}
