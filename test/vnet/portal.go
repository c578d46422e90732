package vnet

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// Portal is a captive portal. Its handlers may be used at any time.
type Portal struct {
	SignIn string // the page to sign in at
	in     atomic.Bool
}

// Plain answers on port 80 in place of everybody until somebody signs in, which is a
// POST to anywhere, and again after a POST to /out.
func (p *Portal) Plain(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		p.in.Store(r.URL.Path != "/out")
	case p.in.Load():
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Redirect(w, r, p.SignIn, http.StatusFound)
	}
}

// API is the portal's, to be served by HTTPS (RFC 8908).
func (p *Portal) API(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/captive+json")
	fmt.Fprintf(w, `{"captive":%v,"user-portal-url":%q}`, !p.in.Load(), p.SignIn)
}
