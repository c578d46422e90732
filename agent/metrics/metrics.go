// Package metrics shows the service to Prometheus: the status document as gauges and
// counters at the moment of the scrape, and what it is told of transitions and probes.
//
// It decides and measures nothing by itself. Labels come from fixed lists of words and
// from the configuration, so that their number is bounded; the network cannot add any.
package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/reach64/reach64/agent/status"
)

// Metrics is a registry of its own. It is safe for concurrent use.
type Metrics struct {
	registry    *prometheus.Registry
	status      atomic.Pointer[func() status.Status]
	transitions *prometheus.CounterVec
	probes      *prometheus.CounterVec
	took        *prometheus.HistogramVec
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("reach64_"+name, help, labels, nil)
}

var (
	class     = desc("class", "What kind of network this is; 1 for the class in force.", "class")
	path      = desc("path", "How the servers are reached; 1 for the path in force.", "path")
	reason    = desc("reason", "Why it is so; 1 for the reason in force.", "reason")
	since     = desc("state_since_timestamp_seconds", "When class, path or reason last changed.")
	clatUp    = desc("clat_up", "1 while the CLAT carries packets.")
	reachable = desc("server_reachable", "1 if the server answered the last probe over the path in use, 0 if not; missing before the first.", "server", "port")
	rtt       = desc("server_rtt_seconds", "Duration of the last TCP handshake with the server.", "server", "port")
	source    = desc("discovery_source", "What a source of prefixes says; how many links and resolvers gave this verdict.", "source", "verdict")
	packets   = desc("packets_total", "Packets by what became of them in the CLAT; starts anew with each CLAT.", "direction", "verdict")
	bytes     = desc("bytes_total", "Bytes of translated packets; starts anew with each CLAT.", "direction")
	steered   = desc("steering_packets_total", "Packets between uplink and CLAT by what became of them; starts anew with each CLAT.", "verdict")
	events    = desc("clat_events_total", "Other things that the CLAT counts; starts anew with each CLAT.", "event")
)

// New returns the metrics of the program of this version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reach64_transitions_total",
			Help: "Changes of class, path or reason, by what they led to."}, []string{"class", "path", "reason"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reach64_probes_total",
			Help: "Probes of servers by path and result."}, []string{"path", "result"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "reach64_probe_duration_seconds",
			Help: "Duration of probes that reached the server, handshakes only.", Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"path"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "reach64_build_info", Help: "The running program; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()}})
	info.Set(1)
	m.registry.MustRegister(m, m.transitions, m.probes, m.took, info, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Show says where the status comes from. Before it there is none.
func (m *Metrics) Show(of func() status.Status) { m.status.Store(&of) }

// Transition counts a change of class, path or reason.
func (m *Metrics) Transition(class, path, reason string) {
	m.transitions.WithLabelValues(class, path, reason).Inc()
}

// Probed counts a probe; took is that of its handshakes.
func (m *Metrics) Probed(path, result string, reachable bool, took time.Duration) {
	m.probes.WithLabelValues(path, result).Inc()
	if reachable {
		m.took.WithLabelValues(path).Observe(took.Seconds())
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 5 * time.Second})
}

// Describe is prometheus.Collector's.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{class, path, reason, since, clatUp, reachable, rtt, source, packets, bytes, steered, events} {
		out <- d
	}
}

// Collect is prometheus.Collector's.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	of := m.status.Load()
	if of == nil {
		return
	}
	st := (*of)()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(class, 1, st.Class)
	gauge(path, 1, st.Path)
	gauge(reason, 1, st.Reason)
	gauge(since, float64(st.Since.UnixMilli())/1000)
	gauge(clatUp, number(st.CLAT != nil && st.CLAT.Ready))
	servers := make(map[[2]string]bool) // a name may be configured twice
	for _, s := range st.Servers {
		key := [2]string{s.Name, strconv.Itoa(int(s.Port))}
		if servers[key] {
			continue
		}
		servers[key] = true
		if s.Reachable != nil {
			gauge(reachable, number(*s.Reachable), key[0], key[1])
		}
		if s.RTT != nil {
			gauge(rtt, *s.RTT, key[0], key[1])
		}
	}
	verdicts := make(map[[2]string]int)
	for _, s := range st.Sources {
		verdicts[[2]string{s.Source, s.Verdict}]++
	}
	for k, n := range verdicts {
		gauge(source, float64(n), k[0], k[1])
	}
	for name, n := range st.Counters {
		d, labels := counter(name)
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
}

// counter gives a counter of the status document its metric and labels.
func counter(name string) (*prometheus.Desc, []string) {
	if verdict, ok := strings.CutPrefix(name, "steer-"); ok {
		return steered, []string{verdict}
	}
	for _, direction := range []string{"4to6", "6to4"} {
		verdict, ok := strings.CutPrefix(name, direction+"-")
		switch {
		case ok && verdict == "bytes":
			return bytes, []string{direction}
		case ok:
			return packets, []string{direction, verdict}
		}
	}
	return events, []string{name}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
