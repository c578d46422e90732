package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/reach64/reach64/tunnel/forward"
)

func TestForwardCounters(t *testing.T) {
	m := New("test")
	m.ShowForward(func() forward.Stats { return forward.Stats{Open: 2, Accepted: 7, Failed: 1, Idle: 3, Up: 11, Down: 13} })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"reach64_forward_connections 2", `reach64_forward_connections_total{what="accepted"} 7`, `{what="failed"} 1`,
		`{what="idle"} 3`, `reach64_forward_bytes_total{direction="up"} 11`, `{direction="down"} 13`} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("%q is missing in\n%s", want, w.Body)
		}
	}
}
