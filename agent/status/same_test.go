package status

import "testing"

func TestSame(t *testing.T) {
	base := func() Status {
		return Status{Class: "v6-only-nat64", Path: "clat", Reason: "clat-carries-ipv4", Prefix: Ptr("64:ff9b::/96"),
			Servers:  []Server{{Name: "b.example", Port: 443, Reachable: Ptr(true), RTT: Ptr(0.1), Checked: Ptr("now")}},
			Sources:  []Source{{Source: "dns", Verdict: "found", Took: Ptr(0.1), NextIn: Ptr(30.0)}},
			Counters: map[string]uint64{"4to6-translated": 1}}
	}
	tests := map[string]struct {
		change func(*Status)
		want   bool
	}{
		"nothing":                {func(*Status) {}, true},
		"counters":               {func(s *Status) { s.Counters = map[string]uint64{"4to6-translated": 2} }, true},
		"time of a probe":        {func(s *Status) { s.Servers[0].RTT, s.Servers[0].Checked = Ptr(0.2), Ptr("later") }, true},
		"time of a question":     {func(s *Status) { s.Sources[0].NextIn, s.Sources[0].Took = Ptr(29.0), Ptr(0.3) }, true},
		"reason":                 {func(s *Status) { s.Reason = "server-does-not-answer" }, false},
		"detail":                 {func(s *Status) { s.Detail = Ptr("x") }, false},
		"a server":               {func(s *Status) { s.Servers[0].Reachable = nil }, false},
		"a source's verdict":     {func(s *Status) { s.Sources[0].Verdict = "error" }, false},
		"the CLAT":               {func(s *Status) { s.CLAT = &CLAT{IPv4: "192.0.0.3"} }, false},
		"another server appears": {func(s *Status) { s.Servers = append(s.Servers, Server{}) }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := base(), base()
			tt.change(&b)
			if a.Same(b) != tt.want || b.Same(a) != tt.want {
				t.Errorf("Same = %v", a.Same(b))
			}
			if a.Counters == nil || a.Servers[0].RTT == nil {
				t.Error("Same has changed what it looked at")
			}
		})
	}
}
