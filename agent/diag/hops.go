package diag

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reach64/reach64/tunnel/dial"
)

// State is how the way to a hop is.
type State string

// The states.
const (
	Good   State = "good"
	Broken State = "broken"
	Dark   State = "unknown" // not seen, or behind what is broken
)

// Hop is one station on the way to the server, or beside it, and how the way from
// the station before is.
type Hop struct {
	Name   string  `json:"name"` // this machine, CLAT, router, DNS, NAT64, server
	Detail string  `json:"detail"`
	State  State   `json:"state"`
	Beside bool    `json:"beside"` // it hangs on the station before and leads nowhere further
	Check  *string `json:"check"`  // code of the first check that failed on the way to it
}

// groups are the checks that tell about the way to a hop.
var groups = map[string][]string{
	"CLAT":   {"configuration", "permission", "service", "loaded", "clat", "clat-route", "clat-datapath", "clat-path", "other-clat"},
	"router": {"links", "addresses", "routes", "captive", "vpn", "ipv4"},
	"DNS":    {"resolvers", "name", "records", "ipv4only", "dns64"},
	"NAT64":  {"prefix", "prefix-sources", "nat64"},
	"server": {"mtu", "server-tcp", "server-tls", "server-identity", "server-certificate", "server-rtt", "clock"},
}

// hops is the way, as the verdicts have it.
func hops(e *Evidence, checks []Check) []Hop {
	up, have6 := e.uplink6()
	if !have6 {
		up, _ = e.uplink4()
	}
	out := []Hop{{Name: "this machine", Detail: up.Name, State: Good}}
	dark := false
	add := func(name, detail string, beside bool) {
		h := Hop{Name: name, Detail: detail, Beside: beside, State: Good}
		seen := false
		for _, c := range checks {
			if !slices.Contains(groups[name], c.Code) {
				continue
			}
			if c.Verdict == Fail && h.State != Broken {
				h.State, h.Check = Broken, &c.Code
			}
			seen = seen || c.Verdict == Pass || c.Verdict == Warn
		}
		if h.State == Good && (!seen || dark && name != "DNS" && name != "NAT64") {
			h.State = Dark
		}
		dark = dark || h.State == Broken && !beside && name != "CLAT"
		out = append(out, h)
	}
	if c := e.Service.Status.CLAT; e.Service.Running && c != nil {
		add("CLAT", c.IPv4+" on "+c.Device, false)
	} else if e.Foreign != nil {
		add("CLAT", e.Foreign.Name+" on "+e.Foreign.Link, false)
	} else if e.needs64() || failed(checks, groups["CLAT"]) {
		add("CLAT", "none", false)
		if h := &out[len(out)-1]; h.State == Good {
			h.State = Dark // nothing is broken, and nothing is there
		}
	}
	r, _ := e.Net.Default(have6, e.ownIndex())
	gateway := ""
	if r.Gateway.IsValid() {
		gateway = r.Gateway.String()
	}
	add("router", gateway, false)
	var servers []string
	for _, a := range e.Answers {
		servers = append(servers, a.Server.Addr.Addr().String())
	}
	add("DNS", strings.Join(servers, " "), true)
	if known := e.Prefixes(); len(known) > 0 && !e.native() {
		add("NAT64", known[0].Prefix.String(), false)
	} else if e.needs64() {
		add("NAT64", "", false)
	}
	var names []string
	for i := range e.Servers {
		names = append(names, e.Servers[i].label())
	}
	add("server", strings.Join(names, " "), false)
	return out
}

func failed(checks []Check, codes []string) bool {
	return slices.ContainsFunc(checks, func(c Check) bool { return c.Verdict == Fail && slices.Contains(codes, c.Code) })
}

// native tells whether every server is reached without a NAT64.
func (e *Evidence) native() bool {
	for i := range e.Servers {
		p, ok := e.Servers[i].reached()
		if !ok || p.Kind != dial.NativeIPv4 && p.Kind != dial.NativeIPv6 {
			return false
		}
	}
	return len(e.Servers) > 0
}

// Make judges the evidence and puts the report together.
func Make(e *Evidence, only []string) Report {
	checks := Judge(e)
	r := Report{Hops: hops(e, checks), Took: e.Duration.Seconds(), Servers: []string{}, Checks: []Check{}}
	for _, c := range checks {
		if len(only) == 0 || slices.Contains(only, c.Code) {
			r.Checks = append(r.Checks, c)
			if c.Verdict == Fail && r.FirstFailure == nil {
				r.FirstFailure = &c.Code
			}
		}
	}
	all := true
	for i := range e.Servers {
		_, ok := e.Servers[i].reached()
		all = all && ok
		r.Servers = append(r.Servers, e.Servers[i].label())
	}
	if len(e.Servers) > 0 && e.Asked[Paths] {
		r.Reached = &all
	}
	r.Summary = summary(e, r)
	return r
}

// summary is the one sentence.
func summary(e *Evidence, r Report) string {
	whole := ""
	switch {
	case len(e.Servers) == 0:
		whole = "No server is configured or named"
	case r.Reached == nil:
		whole = "The server was not tried"
	case *r.Reached:
		p, _ := e.Servers[0].reached()
		whole = fmt.Sprintf("%s is reached through %s", and(r.Servers), p.way())
	case len(e.Servers) > 1:
		whole = "Not every server is reached"
	default:
		whole = r.Servers[0] + " is not reached"
	}
	warnings := 0
	for _, c := range r.Checks {
		if c.Verdict == Fail {
			return fmt.Sprintf("The broken step is '%s': %s. %s.", c.Title, strings.TrimSuffix(c.Evidence[0], "."), whole)
		}
		if c.Verdict == Warn {
			warnings++
		}
	}
	end := "nothing is wrong"
	switch {
	case r.Reached != nil && !*r.Reached:
		end = "no step was found to be broken"
	case warnings == 1:
		end = "one check warns"
	case warnings > 1:
		end = fmt.Sprintf("%d checks warn", warnings)
	}
	return whole + ", and " + end + "."
}
