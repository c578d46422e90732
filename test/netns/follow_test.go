package netns

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// follower has every status document that the service sends to those who watch, with
// the moment when it came. Its goroutine ends with the test.
type follower struct {
	mu   sync.Mutex
	docs []followed
}

type followed struct {
	at time.Time
	status
}

// follow watches the service over its control socket, as `reach64 status --watch` does.
func (s *service) follow() *follower {
	s.l.t.Helper()
	f := &follower{}
	ctx, cancel := context.WithCancel(context.Background())
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://reach64/v1/watch", nil)
	if err != nil {
		s.l.t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		s.l.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(make([]byte, 64<<10), 1<<20)
		for lines.Scan() {
			text, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			var doc struct {
				Result status `json:"result"`
			}
			if !ok || json.Unmarshal(text, &doc) != nil {
				continue
			}
			doc.Result.text = string(text)
			f.mu.Lock()
			f.docs = append(f.docs, followed{time.Now(), doc.Result})
			f.mu.Unlock()
		}
	}()
	s.l.t.Cleanup(func() { cancel(); _ = resp.Body.Close(); <-done; tr.CloseIdleConnections() })
	return f
}

// since are the documents that came after n others.
func (f *follower) since(n int) []followed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.docs[n:]
}

// last is the newest one, and how many there are.
func (f *follower) last() (followed, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.docs) == 0 {
		return followed{}, 0
	}
	return f.docs[len(f.docs)-1], len(f.docs)
}

// wait waits until the newest document is right, and returns it.
func (f *follower) wait(t *testing.T, what string, limit time.Duration, right func(status) bool) followed {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		d, _ := f.last()
		if d.text != "" && right(d.status) {
			return d
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v: class %s, path %s, reason %s, detail %q\n%s", what, limit, d.Class, d.Path, d.Reason, d.Detail, d.text)
		}
		<-time.After(2 * time.Millisecond)
	}
}
