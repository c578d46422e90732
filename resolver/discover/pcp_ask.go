package discover

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pcp"
	"github.com/reach64/reach64/resolver/pref64"
)

// pcpSends is how often a question is sent before its server counts as silent:
// after 0, 3, 9 and 21 s; the last one is waited for until 45 s (spec PCP-14).
const pcpSends = 4

// pcpAnswer is what a PCP server says.
type pcpAnswer struct {
	verdict Verdict
	reason  string
	scopes  []prefixScope
	heard   bool          // the server answered in our version, epoch is its
	silent  bool          // no answer
	local   bool          // silent because it could not be asked from here
	final   bool          // another answer comes only with another network
	epoch   uint32        // seconds
	wait    time.Duration // not asked again for so long; 0: the usual time
}

// prefixScope is a prefix with what it serves.
type prefixScope struct {
	prefix nat64.Prefix
	scope  pref64.Scope
}

// fromDialer is a Dialer that can also choose the source address.
type fromDialer interface {
	DialFrom(ctx context.Context, network string, from netip.Addr, addr string) (net.Conn, error)
}

// errSilent is the cause when no server answers.
var errSilent = errors.New("no answer")

// askPCP asks one server for its prefixes, by ANNOUNCE, which leaves no trace
// there. A server that does not like the option's length is asked with the other
// one (spec 7225-3), one that does not know ANNOUNCE by MAP (spec PCP-5). Each
// question has a socket of its own, so that late answers to another are not taken
// for its own, and a new source port (spec PCP-15).
func askPCP(ctx context.Context, d dnsq.Dialer, server netip.Addr) pcpAnswer {
	req := pcp.Request{Opcode: pcp.Announce}
	for {
		p, err := exchange(ctx, d, server, &req)
		switch {
		case err != nil:
			return unheard(server, err)
		case p.Result == pcp.MalformedOption && !req.NoCount:
			req.NoCount = true
		case p.Result == pcp.UnsuppOpcode && req.Opcode == pcp.Announce:
			var nonce [12]byte
			_, _ = rand.Read(nonce[:]) // never fails, crypto/rand
			req.Opcode, req.Lifetime, req.Mapping = pcp.Map, pcp.LearnLifetime, pcp.Learn(nonce)
		default:
			return judgePCP(server, p)
		}
	}
}

// exchange sends a request until it is answered: the same bytes each time.
func exchange(ctx context.Context, d dnsq.Dialer, server netip.Addr, req *pcp.Request) (pcp.Response, error) {
	conn, err := dialPCP(ctx, d, server)
	if err != nil {
		return pcp.Response{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return pcp.Response{}, fmt.Errorf("read source address: %w", err)
	}
	req.Client = local.Addr()
	msg := req.Marshal()
	var wait time.Duration
	for range pcpSends {
		wait = pcp.Timeout(wait, (2*mathrand.Float64()-1)*pcp.Spread)
		if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
			return pcp.Response{}, fmt.Errorf("set deadline: %w", err)
		}
		if ctx.Err() != nil { // the deadline just set may have undone AfterFunc's
			return pcp.Response{}, ctx.Err()
		}
		if _, err := conn.Write(msg); err != nil {
			return pcp.Response{}, fmt.Errorf("send question: %w", err)
		}
		p, err := receivePCP(conn, *req)
		var timeout net.Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			return p, err
		}
	}
	return pcp.Response{}, fmt.Errorf("%w to %d questions", errSilent, pcpSends)
}

// receivePCP reads until an answer comes or the deadline passes. What does not
// fit is skipped, since anybody can send it.
func receivePCP(conn net.Conn, req pcp.Request) (pcp.Response, error) {
	buf := make([]byte, pcp.MaxMessage+4) // one more word, to see what is too long
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return pcp.Response{}, fmt.Errorf("read answer: %w", err)
		}
		p, err := pcp.Parse(buf[:n])
		if err == nil && req.AnsweredBy(p) == nil {
			return p, nil
		}
	}
}

// dialPCP opens a socket to the server. To a router's link-local address the
// system would choose a link-local source; a global one is asked for if there is
// one (spec 6887-5). A unique local one is no gain.
func dialPCP(ctx context.Context, d dnsq.Dialer, server netip.Addr) (net.Conn, error) {
	addr := netip.AddrPortFrom(server, pcp.Port).String()
	if f, ok := d.(fromDialer); ok && server.Is6() && server.IsLinkLocalUnicast() {
		if own := globalSource(ctx, d); own.IsValid() {
			if conn, err := f.DialFrom(ctx, "udp", own, addr); err == nil {
				return conn, nil
			}
		}
	}
	conn, err := d.DialContext(ctx, "udp", addr)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	return conn, nil
}

// globalSource returns the address from which the system would send to other
// networks, the zero Addr for none. Connecting a UDP socket sends nothing.
func globalSource(ctx context.Context, d dnsq.Dialer) netip.Addr {
	conn, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(pcp.Anycast6, pcp.Port).String())
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if a := local.Addr(); err == nil && a.Is6() && a.IsGlobalUnicast() && !a.IsPrivate() {
		return a
	}
	return netip.Addr{}
}

// unheard says why there is no answer. Most networks have no PCP server, so that
// this is no error: nothing is unclear about it.
func unheard(server netip.Addr, err error) pcpAnswer {
	a := pcpAnswer{verdict: None, silent: true}
	var n syscall.Errno
	switch {
	case errors.Is(err, errSilent):
		a.reason = fmt.Sprintf("no PCP server answers at %s", server)
	case errors.As(err, &n) && (n == syscall.ECONNREFUSED || n == 10061 || n == 10054): // the latter are Windows'
		a.reason = fmt.Sprintf("%s is no PCP server: its port is closed", server)
	default:
		a.local, a.reason = true, fmt.Sprintf("%s cannot be asked: %v", server, err)
		if errors.Is(err, fs.ErrPermission) {
			a.verdict = Skipped
		}
	}
	return a
}

// judgePCP decides what an answer means (spec PCP-16).
func judgePCP(server netip.Addr, p pcp.Response) pcpAnswer {
	a := pcpAnswer{verdict: None, heard: p.Version == pcp.Version, epoch: p.Epoch}
	switch {
	case p.Result == pcp.Success:
		a.scopes = mergeScopes(p.Prefixes)
		a.reason = fmt.Sprintf("PCP server %s knows no NAT64 prefix", server)
		if len(a.scopes) > 0 {
			a.verdict, a.reason = Found, fmt.Sprintf("told by PCP server %s", server)
		}
		for _, i := range p.Ignored {
			a.reason += fmt.Sprintf("; option %d at byte %d: %s", i.Code, i.Offset, i.Why)
		}
		return a
	case p.Result == pcp.UnsuppVersion && p.Version == 0:
		a.reason, a.final = fmt.Sprintf("%s speaks NAT-PMP, which has no NAT64 prefixes", server), true
		return a
	case p.Result == pcp.AddressMismatch:
		a.reason, a.final = fmt.Sprintf("%s says ADDRESS_MISMATCH: something between it and this host translates addresses", server), true
		return a
	case p.Result.Temporary():
		a.verdict = Error
	}
	a.wait = pcp.ErrorLifetime(p.Lifetime)
	a.reason = fmt.Sprintf("PCP server %s says %s, asked again in %s", server, p.Result, a.wait)
	return a
}

// mergeScopes joins options with the same prefix, in the order received: one that
// limits the prefix adds to the others' destinations.
func mergeScopes(options []pcp.Prefix64) []prefixScope {
	var out []prefixScope
	for i, o := range options {
		if slices.ContainsFunc(options[:i], func(b pcp.Prefix64) bool { return b.Prefix == o.Prefix }) {
			continue
		}
		all := false
		var list []netip.Prefix
		for _, b := range options[i:] {
			if b.Prefix == o.Prefix {
				all = all || len(b.IPv4) == 0
				list = append(list, b.IPv4...)
			}
		}
		s := prefixScope{prefix: o.Prefix}
		if !all {
			s.scope = pref64.ScopeOf(list)
		}
		out = append(out, s)
	}
	return out
}

// candidates returns the prefixes as candidates. A server that is not on the link
// could be anybody who sends from its address, since ANNOUNCE has no nonce (spec
// SECU-6).
func (a pcpAnswer) candidates(server netip.Addr, until time.Time) []pref64.Candidate {
	trust := pref64.AfterProbe
	if server.Is6() && server.IsLinkLocalUnicast() {
		trust = pref64.LinkTrusted
	}
	who, _, _ := strings.Cut(a.reason, ";") // without what was ignored
	var cs []pref64.Candidate
	for i, s := range a.scopes {
		c := pref64.Candidate{Prefix: s.prefix, Until: until, Trust: trust, Order: i, IPv4: s.scope, Reason: who}
		if !s.scope.All() {
			c.Reason += ", for " + s.scope.String() + " only"
		}
		cs = append(cs, c)
	}
	return cs
}
