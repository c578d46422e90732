// Package portal asks whether a network wants a sign-in before it lets anybody
// out: by the API that a router advertises (RFC 8908, RFC 8910), or by an HTTP
// address whose answer is known when the way out is open.
//
// It asks once when told to, over the dialer that it is given. When to ask, and
// what follows from the answer, is the caller's.
package portal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
)

// Unrestricted is the URI by which a network says that it has no captive portal,
// RFC 8910 section 2.
const Unrestricted = "urn:ietf:params:capport:unrestricted"

// maxBody bounds an answer of the API, bytes.
const maxBody = 64 << 10

// Dialer opens connections; net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Client asks.
type Client struct {
	Dialer Dialer
	Roots  *x509.CertPool // nil: the system's
}

// Answer is what the network says of itself.
type Answer struct {
	Known   bool   // there was an answer that means something
	Captive bool   // a sign-in is wanted
	SignIn  string // address to sign in at, "" not said
	Reason  string // for people, never empty
}

// API asks the network's captive portal API (RFC 8908).
func (c Client) API(ctx context.Context, uri string) Answer {
	if uri == Unrestricted {
		return Answer{Known: true, Reason: "the network says that it has no captive portal"}
	}
	if u, err := url.Parse(uri); err != nil || u.Scheme != "https" || u.Host == "" {
		return Answer{Reason: fmt.Sprintf("the API's address %q is no https address (RFC 8908 section 4)", uri)}
	}
	resp, err := c.get(ctx, uri, "application/captive+json")
	if err != nil {
		return Answer{Reason: fmt.Sprintf("ask the API: %v", err)}
	}
	defer func() { _ = resp.Body.Close() }()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "application/captive+json" {
		return Answer{Reason: fmt.Sprintf("the API at %s answers %s, %q", uri, resp.Status, kind)}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return Answer{Reason: fmt.Sprintf("read the API's answer: %v", err)}
	}
	return judge(uri, text)
}

// judge reads the document of RFC 8908 section 5.
func judge(uri string, text []byte) Answer {
	var doc struct {
		Captive *bool  `json:"captive"`
		SignIn  string `json:"user-portal-url"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return Answer{Reason: fmt.Sprintf("the API at %s answers with no JSON document: %v", uri, err)}
	}
	if doc.Captive == nil {
		return Answer{Reason: fmt.Sprintf("the API at %s does not say whether the network is captive", uri)}
	}
	a := Answer{Known: true, Captive: *doc.Captive, Reason: "the API at " + uri + " says that the way out is open"}
	if !a.Captive {
		return a
	}
	a.Reason = "the API at " + uri + " says that a sign-in is wanted"
	a.SignIn = page(doc.SignIn)
	return a
}

// Probe asks an HTTP address that answers 204 when nothing stands between. Whatever
// else answers in its place is a captive portal: a redirect, a page, or 511
// (RFC 6585 section 6).
func (c Client) Probe(ctx context.Context, uri string) Answer {
	resp, err := c.get(ctx, uri, "*/*")
	if err != nil {
		return Answer{Reason: fmt.Sprintf("ask %s: %v", uri, err)}
	}
	defer func() { _ = resp.Body.Close() }()
	a := Answer{Known: true, Captive: true, Reason: fmt.Sprintf("%s is answered with %s in place of 204", uri, resp.Status)}
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return Answer{Known: true, Reason: uri + " is answered with 204"}
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		if at, err := resp.Location(); err == nil {
			a.SignIn = page(at.String())
		}
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNetworkAuthenticationRequired:
		a.Known, a.Captive = false, false // the address itself is out of order
	}
	return a
}

// get sends one request on a connection of its own, follows no redirect and uses no
// proxy.
func (c Client) get(ctx context.Context, uri, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: c.Dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: maxBody,
			TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}},
	}
	return client.Do(req)
}

// page returns an address that a person may open, "" for anything else.
func page(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.String()
}
