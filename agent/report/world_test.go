package report

import (
	"time"

	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/status"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// faulty is a page of a network whose NAT64 went down while it was watched.
func faulty() Page {
	no := false
	check := func(code string, v diag.Verdict, evidence ...string) diag.Check {
		c := diag.Check{Code: code, Title: "Title of " + code, Verdict: v, Evidence: evidence, DependsOn: []string{"routes"}, Took: status.Ptr(0.02)}
		if v == diag.Fail || v == diag.Warn {
			c.Remedy = status.Ptr("Mend it.")
		}
		return c
	}
	p := Page{At: now, Version: "1.2.3", Doctor: diag.Report{
		Checks: []diag.Check{check("links", diag.Pass, "eth0 is up"), check("dns64", diag.Warn, "no AAAA"), check("nat64", diag.Fail, "no echo <script>alert(1)</script>", "no router"),
			check("clock", diag.Unknown, "no certificate"), check("server-tls", diag.Skip, "follows")},
		FirstFailure: status.Ptr("nat64"), Summary: "The broken step is 'NAT64': no echo. backup.example:443 is not reached.", Reached: &no,
		Hops: []diag.Hop{{Name: "this machine", Detail: "eth0", State: diag.Good}, {Name: "CLAT", Detail: "192.0.0.3 on clat0", State: diag.Good}, {Name: "router", Detail: "fe80::1", State: diag.Good},
			{Name: "DNS", Detail: "2001:db8:1::53", State: diag.Good, Beside: true}, {Name: "NAT64", Detail: "2001:db8:64::/96", State: diag.Broken, Check: status.Ptr("nat64")}, {Name: "server", Detail: "backup.example:443", State: diag.Dark}}}}
	for i := range 6 {
		ok := i < 4
		s := status.Status{Class: "v6-only-nat64", Path: "clat", Reason: "clat-carries-ipv4", Sentence: "It is so.", Prefix: status.Ptr("2001:db8:64::/96"),
			CLAT:    &status.CLAT{IPv4: "192.0.0.3", IPv6: status.Ptr("2001:db8:1::c1a7"), Device: "clat0", MTU: 1480, Ready: true},
			Servers: []status.Server{{Name: "backup.example", Port: 443, Path: "clat", Reachable: &ok, Reason: "ok"}}, Counters: map[string]uint64{"4to6-translated": uint64(100 * i)}}
		if ok {
			s.Servers[0].RTT = status.Ptr(0.01 + float64(i)/1000)
		} else {
			s.Servers[0].Reason, s.Path = "timeout", "none"
		}
		p.Samples = append(p.Samples, Sample{now.Add(time.Duration(i) * time.Second), s})
	}
	return p
}

// well is a page without a service.
func well() Page {
	p := faulty()
	yes := true
	p.Doctor.Reached, p.Doctor.FirstFailure, p.Doctor.Checks, p.Samples = &yes, nil, p.Doctor.Checks[:1], nil
	return p
}
