package netns

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/test/vnet"
)

const (
	portalName  = "portal.example"
	portalAddr6 = "2001:db8:77::1"
	signInPage  = "https://portal.example/sign-in"
)

// playPortal is a captive portal on args[0]: its API by HTTPS on port 443, with the
// certificate in args[1], and the rest on port 80.
func playPortal(args []string) error {
	if len(args) != 2 {
		return errors.New("want an address and a file")
	}
	p := &vnet.Portal{SignIn: signInPage}
	l, err := net.Listen("tcp", net.JoinHostPort(args[0], "80"))
	if err != nil {
		return err
	}
	fails := make(chan error, 2) // one of each server
	go func() { fails <- http.Serve(l, http.HandlerFunc(p.Plain)) }()
	go func() {
		fails <- http.ListenAndServeTLS(net.JoinHostPort(args[0], "443"), args[1], args[1], http.HandlerFunc(p.API))
	}()
	fmt.Println("ready")
	return <-fails
}

// portal puts one behind the router.
func (l *lab) portal() {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	l.router.ip("link set lo up\n addr add " + portalAddr6 + "/128 dev lo")
	l.env = append(l.env, "SSL_CERT_FILE="+l.ca)
	l.router.start("portal", "env", roleVariable+"=portal", self, portalAddr6, l.file("web.pem")).waitFor("ready")
}

// TestCaptive: the network lets nobody out before a sign-in. The router's API tells
// so, or the address that the configuration names. After the sign-in reach64 goes on
// by itself.
func TestCaptive(t *testing.T) {
	tests := map[string]struct {
		flags    []string
		settings string
		evidence string
	}{
		"the router's API":       {[]string{"--portal", "https://" + portalName + "/api"}, "", "says that a sign-in is wanted"},
		"the configured address": {nil, "[probe]\nportal_url = \"http://" + portalName + "/generate_204\"\n", "answered with 302 Found"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, _ := ready(t, append(tt.flags, "--native6", "--nat64=false", "--zone", portalName+"="+portalAddr6)...)
			l.portal()
			s := l.service(documentation, tt.settings)
			before := l.client.state()
			s.start()
			st := s.waitStatus("a sign-in is wanted", 40*time.Second, func(st status) bool { return st.Class == "captive" })
			if st.code != 11 || st.Path != "none" || st.Reason != "captive-portal" {
				t.Errorf("exit code %d, path %s, reason %s; want 11, none, captive-portal", st.code, st.Path, st.Reason)
			}
			if !strings.Contains(st.Detail, "sign in at "+signInPage) || !strings.Contains(st.Detail, tt.evidence) {
				t.Errorf("detail %q, want where to sign in, and %q", st.Detail, tt.evidence)
			}
			l.router.must("curl", "-sS", "-X", "POST", "http://["+portalAddr6+"]/")
			l.turn("nat64 on")
			begin := time.Now()
			s.up()
			t.Logf("carries %v after the sign-in", time.Since(begin).Round(time.Millisecond))
			l.works()
			s.stop()
			l.client.unchanged(before)
		})
	}
}
