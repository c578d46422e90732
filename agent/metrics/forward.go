package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/reach64/reach64/tunnel/forward"
)

var (
	forwardOpen  = desc("forward_connections", "Connections that are open now.")
	forwardEnded = desc("forward_connections_total", "Connections of clients by what became of them: accepted, of these failed since the server could not be reached or nothing sensible was asked for, and closed since nothing moved.", "what")
	forwardBytes = desc("forward_bytes_total", "Bytes to (up) and from (down) servers.", "direction")
)

// forwarder shows the counters of local listeners.
type forwarder struct{ of func() forward.Stats }

// ShowForward says where the counters of local listeners come from. At most once.
func (m *Metrics) ShowForward(of func() forward.Stats) { m.registry.MustRegister(forwarder{of}) }

// Describe is prometheus.Collector's.
func (f forwarder) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{forwardOpen, forwardEnded, forwardBytes} {
		out <- d
	}
}

// Collect is prometheus.Collector's.
func (f forwarder) Collect(out chan<- prometheus.Metric) {
	s := f.of()
	count := func(d *prometheus.Desc, n uint64, label string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
	}
	out <- prometheus.MustNewConstMetric(forwardOpen, prometheus.GaugeValue, float64(s.Open))
	count(forwardEnded, s.Accepted, "accepted")
	count(forwardEnded, s.Failed, "failed")
	count(forwardEnded, s.Idle, "idle")
	count(forwardBytes, s.Up, "up")
	count(forwardBytes, s.Down, "down")
}
