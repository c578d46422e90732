package discover

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/pref64"
)

// FuzzJudge: whatever answers, there is a verdict with a reason, within the bounds.
func FuzzJudge(f *testing.F) {
	q := new(dns.Msg).SetQuestion(name, dns.TypeAAAA)
	for _, r := range []reply{dns64(300, wkp, nsp), noDNS64(dns.RcodeNameError, 60, 60), failing(dns.RcodeServerFailure)} {
		b, err := r(q).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		a := judge(m)
		switch {
		case a.reason == "" || a.verdict != Found && a.verdict != None && a.verdict != Error,
			(a.verdict == Found) != (len(a.prefixes) > 0), len(a.prefixes) > pref64.MaxPrefixes,
			a.lifetime < 0 || a.lifetime > ttlMax || a.verdict == Found && a.lifetime < ttlMin:
			t.Fatalf("%+v", a)
		}
		for _, p := range a.prefixes {
			if !p.IsValid() {
				t.Fatalf("%+v", a)
			}
		}
	})
}
