package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

func write(t *testing.T, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var sections = []string{"summary", "path", "checks", "timeline", "latency", "throughput", "service"}

func TestPageHoldsEverything(t *testing.T) {
	text := write(t, faulty())
	for _, id := range sections {
		if !strings.Contains(text, `<section id="`+id+`">`) {
			t.Errorf("no section %s", id)
		}
	}
	for _, want := range []string{"Not reached", "The broken step is", `data-hop="NAT64" data-state="broken"`, `data-hop="server" data-state="unknown"`, `class="cross"`, "<strong>To do:</strong> Mend it.",
		"v6-only-nat64, path clat", "4 values, mean 11.5, highest 13.0 ms", "5 values, mean 100.0, highest 100.0 a second", "no answer", "&lt;script&gt;alert(1)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in it", want)
		}
	}
	if strings.Count(text, "No samples") != 0 {
		t.Error("samples are missing")
	}
	if text := write(t, well()); strings.Count(text, "No samples") != 3 || !strings.Contains(text, `<h1 class="good">Reached</h1>`) || !strings.Contains(text, "The service does not run") {
		t.Errorf("a page without a service:\n%s", text)
	}
}

// TestPageLoadsNothing: it is self-contained, and has no script unless it is live.
func TestPageLoadsNothing(t *testing.T) {
	p := faulty()
	text := write(t, p)
	if bad := regexp.MustCompile(`(?i)(<script|https?://|\bsrc=|@import|url\(|<link rel="stylesheet)`).FindString(text); bad != "" {
		t.Errorf("the page holds %q", bad)
	}
	p.Live = true
	if text := write(t, p); strings.Count(text, "<script>") != 1 || !strings.Contains(text, `fetch("/page"`) {
		t.Error("the live page does not renew itself")
	}
}

// TestDrawingsAreWellFormed: each picture is XML by itself, and says in words what it
// shows.
func TestDrawingsAreWellFormed(t *testing.T) {
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(write(t, faulty()), -1)
	if len(drawings) != 4 {
		t.Fatalf("%d drawings", len(drawings))
	}
	for _, d := range drawings {
		if !regexp.MustCompile(`^<svg [^>]*role="img" aria-label="[^"]{10,}"`).MatchString(d) {
			t.Errorf("a drawing without words: %.120s", d)
		}
		for dec := xml.NewDecoder(strings.NewReader(d)); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %.200s", err, d)
			}
		}
	}
}
