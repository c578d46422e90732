package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/agent/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func yes() *bool {
	v := true
	return &v
}

// whole is a service with everything that can be shown.
func whole() *Metrics {
	m := New("1.2.3")
	m.Show(func() status.Status {
		return status.Status{Class: "v6-only-nat64", Path: "clat", Reason: "clat-carries-ipv4", Since: time.Unix(1700000000, 500e6),
			CLAT: &status.CLAT{Ready: true},
			Servers: []status.Server{{Name: "b.example", Port: 443, Reachable: yes(), RTT: status.Seconds(20 * time.Millisecond)},
				{Name: "b.example", Port: 443, Reachable: new(bool)}, {Name: "c.example", Port: 8443}},
			Sources:  []status.Source{{Source: "dns", Verdict: "found"}, {Source: "dns", Verdict: "found"}, {Source: "ra", Verdict: "none"}},
			Counters: map[string]uint64{"4to6-translated": 7, "4to6-bytes": 700, "6to4-dropped-bad-fragment": 1, "steer-to-clat": 8, "write-errors": 2}}
	})
	m.Transition("offline", "none", "no-default-route")
	m.Transition("v6-only-nat64", "clat", "clat-carries-ipv4")
	m.Probed("clat", "ok", true, 30*time.Millisecond)
	m.Probed("clat", "tcp-timeout", false, 0)
	return m
}

func TestWhatIsShown(t *testing.T) {
	want := `
# HELP reach64_bytes_total Bytes of translated packets; starts anew with each CLAT.
# TYPE reach64_bytes_total counter
reach64_bytes_total{direction="4to6"} 700
# HELP reach64_clat_events_total Other things that the CLAT counts; starts anew with each CLAT.
# TYPE reach64_clat_events_total counter
reach64_clat_events_total{event="write-errors"} 2
# HELP reach64_clat_up 1 while the CLAT carries packets.
# TYPE reach64_clat_up gauge
reach64_clat_up 1
# HELP reach64_class What kind of network this is; 1 for the class in force.
# TYPE reach64_class gauge
reach64_class{class="v6-only-nat64"} 1
# HELP reach64_discovery_source What a source of prefixes says; how many links and resolvers gave this verdict.
# TYPE reach64_discovery_source gauge
reach64_discovery_source{source="dns",verdict="found"} 2
reach64_discovery_source{source="ra",verdict="none"} 1
# HELP reach64_packets_total Packets by what became of them in the CLAT; starts anew with each CLAT.
# TYPE reach64_packets_total counter
reach64_packets_total{direction="4to6",verdict="translated"} 7
reach64_packets_total{direction="6to4",verdict="dropped-bad-fragment"} 1
# HELP reach64_path How the servers are reached; 1 for the path in force.
# TYPE reach64_path gauge
reach64_path{path="clat"} 1
# HELP reach64_probes_total Probes of servers by path and result.
# TYPE reach64_probes_total counter
reach64_probes_total{path="clat",result="ok"} 1
reach64_probes_total{path="clat",result="tcp-timeout"} 1
# HELP reach64_reason Why it is so; 1 for the reason in force.
# TYPE reach64_reason gauge
reach64_reason{reason="clat-carries-ipv4"} 1
# HELP reach64_server_reachable 1 if the server answered the last probe over the path in use, 0 if not; missing before the first.
# TYPE reach64_server_reachable gauge
reach64_server_reachable{port="443",server="b.example"} 1
# HELP reach64_server_rtt_seconds Duration of the last TCP handshake with the server.
# TYPE reach64_server_rtt_seconds gauge
reach64_server_rtt_seconds{port="443",server="b.example"} 0.02
# HELP reach64_state_since_timestamp_seconds When class, path or reason last changed.
# TYPE reach64_state_since_timestamp_seconds gauge
reach64_state_since_timestamp_seconds 1.7000000005e+09
# HELP reach64_steering_packets_total Packets between uplink and CLAT by what became of them; starts anew with each CLAT.
# TYPE reach64_steering_packets_total counter
reach64_steering_packets_total{verdict="to-clat"} 8
# HELP reach64_transitions_total Changes of class, path or reason, by what they led to.
# TYPE reach64_transitions_total counter
reach64_transitions_total{class="offline",path="none",reason="no-default-route"} 1
reach64_transitions_total{class="v6-only-nat64",path="clat",reason="clat-carries-ipv4"} 1
`
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.GatherAndCompare(whole().registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestNamesAreAsPrometheusWantsThem(t *testing.T) {
	problems, err := testutil.GatherAndLint(whole().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestServed(t *testing.T) {
	m := whole()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(free.Addr().String())
	_ = free.Close()
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, log, at) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]int{"/metrics": 200, "/": 404} {
		var resp *http.Response
		for range 100 { // until it listens
			if resp, err = client.Get("http://" + at.String() + path); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want || want == 200 && !strings.Contains(string(body), `reach64_path{path="clat"} 1`) {
			t.Errorf("%s: %d\n%s", path, resp.StatusCode, body)
		}
	}
}

// TestATakenAddressIsNoEnd: the service goes on, and ends when it is told to.
func TestATakenAddressIsNoEnd(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	log := logrus.New()
	warned := make(chan struct{}, 10)
	log.SetOutput(writer(func() { warned <- struct{}{} }))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New("x").Serve(ctx, log, netip.MustParseAddrPort(taken.Addr().String())) }()
	<-warned
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type writer func()

func (w writer) Write(b []byte) (int, error) {
	w()
	return len(b), nil
}
