package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// logged is a service whose log grows when it is told to.
type logged struct {
	fake
	mu    sync.Mutex
	lines []Line
	more  chan struct{}
}

func (l *logged) write(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, Line{uint64(len(l.lines) + 1), text})
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

func (l *logged) Lines(after uint64) ([]Line, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return append([]Line(nil), l.lines[after:]...), l.more
}

func TestLastLinesOfTheLog(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only an administrator may read the log")
	}
	var l logged
	for i := range 5 {
		l.write(fmt.Sprintf("line %d", i))
	}
	socket := serve(t, &l)
	for n, want := range map[int]string{0: "", 2: "line 3\nline 4\n", 100: "line 0\nline 1\nline 2\nline 3\nline 4\n"} {
		var out bytes.Buffer
		if err := Logs(t.Context(), socket, n, false, &out); err != nil || out.String() != want {
			t.Errorf("%d lines: %q, %v; want %q", n, out.String(), err, want)
		}
	}
	if err := Logs(t.Context(), serve(t, &fake{}), 1, false, io.Discard); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a service without a log: %v", err)
	}
}

// writes hands on what is written.
type writes chan string

func (w writes) Write(b []byte) (int, error) { w <- string(b); return len(b), nil }

func TestFollowTheLog(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only an administrator may read the log")
	}
	var l logged
	l.write("before")
	socket := serve(t, &l)
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(writes), make(chan error, 1)
	go func() { done <- Logs(ctx, socket, 10, true, out) }()
	if got := <-out; got != "before\n" {
		t.Errorf("first %q", got)
	}
	l.write("after")
	if got := <-out; got != "after\n" {
		t.Errorf("then %q", got)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestNotEverybodyReadsTheLog(t *testing.T) {
	w := httptest.NewRecorder()
	newServer(&logged{}).logs(w, httptest.NewRequest(http.MethodGet, "/v1/logs?lines=1", nil)) // a peer that is nobody
	if w.Code != http.StatusForbidden {
		t.Errorf("answered %d", w.Code)
	}
}

func TestGoroutinesAreForAdministrators(t *testing.T) {
	w := httptest.NewRecorder()
	newServer(&fake{}).goroutines(w, httptest.NewRequest(http.MethodGet, "/v1/goroutines", nil))
	if w.Code != http.StatusForbidden {
		t.Errorf("answered %d", w.Code)
	}
	if os.Geteuid() != 0 {
		t.Skip("the rest needs root")
	}
	text, err := Get(t.Context(), serve(t, &fake{}), "/v1/goroutines")
	if err != nil || !strings.Contains(string(text), "goroutine ") {
		t.Errorf("%v: %.80s", err, text)
	}
}
