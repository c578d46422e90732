package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func TestMedianAndPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[99-i] = float64(i + 1)
	}
	tests := []struct {
		name                  string
		of                    []float64
		median, p0, p99, p100 float64
	}{
		{"one value", []float64{7}, 7, 7, 7, 7},
		{"an odd number, not sorted", []float64{3, 1, 2}, 2, 1, 3, 3},
		{"an even number", []float64{4, 1, 2, 3}, 2.5, 1, 4, 4},
		{"an outlier", []float64{1, 1000, 2}, 2, 1, 1000, 1000},
		{"1 to 100", hundred, 50.5, 1, 99, 100},
	}
	for _, tt := range tests {
		before := append([]float64(nil), tt.of...)
		for _, c := range []struct {
			name      string
			got, want float64
		}{{"median", Median(tt.of), tt.median}, {"p0", Percentile(tt.of, 0), tt.p0}, {"p99", Percentile(tt.of, 99), tt.p99}, {"p100", Percentile(tt.of, 100), tt.p100}} {
			if c.got != c.want {
				t.Errorf("%s: %s %v, want %v", tt.name, c.name, c.got, c.want)
			}
		}
		for i := range before {
			if tt.of[i] != before[i] {
				t.Errorf("%s: the values were put into another order", tt.name)
			}
		}
	}
	if !math.IsNaN(Median(nil)) || !math.IsNaN(Percentile(nil, 50)) {
		t.Error("of no values: want NaN")
	}
}

func TestFairness(t *testing.T) {
	tests := []struct {
		name    string
		of      []uint64
		jain    float64
		starved int
	}{
		{"all the same", []uint64{5, 5, 5, 5}, 1, 0},
		{"one gets all", []uint64{8, 0, 0, 0}, 0.25, 3},
		{"one a little", []uint64{100, 100, 1}, 201.0 * 201 / 3 / 20001, 1},
		{"half as much", []uint64{2, 1}, 0.9, 0},
	}
	for _, tt := range tests {
		if got := Jain(tt.of); math.Abs(got-tt.jain) > 1e-9 {
			t.Errorf("%s: Jain's index %v, want %v", tt.name, got, tt.jain)
		}
		if got := Starved(tt.of); got != tt.starved {
			t.Errorf("%s: %d starved, want %d", tt.name, got, tt.starved)
		}
	}
	if !math.IsNaN(Jain([]uint64{0, 0})) || Starved([]uint64{0, 0}) != 2 {
		t.Error("nothing for anybody: want NaN, and all starved")
	}
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 12345.6: "12346", 123.4: "123", 12.34: "12.3", 1.234: "1.23", 0.1234: "0.12", 0.01234: "0.012", 7: "7", math.NaN(): "-", math.Inf(1): "-"} {
		if got := Number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

// sample is a document of two rounds in which one contender is missing.
func sample() *Doc {
	d := &Doc{Schema: 1, Started: time.Date(2026, 5, 4, 3, 2, 0, 0, time.UTC), Took: 61, Mode: "quick", Rounds: 2, Baseline: "native",
		Machine:    []Fact{{"kernel", "6.1 <test>"}},
		Contenders: []Contender{{Name: "native", What: "IPv6"}, {Name: "tun", What: "the TUN"}, {Name: "relay", Reason: "it is not built in"}},
		Notes:      []string{"one thing went wrong."}}
	speed := Measure{ID: "tcp", Group: "TCP", Title: "1 stream", Unit: "Gbit/s", Plot: true}
	for i, v := range []float64{10, 20} {
		d.Add(speed, "native", v)
		d.Add(speed, "tun", v*[]float64{0.5, 0.7}[i])
	}
	d.Add(Measure{ID: "rss", Group: "Memory", Title: "resident", Unit: "MiB"}, "tun", 12)
	for _, n := range []float64{1, 1000} {
		d.Add(Measure{ID: "flows" + Number(n), Group: "Flows", Title: Number(n), Unit: "us", Curve: "cost by flows", X: n, Plot: true}, "tun", 1)
	}
	d.Finish()
	return d
}

func TestRatiosAreWithinARound(t *testing.T) {
	d := sample()
	tun := d.Measures[0].Values["tun"]
	if tun.Ratio == nil || math.Abs(*tun.Ratio-0.6) > 1e-9 || tun.Median != 9.5 {
		t.Errorf("%+v, want the median 9.5 and the ratio 0.6", tun)
	}
	if r := d.Measures[0].Values["native"].Ratio; r != nil {
		t.Errorf("native has the ratio %v to itself", *r)
	}
	if r := d.Measures[1].Values["tun"].Ratio; r != nil {
		t.Errorf("ratio %v to what native has not", *r)
	}
}

func TestTextTellsEverything(t *testing.T) {
	want := `# Bench of 2026-05-04 03:02 UTC

quick run, medians of 2 interleaved rounds, 61 s. In brackets: how many times native, median of the rounds.

- kernel: 6.1 <test>

- **native**: IPv6
- **tun**: the TUN
- **relay**: not available: it is not built in

| TCP      | unit   | native |         tun |
|----------|--------|-------:|------------:|
| 1 stream | Gbit/s |     15 | 9.50 (0.60) |

| Memory   | unit | native | tun |
|----------|------|-------:|----:|
| resident | MiB  |        |  12 |

| Flows | unit | native | tun |
|-------|------|-------:|----:|
| 1     | us   |        |   1 |
| 1000  | us   |        |   1 |

Notes:

- one thing went wrong.
`
	if got := sample().Markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPlotIsWellFormed(t *testing.T) {
	svg := sample().SVG()
	dec, counts := xml.NewDecoder(strings.NewReader(svg)), map[string]int{}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := tok.(xml.StartElement); ok {
			counts[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
	// The ground, two frames, two of the legend, two bars; one curve.
	if counts["svg"] != 1 || counts["rect"] != 7 || counts["polyline"] != 1 || counts["line"] != 2 {
		t.Errorf("elements %v", counts)
	}
	for _, s := range []string{"TCP: 1 stream", "Gbit/s", "cost by flows", ">native<", ">9.50<"} {
		if !strings.Contains(svg, s) {
			t.Errorf("%q is not in the plot", s)
		}
	}
}

func TestPlotOfNothing(t *testing.T) {
	d := &Doc{Baseline: "native"}
	d.Add(Measure{ID: "a", Plot: true}, "native", 0)
	d.Finish()
	if svg := d.SVG(); strings.Contains(svg, "NaN") {
		t.Errorf("NaN in\n%s", svg)
	}
}

func TestDocumentSurvivesJSON(t *testing.T) {
	b, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	var d Doc
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if d.Markdown() != sample().Markdown() {
		t.Errorf("the text differs after JSON:\n%s", d.Markdown())
	}
}
