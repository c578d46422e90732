package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/reach64/reach64/platform/ipc"
)

// Line is one line of the service's log. Numbers rise by one, from 1.
type Line struct {
	Number uint64
	Text   string // without its end
}

// Logged is a Service that keeps the last lines of its log.
type Logged interface {
	// Lines returns the kept lines with a number above after, and a channel that is
	// closed when there are more.
	Lines(after uint64) (lines []Line, more <-chan struct{})
}

// logs sends the last lines as text, and with follow those that come, until the
// client or the service ends. Only an administrator may: the log names servers and
// networks.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	svc, ok := s.svc.(Logged)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if peer, _ := r.Context().Value(peerKey{}).(ipc.Peer); !peer.Admin {
		s.reply(w, http.StatusForbidden, Problem{Error: fmt.Sprintf("uid %d may not read the log, only an administrator may", peer.UID)})
		return
	}
	last, err := strconv.Atoi(r.FormValue("lines"))
	if err != nil || last < 0 {
		s.reply(w, http.StatusUnprocessableEntity, Problem{Error: fmt.Sprintf("%q is no number of lines", r.FormValue("lines"))})
		return
	}
	follow := r.FormValue("follow") != ""
	if follow {
		select {
		case s.watchers <- struct{}{}:
			defer func() { <-s.watchers }()
		default:
			s.reply(w, http.StatusServiceUnavailable, Problem{Error: fmt.Sprintf("%d others watch already", maxWatchers)})
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	stream := http.NewResponseController(w)
	after := uint64(0)
	for first := true; ; first = false {
		lines, more := svc.Lines(after)
		if first && len(lines) > last {
			lines = lines[len(lines)-last:]
		}
		if err := stream.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return
		}
		for _, l := range lines {
			after = l.Number
			if _, err := io.WriteString(w, l.Text+"\n"); err != nil {
				return
			}
		}
		if !follow || stream.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		case <-s.ending:
			return
		}
	}
}

// Logs copies the last lines of the log of the service behind socket to out, and with
// follow those that come, until ctx or the service ends.
func Logs(ctx context.Context, socket string, lines int, follow bool, out io.Writer) error {
	tr := &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return ipc.Dial(ctx, socket) }}
	defer tr.CloseIdleConnections()
	path := fmt.Sprintf("http://reach64/v1/logs?lines=%d", lines)
	if follow {
		path += "&follow=1"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask service at %s: %w", socket, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden:
		return ErrForbidden
	default:
		return fmt.Errorf("ask service for its log: it answered %s", resp.Status)
	}
	if _, err := io.Copy(out, resp.Body); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("read log of service: %w", err)
	}
	return nil
}
