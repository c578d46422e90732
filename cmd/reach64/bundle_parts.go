package main

import (
	"context"
	"runtime"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/paths"
)

// socketOf is the control socket that the configuration names, or this system's.
func socketOf(f doctorFlags) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	from := f.from
	if !f.named {
		from.file = fileOfService(ctx, "", from.file)
	}
	if s := readConfig(from).Conf.Control.Socket; s != "" {
		return s
	}
	return paths.Socket()
}

// dnsState is what DNS says, for programs.
func dnsState(e *diag.Evidence) any {
	type server struct {
		Server   string   `json:"server"`
		Link     *string  `json:"link"`
		Rcode    string   `json:"rcode"`
		Prefixes []string `json:"prefixes"` // by ipv4only.arpa
		Knows    bool     `json:"knows_ipv4only"`
		Took     *float64 `json:"took"` // seconds
		Error    *string  `json:"error"`
	}
	type answer struct {
		Server    string   `json:"server"`
		Type      string   `json:"type"`
		Rcode     string   `json:"rcode"`
		Aliases   []string `json:"aliases"`
		Addresses []string `json:"addresses"`
		Error     *string  `json:"error"`
	}
	type name struct {
		Name     string   `json:"name"`
		Programs []string `json:"programs_get"`
		Error    *string  `json:"error"`
		Answers  []answer `json:"answers"`
	}
	out := struct {
		Servers []server `json:"servers"`
		Names   []name   `json:"names"`
	}{[]server{}, []name{}}
	for _, r := range e.Answers {
		s := server{Server: r.Server.Addr.String(), Link: status.Ptr(r.Server.Link), Rcode: r.Rcode, Prefixes: []string{}, Knows: r.HasA, Took: status.Seconds(r.Took), Error: status.Ptr(r.Err)}
		for _, p := range r.Prefixes {
			s.Prefixes = append(s.Prefixes, p.String())
		}
		out.Servers = append(out.Servers, s)
	}
	for _, s := range e.Servers {
		n := name{Name: s.Name, Programs: []string{}, Error: status.Ptr(s.View.Err), Answers: []answer{}}
		for _, a := range s.View.Addrs {
			n.Programs = append(n.Programs, a.String())
		}
		for _, a := range s.Answers {
			v := answer{Server: a.Server.Addr.String(), Type: dns.TypeToString[a.Type], Rcode: dns.RcodeToString[a.Rcode], Aliases: append([]string{}, a.Chain.Aliases...), Addresses: []string{}, Error: status.Ptr(a.Err)}
			for _, ip := range a.Chain.Addrs {
				v.Addresses = append(v.Addresses, ip.String())
			}
			n.Answers = append(n.Answers, v)
		}
		out.Names = append(out.Names, n)
	}
	return out
}

func versions() any {
	return map[string]string{"reach64": version, "go": runtime.Version(), "platform": platform.Name()}
}
