// Package dnsq asks one DNS server one question: over a given link, by UDP with
// TCP as fallback, believing only answers that fit the question (spec SEC-2).
//
// It follows RFC 1035, RFC 6891 (EDNS) and RFC 7766 (TCP), on the messages of
// github.com/miekg/dns. It is no resolver: it caches nothing, follows nothing,
// validates nothing, ignores /etc/hosts and search lists, and does not choose
// servers. What an answer means is the caller's affair.
package dnsq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Dialer opens connections; net.Dialer is one. network is "udp" or "tcp".
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Kind says what went wrong.
type Kind string

// The kinds of Error.
const (
	Timeout   Kind = "timeout"    // no answer in time
	Refused   Kind = "refused"    // nothing listens there
	BadAnswer Kind = "bad answer" // something came that does not answer the question
	NoPath    Kind = "no path"    // the server could not be asked at all
)

// Error is a question that got no usable answer. An answer with an error code,
// such as SERVFAIL, is an answer.
type Error struct {
	Kind   Kind
	Server netip.AddrPort
	Link   string // "" when the Client has none
	Name   string
	Type   uint16
	Err    error
}

func (e *Error) Error() string {
	link := ""
	if e.Link != "" {
		link = " on " + e.Link
	}
	return fmt.Sprintf("ask %s%s for %s %s: %s: %v", e.Server, link, dns.TypeToString[e.Type], e.Name, e.Kind, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// The transport's constants.
const (
	udpSize  = 1232            // bytes, offered by EDNS: never fragmented on IPv6
	bufSize  = 4096            // bytes; what is larger than this over UDP is no answer
	tcpLimit = 5 * time.Second // for connection, question and answer
)

// waits is how long each of the transmissions is waited for (spec R7050-7).
var waits = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// Client asks questions. Each has a connection of its own, hence a new source
// port. A Client may be copied and used concurrently.
type Client struct {
	Dialer Dialer
	Link   string // name of the link that Dialer is bound to, for error texts
}

// Flags are the bits of a question that concern DNSSEC.
type Flags struct {
	DO bool // DNSSEC records are wanted, RFC 3225; lost on a server without EDNS
	CD bool // checking disabled, RFC 4035 section 3.2.2
}

// style is how a question is put. Servers that cannot bear the first style are
// asked again in a plainer one.
type style struct {
	mixedCase bool // 0x20: random case, which a blind forger would have to guess
	edns      bool
}

var (
	errCase  = errors.New("the question came back in another case")
	errEDNS  = errors.New("the server does not know EDNS")
	errNoFit = errors.New("what came does not fit the question")
)

// Query asks server for the records of type qtype at name, which is taken as
// absolute: recursion desired, no DNSSEC records, checking not disabled (spec
// R7050-1). It transmits up to three times within 7 s, and takes at most 5 s more
// when the answer needs TCP. Errors are of type *Error.
func (c *Client) Query(ctx context.Context, server netip.AddrPort, name string, qtype uint16) (*dns.Msg, error) {
	return c.Ask(ctx, server, name, qtype, Flags{})
}

// Ask is Query with the bits for DNSSEC as flags say.
func (c *Client) Ask(ctx context.Context, server netip.AddrPort, name string, qtype uint16, flags Flags) (*dns.Msg, error) {
	fail := func(kind Kind, err error) error {
		return &Error{Kind: kind, Server: server, Link: c.Link, Name: name, Type: qtype, Err: err}
	}
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return nil, fail(NoPath, fmt.Errorf("%q is no domain name", name))
	}
	how := style{mixedCase: true, edns: true}
	for {
		m, err := c.udp(ctx, server, question(name, qtype, how, flags), how)
		switch {
		case err == nil:
			return m, nil
		case errors.Is(err, errCase) && how.mixedCase:
			how.mixedCase = false
		case errors.Is(err, errEDNS) && how.edns:
			how.edns = false
		default:
			return nil, fail(kindOf(err), err)
		}
	}
}

func question(name string, qtype uint16, how style, flags Flags) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(strings.ToLower(dns.Fqdn(name)), qtype)
	if how.mixedCase {
		q.Question[0].Name = randomCase(q.Question[0].Name)
	}
	if how.edns {
		q.SetEdns0(udpSize, flags.DO)
	}
	q.CheckingDisabled = flags.CD
	return q
}

// randomCase flips the case of letters at random. Escapes such as \032 hold no
// letters.
func randomCase(name string) string {
	b, coin := []byte(name), make([]byte, len(name))
	_, _ = rand.Read(coin) // never fails, crypto/rand
	for i := range b {
		if b[i] >= 'a' && b[i] <= 'z' && coin[i]&1 == 1 {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}

// udp asks once in one style: several transmissions of the same question on one
// socket, so that a late answer to the first still counts.
func (c *Client) udp(ctx context.Context, server netip.AddrPort, q *dns.Msg, how style) (*dns.Msg, error) {
	packed, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack question: %w", err)
	}
	conn, err := c.Dialer.DialContext(ctx, "udp", server.String())
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var odd error // the last thing that did not fit
	for _, wait := range waits {
		if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
			return nil, fmt.Errorf("set deadline: %w", err)
		}
		if ctx.Err() != nil { // the deadline just set may have undone AfterFunc's
			return nil, ctx.Err()
		}
		if _, err := conn.Write(packed); err != nil {
			return nil, fmt.Errorf("send question: %w", err)
		}
		m, err := receive(conn, q, how, &odd)
		switch {
		case err == nil && m.Truncated:
			return c.tcp(ctx, server, q, how)
		case err == nil:
			return m, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !isTimeout(err):
			return nil, err
		}
	}
	if odd != nil {
		return nil, odd
	}
	return nil, fmt.Errorf("no answer to %d questions: %w", len(waits), context.DeadlineExceeded)
}

// receive reads until a message fits or the deadline passes. What does not fit is
// skipped, since anybody can send it.
func receive(conn net.Conn, q *dns.Msg, how style, odd *error) (*dns.Msg, error) {
	buf := make([]byte, bufSize)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		m, err := fit(buf[:n], q, how)
		if errors.Is(err, errNoFit) {
			*odd = err
			continue
		}
		return m, err
	}
}

// tcp asks the same question over TCP, RFC 7766.
func (c *Client) tcp(ctx context.Context, server netip.AddrPort, q *dns.Msg, how style) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tcpLimit)
	defer cancel()
	conn, err := c.Dialer.DialContext(ctx, "tcp", server.String())
	if err != nil {
		return nil, fmt.Errorf("connect by TCP, the UDP answer was truncated: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	stream := &dns.Conn{Conn: conn}
	if err := stream.WriteMsg(q); err != nil {
		return nil, fmt.Errorf("send question by TCP: %w", err)
	}
	b, err := stream.ReadMsgHeader(nil)
	if err != nil {
		return nil, fmt.Errorf("read answer by TCP: %w", err)
	}
	m, err := fit(b, q, how)
	if err == nil && m.Truncated {
		err = fmt.Errorf("%w: truncated over TCP", errNoFit)
	}
	return m, err
}

// fit reads b as an answer to q. errNoFit: it is none. errCase, errEDNS: ask in
// another style.
func fit(b []byte, q *dns.Msg, how style) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil && !m.Truncated {
		return nil, fmt.Errorf("%w: %d bytes, %w", errNoFit, len(b), err)
	}
	switch {
	case m.Id != q.Id:
		return nil, fmt.Errorf("%w: wrong id", errNoFit)
	case !m.Response || m.Opcode != dns.OpcodeQuery:
		return nil, fmt.Errorf("%w: not a response", errNoFit)
	case how.edns && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) && m.IsEdns0() == nil:
		return nil, errEDNS
	case len(m.Question) != 1:
		return nil, fmt.Errorf("%w: %d questions in it", errNoFit, len(m.Question))
	}
	asked, got := q.Question[0], m.Question[0]
	switch {
	case got.Qtype != asked.Qtype || got.Qclass != asked.Qclass || !strings.EqualFold(got.Name, asked.Name):
		return nil, fmt.Errorf("%w: it is about %s %s", errNoFit, dns.TypeToString[got.Qtype], got.Name)
	case how.mixedCase && got.Name != asked.Name:
		return nil, errCase
	}
	return m, nil
}

func kindOf(err error) Kind {
	switch {
	case errors.Is(err, errNoFit), errors.Is(err, errCase), errors.Is(err, errEDNS):
		return BadAnswer
	case isRefused(err):
		return Refused
	case isTimeout(err):
		return Timeout
	default:
		return NoPath
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// isRefused knows ECONNREFUSED and Windows' WSAECONNREFUSED and WSAECONNRESET,
// the latter being what a UDP socket there says of a closed port. Go's syscall
// package does not unite them.
func isRefused(err error) bool {
	var n syscall.Errno
	return errors.As(err, &n) && (n == syscall.ECONNREFUSED || n == 10061 || n == 10054)
}
