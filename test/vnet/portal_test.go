package vnet

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPortal(t *testing.T) {
	p := &Portal{SignIn: "https://portal.example/"}
	for _, c := range []struct {
		method, path string
		code         int
		captive      string // in what the API says after it
	}{
		{http.MethodGet, "/generate_204", http.StatusFound, `"captive":true`},
		{http.MethodPost, "/", http.StatusOK, `"captive":false`},
		{http.MethodGet, "/generate_204", http.StatusNoContent, `"captive":false`},
		{http.MethodPost, "/out", http.StatusOK, `"captive":true`},
		{http.MethodGet, "/", http.StatusFound, `"captive":true`},
	} {
		plain, api := httptest.NewRecorder(), httptest.NewRecorder()
		p.Plain(plain, httptest.NewRequest(c.method, c.path, nil))
		p.API(api, httptest.NewRequest(http.MethodGet, "/api", nil))
		if to := plain.Header().Get("Location"); plain.Code != c.code || (c.code == http.StatusFound) != (to == p.SignIn) {
			t.Errorf("%s %s: %d to %q, want %d", c.method, c.path, plain.Code, to, c.code)
		}
		if text := api.Body.String(); !strings.Contains(text, c.captive) || !strings.Contains(text, p.SignIn) {
			t.Errorf("after %s %s the API says %s, want %s", c.method, c.path, text, c.captive)
		}
	}
}
