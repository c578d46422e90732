package dnssec

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestHarmlessChanges changes what needs no signature.
func TestHarmlessChanges(t *testing.T) {
	w := newWorld()
	for name, test := range map[string]struct {
		ask    string
		tamper func(dns.Question, *dns.Msg) error
		exists bool
	}{
		"NODATA called NXDOMAIN": {"empty.nsec.test.", func(_ dns.Question, m *dns.Msg) error {
			m.Rcode = dns.RcodeNameError
			return nil
		}, true},
		"NXDOMAIN called NOERROR": {"missing.nsec.test.", func(_ dns.Question, m *dns.Msg) error {
			m.Rcode = dns.RcodeSuccess
			return nil
		}, false},
		"a bad signature beside the good one": {"www.nsec.test.", func(_ dns.Question, m *dns.Msg) error {
			for _, sig := range signatures(m) {
				bad := dns.Copy(sig).(*dns.RRSIG)
				bad.Signature = strings.Repeat("A", 86) + "=="
				m.Answer = append([]dns.RR{bad}, m.Answer...)
			}
			return nil
		}, true},
		"order, case and repetition": {"www.nsec.test.", func(_ dns.Question, m *dns.Msg) error {
			slices.Reverse(m.Answer)
			m.Answer = append(m.Answer, m.Answer...)
			for _, rr := range m.Answer {
				rr.Header().Name = strings.ToUpper(rr.Header().Name)
			}
			return nil
		}, true},
		"aliases not followed": {"out.nsec.test.", func(q dns.Question, m *dns.Msg) error {
			if q.Name == "out.nsec.test." {
				m.Answer = m.Answer[:2]
			}
			return nil
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w.Tamper = test.tamper
			if res := w.validate(t, test.ask, dns.TypeAAAA); res.Verdict != Secure || res.Exists != test.exists {
				t.Errorf("%v, exists %v; want secure, exists %v", res, res.Exists, test.exists)
			}
		})
	}
}

// TestNoVerdict: where the resolver does not help, nothing is claimed.
func TestNoVerdict(t *testing.T) {
	w := newWorld()
	for name, test := range map[string]struct {
		tamper func(dns.Question, *dns.Msg) error
		want   Reason
		at     uint16
	}{
		"no answer": {func(dns.Question, *dns.Msg) error { return errors.New("timeout") }, NoAnswer, dns.TypeAAAA},
		"no answer for DS": {func(q dns.Question, _ *dns.Msg) error {
			return map[bool]error{true: errors.New("x")}[q.Qtype == dns.TypeDS]
		}, NoAnswer, dns.TypeDS},
		"SERVFAIL": {func(_ dns.Question, m *dns.Msg) error {
			m.Rcode = dns.RcodeServerFailure
			return nil
		}, ServerError, dns.TypeAAAA},
		"truncated": {func(_ dns.Question, m *dns.Msg) error {
			m.Truncated = true
			return nil
		}, Truncated, dns.TypeAAAA},
	} {
		t.Run(name, func(t *testing.T) {
			w.Tamper = test.tamper
			if res := w.validate(t, "www.nsec.test.", dns.TypeAAAA); res.Verdict != Indeterminate || res.Reason != test.want || res.Type != test.at {
				t.Errorf("%v; want indeterminate: %s (%s)", res, test.want, dns.Type(test.at))
			}
		})
	}
	nothing := Validator{Exchanger: ExchangeFunc(func(context.Context, string, uint16) (*dns.Msg, error) { return nil, nil })}
	if res := nothing.Validate(context.Background(), "example.", dns.TypeA, time.Time{}); res.Verdict != Indeterminate || res.Reason != NoAnswer {
		t.Errorf("a port that returns nothing: %v", res)
	}
}
