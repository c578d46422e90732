package sock

import (
	"net"
	"strings"
	"testing"
)

func TestUnboundReachesALocalServer(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dialer("").DialContext(t.Context(), "tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestNamesAreNotResolved(t *testing.T) {
	if _, err := Dialer("").DialContext(t.Context(), "tcp4", "localhost:80"); err == nil || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("err = %v, want one that names what was given", err)
	}
}

func TestLinkThatDoesNotExistIsNamed(t *testing.T) {
	if _, err := Dialer("r64none").DialContext(t.Context(), "tcp4", "127.0.0.1:9"); err == nil || !strings.Contains(err.Error(), "r64none") {
		t.Errorf("err = %v, want one that names the link", err)
	}
}
