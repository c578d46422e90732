package portal

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers everything with this.
func serve(t *testing.T, secure bool, status int, header, body string) (*httptest.Server, Client) {
	t.Helper()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	})
	c := Client{Dialer: &net.Dialer{}}
	if !secure {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s, c
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	c.Roots = x509.NewCertPool()
	c.Roots.AddCert(s.Certificate())
	return s, c
}

func TestAPI(t *testing.T) {
	const json = "Content-Type: application/captive+json"
	tests := map[string]struct {
		status         int
		header, body   string
		known, captive bool
		signIn, reason string
	}{
		"a sign-in is wanted":      {200, json, `{"captive":true,"user-portal-url":"https://example.org/portal.html"}`, true, true, "https://example.org/portal.html", "a sign-in is wanted"},
		"open":                     {200, json, `{"captive":false,"user-portal-url":"https://example.org/portal.html","seconds-remaining":326}`, true, false, "", "the way out is open"},
		"with a character set":     {200, json + "; charset=utf-8", `{"captive":true}`, true, true, "", "a sign-in is wanted"},
		"an address to run":        {200, json, `{"captive":true,"user-portal-url":"javascript:alert(1)"}`, true, true, "", "a sign-in is wanted"},
		"captive is left out":      {200, json, `{"user-portal-url":"https://example.org/"}`, false, false, "", "does not say"},
		"captive is a word":        {200, json, `{"captive":"yes"}`, false, false, "", "no JSON document"},
		"a page":                   {200, "Content-Type: text/html", `<p>sign in`, false, false, "", "text/html"},
		"an error":                 {500, json, ``, false, false, "", "500"},
		"a redirect, not followed": {302, "Location: https://example.org/", ``, false, false, "", "302"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, c := serve(t, true, tt.status, tt.header, tt.body)
			check(t, c.API(context.Background(), s.URL+"/api"), tt.known, tt.captive, tt.signIn, tt.reason)
		})
	}
}

func TestAPIWithoutAsking(t *testing.T) {
	c := Client{Dialer: &net.Dialer{}}
	check(t, c.API(context.Background(), Unrestricted), true, false, "", "no captive portal")
	check(t, c.API(context.Background(), "http://127.0.0.1/api"), false, false, "", "no https address")
	check(t, c.API(context.Background(), "urn:x"), false, false, "", "no https address")
	s, _ := serve(t, true, 200, "", "")
	check(t, c.API(context.Background(), s.URL), false, false, "", "certificate")
}

func TestProbe(t *testing.T) {
	tests := map[string]struct {
		status         int
		header, body   string
		known, captive bool
		signIn, reason string
	}{
		"nothing stands between": {204, "", "", true, false, "", "answered with 204"},
		"sent to a portal":       {302, "Location: http://192.0.2.1/login?x=1", "", true, true, "http://192.0.2.1/login?x=1", "302 Found"},
		"sent nowhere":           {302, "Location: file:///etc/passwd", "", true, true, "", "302 Found"},
		"a page in its place":    {200, "", "<p>sign in", true, true, "", "200 OK"},
		"sign-in required":       {511, "", "", true, true, "", "511"},
		"out of order":           {503, "", "", false, false, "", "503"},
		"gone":                   {404, "", "", false, false, "", "404"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, c := serve(t, false, tt.status, tt.header, tt.body)
			check(t, c.Probe(context.Background(), s.URL), tt.known, tt.captive, tt.signIn, tt.reason)
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	check(t, Client{Dialer: &net.Dialer{}}.Probe(ctx, "http://127.0.0.1:9/"), false, false, "", "canceled")
}

func check(t *testing.T, a Answer, known, captive bool, signIn, reason string) {
	t.Helper()
	if a.Known != known || a.Captive != captive || a.SignIn != signIn || !strings.Contains(a.Reason, reason) {
		t.Errorf("%+v; want known %v, captive %v, sign in at %q, reason with %q", a, known, captive, signIn, reason)
	}
}

// FuzzJudge: whatever a network's API says, no address but a page's comes out.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"captive":true,"user-portal-url":"https://example.org/portal.html"}`))
	f.Add([]byte(`{"captive":false}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a := judge("https://api.example/", text)
		if a.Captive && !a.Known || a.Reason == "" || a.SignIn != "" && !strings.HasPrefix(a.SignIn, "http") {
			t.Errorf("%+v", a)
		}
		if strings.ContainsAny(a.SignIn, "\n\r\x00\x1b") {
			t.Errorf("control characters in %q", a.SignIn)
		}
	})
}
