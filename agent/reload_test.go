package agent

import (
	"crypto/x509"
	"slices"
	"testing"

	"github.com/reach64/reach64/agent/config"
)

func TestSameServer(t *testing.T) {
	pool := func(names ...string) *x509.CertPool {
		p := x509.NewCertPool()
		for _, n := range names {
			p.AddCert(&x509.Certificate{Raw: []byte(n), RawSubject: []byte(n)})
		}
		return p
	}
	base := func() config.Server { return config.Server{Name: "b.example", Port: 443, TLS: true, CAs: pool("one")} }
	tests := map[string]struct {
		change func(*config.Server)
		want   bool
	}{
		"nothing":                        {func(*config.Server) {}, true},
		"the same file, read once more":  {func(s *config.Server) { s.CAs = pool("one") }, true},
		"the file has another authority": {func(s *config.Server) { s.CAs = pool("two") }, false},
		"no file any more":               {func(s *config.Server) { s.CAs = nil }, false},
		"port":                           {func(s *config.Server) { s.Port = 8443 }, false},
		"a pin":                          {func(s *config.Server) { s.Pins = [][]byte{{1}} }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := base()
			tt.change(&s)
			if got := sameServer(base(), s); got != tt.want || sameServer(s, base()) != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestKeysOfTheStart(t *testing.T) {
	var first config.Config
	now := first
	if got := atStart(first, now); len(got) != 0 {
		t.Errorf("nothing changed, yet %q", got)
	}
	now.Control.Socket, now.Log.Level = "/x", "debug"
	if got := atStart(first, now); !slices.Equal(got, []string{"control.socket"}) {
		t.Errorf("%q", got)
	}
}
