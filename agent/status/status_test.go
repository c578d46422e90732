package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// working is a status of a CLAT that works.
func working() Status {
	yes, rtt, tls := true, 0.0125, 0.031
	return Status{
		Class: "v6-only-nat64-dns64", Path: "clat", Datapath: Ptr("tun"), DatapathNote: Ptr("not bpf: load BPF programs: refused; it needs CAP_BPF"), Reason: "clat-carries-ipv4",
		Sentence: "IPv4 to the server goes through the CLAT and the network's NAT64.",
		Uplink:   Ptr("eth0"), Prefix: Ptr("64:ff9b::/96"), Source: Ptr("ra"),
		Uplinks: []Uplink{{Name: "eth0", Class: "v6-only-nat64-dns64", IPv6: true, Prefix: Ptr("64:ff9b::/96"), CLAT: true},
			{Name: "wlan0", Class: "v6-only-no-nat64", IPv6: true}},
		CLAT: &CLAT{IPv4: "192.0.0.3", IPv6: Ptr("2001:db8:1:0:2c1:a700:0:e883"), Device: "clat0", Uplink: "eth0", Restart: FlowsResume, MTU: 1480, Ready: true,
			Neutral: true, Steered: "tcx", Routes: []string{"198.51.100.10"}},
		Servers: []Server{{Name: "backup.example.com", Port: 443, Address: Ptr("198.51.100.10"), Path: "clat", Reachable: &yes,
			RTT: &rtt, Handshake: &tls, Reason: "ok", Checked: Ptr("2026-03-01T11:59:48Z"),
			Others: []Probe{{Address: "64:ff9b::c633:640a", Path: "synthesized", Reachable: &yes, Reason: "ok"}}}},
		Sources: []Source{
			{Source: "ra", Link: Ptr("eth0"), Verdict: "found", Reason: "advertised", Prefixes: []string{"64:ff9b::/96"}},
			{Source: "dns", Link: Ptr("eth0"), Server: Ptr("2001:db8:1::53"), Verdict: "none", Reason: "no DNS64", NextIn: Ptr(61.0), Took: Ptr(0.002), Prefixes: []string{}}},
		Counters: map[string]uint64{"4to6-translated": 12, "6to4-dropped-fragment": 1},
		Since:    now.Add(-time.Minute), Started: now.Add(-time.Hour), Epoch: 3, PID: 4711,
		Times: Times{RAToHandshake: Ptr(1.25)},
	}
}

// lost is a status of a network without NAT64.
func lost() Status {
	return Status{Class: "v6-only-no-nat64", Path: "none", Reason: "no-nat64-prefix", Sentence: "This network has only IPv6, and no NAT64 was found.",
		Advice: Ptr("Ask the network's operator."), Uplink: Ptr("eth0"), Uplinks: []Uplink{{Name: "eth0", Class: "v6-only-no-nat64", IPv6: true}}, Counters: map[string]uint64{},
		Servers: []Server{{Name: "backup.example.com", Port: 443, Path: "none", Reason: "no-path", Others: []Probe{}}},
		Sources: []Source{}, Since: now, Started: now, PID: 4711}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestDocumentsKeepTheirShape(t *testing.T) {
	for name, s := range map[string]Status{"working": working(), "lost": lost()} {
		t.Run(name, func(t *testing.T) {
			b, err := json.MarshalIndent(Wrap(now, "1.2.3", s), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", append(b, '\n'))
			var text bytes.Buffer
			if err := s.Text(&text, now, "1.2.3", Style{Verbose: true}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", text.Bytes())
		})
	}
}

// The fields that the design promises must be there, by name, whatever the
// golden files say.
func TestPromisedFields(t *testing.T) {
	b, err := json.Marshal(Wrap(now, "1.2.3", lost()))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"schema", "generated_at", "version", "result"} {
		if _, ok := doc[k]; !ok {
			t.Errorf("the envelope has no %s", k)
		}
	}
	result := doc["result"].(map[string]any)
	for _, k := range []string{"class", "path", "datapath", "reason", "uplink", "prefix", "clat", "servers", "counters"} {
		if _, ok := result[k]; !ok {
			t.Errorf("the result has no %s", k)
		}
	}
	if result["clat"] != nil || result["prefix"] != nil {
		t.Error("unknown is not null")
	}
	for _, k := range []string{"name", "port", "address", "reachable", "rtt", "reason"} {
		if _, ok := result["servers"].([]any)[0].(map[string]any)[k]; !ok {
			t.Errorf("a server has no %s", k)
		}
	}
}

func TestExitCodes(t *testing.T) {
	yes, no := true, false
	servers := func(reachable ...*bool) (out []Server) {
		for _, r := range reachable {
			out = append(out, Server{Reachable: r})
		}
		return out
	}
	tests := map[string]struct {
		s    Status
		want int
	}{
		"every server is reached":     {Status{Path: "clat", Servers: servers(&yes, &yes)}, 0},
		"one of two is reached":       {Status{Path: "clat", Servers: servers(&yes, &no)}, 10},
		"none is reached":             {Status{Path: "clat", Servers: servers(&no)}, 11},
		"not probed yet":              {Status{Path: "clat", Servers: servers(nil)}, 12},
		"one reached, one not probed": {Status{Path: "clat", Servers: servers(&yes, nil)}, 12},
		"one failed, one not probed":  {Status{Path: "clat", Servers: servers(&no, nil)}, 11},
		"native IPv4 that works":      {Status{Path: "native", Class: "dual-stack", Reason: "native-ipv4", Servers: servers(&yes)}, 0},
		"native IPv4 that does not":   {Status{Path: "native", Class: "dual-stack", Reason: "native-ipv4", Servers: servers(&no)}, 11},
		"no NAT64":                    {Status{Path: "none", Class: "v6-only-no-nat64", Reason: "no-nat64-prefix", Servers: servers(nil)}, 11},
		"offline":                     {Status{Path: "none", Class: "offline", Reason: "no-default-route", Servers: servers(nil)}, 11},
		"just started":                {Status{Path: "none", Class: "unknown", Reason: "discovering-prefix", Servers: servers(nil)}, 12},
		"CLAT being set up":           {Status{Path: "none", Class: "v6-only-nat64", Reason: "clat-starting", Servers: servers(nil)}, 12},
		"resolver silent":             {Status{Path: "none", Class: "unknown", Reason: "sources-do-not-answer", Servers: servers(nil)}, 12},
		"another CLAT":                {Status{Path: "none", Class: "native-clat", Reason: "another-clat", Servers: servers(&yes)}, 13},
		"switched off":                {Status{Path: "none", Class: "v6-only-nat64", Reason: "switched-off", Servers: servers(nil)}, 13},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.s.Exit(); got != tt.want {
				t.Errorf("Exit = %d, want %d", got, tt.want)
			}
		})
	}
}

// TestOneScreen: without -v the text is no longer than a screen and no wider, and
// colour adds nothing but itself.
func TestOneScreen(t *testing.T) {
	for name, s := range map[string]Status{"working": working(), "lost": lost()} {
		var plain, colored bytes.Buffer
		if err := errors.Join(s.Text(&plain, now, "1.2.3", Style{}), s.Text(&colored, now, "1.2.3", Style{Color: true})); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(plain.String(), "\n"); n > 24 {
			t.Errorf("%s: %d lines", name, n)
		}
		for line := range strings.Lines(plain.String()) {
			if utf8.RuneCountInString(line) > Columns+1 {
				t.Errorf("%s: too wide: %q", name, line)
			}
		}
		if !strings.Contains(colored.String(), "\x1b[") || regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored.String(), "") != plain.String() {
			t.Errorf("%s: colour changes the text:\n%s", name, colored.String())
		}
	}
}

// TestEveryExitCodeHasAHeadline: the first word is what people look at.
func TestEveryExitCodeHasAHeadline(t *testing.T) {
	for name, s := range map[string]Status{"OK": working(), "NOT REACHED": lost(), "STANDS DOWN": {Reason: "another-clat"}, "NOT KNOWN YET": {Path: "none", Class: "unknown"}} {
		var b bytes.Buffer
		if err := s.Text(&b, now, "1", Style{}); err != nil || !strings.HasPrefix(b.String(), name+"  ") {
			t.Errorf("%s: %v\n%s", name, err, b.String())
		}
	}
}

func TestFlowsOfTheRelay(t *testing.T) {
	s := working()
	s.Datapath = Ptr("relay")
	s.Counters = map[string]uint64{"tcp-opened": 5, "tcp-ended": 3, "udp-opened": 2, "echo-opened": 1, "echo-ended": 1, "4to6-bytes": 1000, "6to4-bytes": 70, "4to6-dropped-malformed": 4}
	var text bytes.Buffer
	if err := s.Text(&text, now, "1.2.3", Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Flows      8, of which 4 are open; 1000 bytes out, 70 in", "Packets    4 dropped"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
	s = working()
	text.Reset()
	if err := s.Text(&text, now, "1.2.3", Style{}); err != nil || strings.Contains(text.String(), "Flows ") {
		t.Errorf("flows of a translator, %v:\n%s", err, text.String())
	}
}
