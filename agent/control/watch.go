package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/ipc"
)

// Limits of watching.
const (
	maxWatchers = 16
	heartbeat   = 15 * time.Second // a comment, so that both ends see that the other is there
	writeLimit  = 10 * time.Second // for one event
)

// Watched is a Service that tells when its status may have changed.
type Watched interface {
	// Watch returns a channel of capacity 1 that gets a value after each change, and
	// what ends that.
	Watch() (changed <-chan struct{}, stop func())
}

// watch sends the status now and after each change, as server-sent events: each
// has one line of data, the document of /v1/status.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	svc, ok := s.svc.(Watched)
	if !ok {
		http.NotFound(w, r)
		return
	}
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		s.reply(w, http.StatusServiceUnavailable, Problem{Error: fmt.Sprintf("%d others watch already", maxWatchers)})
		return
	}
	changed, stop := svc.Watch()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	stream := http.NewResponseController(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	send := func(text []byte) error {
		if err := stream.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		return stream.Flush()
	}
	last := s.svc.Status()
	err := send(s.event(last))
	for err == nil {
		select {
		case <-r.Context().Done():
			return
		case <-s.ending:
			return
		case <-beat.C:
			err = send([]byte(": still there\n\n"))
		case <-changed:
			if now := s.svc.Status(); !now.Same(last) {
				last = now
				err = send(s.event(now))
			}
		}
	}
}

// event is one server-sent event.
func (s *Server) event(st status.Status) []byte {
	doc, err := json.Marshal(status.Wrap(time.Now(), s.version, st))
	if err != nil {
		s.log.WithError(err).Error("write status document")
	}
	return fmt.Appendf(nil, "event: status\ndata: %s\n\n", doc)
}

// Watch calls each with the status document now and after each change, until ctx
// ends, the service ends, or each returns an error. It gives ipc.ErrNotRunning when
// nobody listens.
func Watch(ctx context.Context, socket string, each func(doc []byte) error) error {
	tr := &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return ipc.Dial(ctx, socket) }}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://reach64/v1/watch", nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask service at %s: %w", socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("watch service: it answered %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxAnswer)
	for lines.Scan() {
		if doc, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			if err := each(doc); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("watch service: %w", err)
	}
	return fmt.Errorf("watch service: %w", io.ErrUnexpectedEOF)
}
