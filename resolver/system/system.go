// Package system is how names are resolved on this machine, seen from two sides:
// what applications get from the operating system, and what each DNS server on
// each link says when it is asked directly. Compare says where they differ, which
// is where a support engineer has to look.
//
// It asks through ports and changes nothing. The system's own way has hosts
// files, caches, per-domain resolvers and policies (NRPT); what those are is not
// looked at, only what comes out.
package system

import (
	"bufio"
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/dnsq"
)

// Lookuper is the Go resolver; net.Resolver is one. network is "ip".
type Lookuper interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Runner runs a program and returns what it prints on standard output.
type Runner func(ctx context.Context, program string, args ...string) ([]byte, error)

// View is what applications get.
type View struct {
	How   string // which way was asked
	Addrs []netip.Addr
	Took  time.Duration
	Err   string // "" when there are addresses
}

// Applications asks the system as an application does: through getent where that
// is (glibc and its name service switch), else through Go's resolver, which on
// Windows and macOS is the system's.
func Applications(ctx context.Context, run Runner, go4 Lookuper, name string) View {
	start := time.Now()
	if run != nil {
		if out, err := run(ctx, "/usr/bin/getent", "ahosts", name); err == nil {
			return View{How: "the system (getent)", Addrs: parseAhosts(out), Took: time.Since(start)}
		}
	}
	addrs, err := go4.LookupNetIP(ctx, "ip", name)
	v := View{How: "the system", Took: time.Since(start)}
	for _, a := range addrs {
		if a = a.Unmap(); !slices.Contains(v.Addrs, a) {
			v.Addrs = append(v.Addrs, a)
		}
	}
	if err != nil {
		v.Err = err.Error()
	}
	return v
}

// parseAhosts reads lines such as "2001:db8::1 STREAM name". Addresses come in
// the order in which applications try them, each once.
func parseAhosts(out []byte) (addrs []netip.Addr) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err == nil && !slices.Contains(addrs, a.Unmap()) {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// Server is a DNS server and the link over which it is asked.
type Server struct {
	Link string
	Addr netip.AddrPort
}

// Answer is what one server said about one type.
type Answer struct {
	Server Server
	Type   uint16 // A or AAAA
	Rcode  int
	Chain  dnsq.Chain
	Took   time.Duration
	Err    string // "" when there was an answer
}

// Asker asks one server; dnsq.Client is one for a link.
type Asker interface {
	Query(ctx context.Context, server netip.AddrPort, name string, qtype uint16) (*dns.Msg, error)
}

// maxServers is how many servers are asked at once and in all.
const maxServers = 16

// Servers asks each server for AAAA and A, all at once, and returns the answers in
// the order of the servers, AAAA first. It waits for the goroutines it starts.
func Servers(ctx context.Context, servers []Server, asker func(link string) Asker, name string) []Answer {
	servers = servers[:min(len(servers), maxServers)]
	out := make([]Answer, 2*len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		for j, qtype := range []uint16{dns.TypeAAAA, dns.TypeA} {
			wg.Go(func() { out[2*i+j] = one(ctx, s, asker(s.Link), name, qtype) })
		}
	}
	wg.Wait()
	return out
}

func one(ctx context.Context, s Server, a Asker, name string, qtype uint16) Answer {
	start := time.Now()
	m, err := a.Query(ctx, s.Addr, name, qtype)
	out := Answer{Server: s, Type: qtype, Took: time.Since(start)}
	if err == nil {
		out.Rcode = m.Rcode
		out.Chain, err = dnsq.Follow(m, name, qtype)
	}
	if err != nil {
		out.Err = err.Error()
	}
	return out
}
