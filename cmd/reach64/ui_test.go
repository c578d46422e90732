package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/report"
	"github.com/reach64/reach64/agent/status"
)

// startUI serves a page of one report until the test ends.
func startUI(t *testing.T) *ui {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := newUI(l.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	looked := make(chan struct{}, 10)
	done := make(chan error, 1)
	go func() {
		done <- u.run(ctx, l, func(context.Context) (diag.Report, error) {
			defer func() { looked <- struct{}{} }()
			return diag.Report{Summary: "All is well here."}, nil
		}, func(context.Context) []report.Sample {
			return []report.Sample{{At: time.Now(), Status: status.Status{Class: "dual-stack"}}}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-looked
	return u
}

// ask is one request, as a browser with this jar sends it.
func ask(t *testing.T, jar http.CookieJar, method, url, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := (&http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestUIIsForWhoHasTheToken(t *testing.T) {
	u := startUI(t)
	base := "http://" + u.address
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name, method, path, host string
		jar                      http.CookieJar
		code                     int
		says                     string
	}{
		{"without a token", "GET", "/", "", jar, 403, "open the address"},
		{"with another", "GET", "/?token=" + strings.Repeat("0", 32), "", jar, 403, "not the one"},
		{"by another name", "GET", "/?token=" + u.token, "evil.example", jar, 421, "this page is at"},
		{"with the token", "GET", "/?token=" + u.token, "", jar, 200, "All is well here."},
		{"again", "GET", "/", "", jar, 200, `id="report"`},
		{"what renews it", "GET", "/page", "", jar, 200, "dual-stack"},
		{"the token a second time", "GET", "/?token=" + u.token, "", nil, 403, "has been used"},
		{"somebody else", "GET", "/page", "", nil, 403, "open the address"},
		{"a change", "POST", "/", "", jar, 405, "only shows"},
		{"elsewhere", "GET", "/v1/status", "", jar, 404, ""},
	}
	for _, s := range steps {
		code, text := ask(t, s.jar, s.method, base+s.path, s.host)
		if code != s.code || !strings.Contains(text, s.says) {
			t.Errorf("%s: %d, want %d and %q\n%.300s", s.name, code, s.code, s.says, text)
		}
	}
}

func TestUIRestsWhileNobodyLooks(t *testing.T) {
	u := newUI("127.0.0.1:1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := 0
	u.every(ctx, time.Hour, func() { done++ })
	u.seen = time.Now().Add(-2 * time.Hour)
	u.every(ctx, time.Hour, func() { done++ })
	if done != 1 {
		t.Errorf("worked %d times, want once: while somebody looked", done)
	}
}

func TestUIListensOnLoopbackAlone(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "192.0.2.1:80", "[::]:0", "localhost", ""} {
		err := runUI(t.Context(), io.Discard, uiFlags{listen: listen}, "")
		var e *exit
		if err == nil || !strings.Contains(err.Error(), "no loopback address") || !errors.As(err, &e) || e.code != status.ExitUsage {
			t.Errorf("--listen %q: %v", listen, err)
		}
	}
}
