package dnsq

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

var server = netip.MustParseAddrPort("[2001:db8::53]:53")

const name = "ipv4only.arpa."

// TestAnswers: what a server sends, and what becomes of it. Time is synthetic.
func TestAnswers(t *testing.T) {
	good := func(q *dns.Msg) []byte { return reply(q, nil) }
	tests := []struct {
		name   string
		answer func(n int, network string, q *dns.Msg) [][]byte
		kind   Kind          // "" for a good answer
		asked  []string      // networks of the questions
		took   time.Duration // synthetic
	}{
		{"good answer", func(_ int, _ string, q *dns.Msg) [][]byte { return [][]byte{good(q)} }, "", []string{"udp"}, 0},
		{"silent", func(int, string, *dns.Msg) [][]byte { return nil }, Timeout, []string{"udp", "udp", "udp"}, 7 * time.Second},
		{"answers the second question", func(n int, _ string, q *dns.Msg) [][]byte {
			if n == 0 {
				return nil
			}
			return [][]byte{good(q)}
		}, "", []string{"udp", "udp"}, time.Second},
		{"answers the third question", func(n int, _ string, q *dns.Msg) [][]byte {
			if n < 2 {
				return nil
			}
			return [][]byte{good(q)}
		}, "", []string{"udp", "udp", "udp"}, 3 * time.Second},
		{"forged id before the good answer", func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Id++ }), good(q)}
		}, "", []string{"udp"}, 0},
		{"forged id only", func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Id++ })}
		}, BadAnswer, []string{"udp", "udp", "udp"}, 7 * time.Second},
		{"another question", func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Question[0].Name = "example.com." })}
		}, BadAnswer, []string{"udp", "udp", "udp"}, 7 * time.Second},
		{"another type", func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA })}
		}, BadAnswer, []string{"udp", "udp", "udp"}, 7 * time.Second},
		{"no question", func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Question = nil })}
		}, BadAnswer, []string{"udp", "udp", "udp"}, 7 * time.Second},
		{"a question in the place of an answer", func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Response = false })}
		}, BadAnswer, []string{"udp", "udp", "udp"}, 7 * time.Second},
		{"garbage", func(int, string, *dns.Msg) [][]byte { return [][]byte{{1, 2, 3}, []byte(strings.Repeat("x", 600))} },
			BadAnswer, []string{"udp", "udp", "udp"}, 7 * time.Second},
		{"cut off", func(_ int, _ string, q *dns.Msg) [][]byte { b := good(q); return [][]byte{b[:len(b)-9]} },
			BadAnswer, []string{"udp", "udp", "udp"}, 7 * time.Second},
		{"truncated, whole over TCP", func(_ int, network string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Truncated = network == "udp" })}
		}, "", []string{"udp", "tcp"}, 0},
		{"truncated over TCP too", func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Truncated = true })}
		}, BadAnswer, []string{"udp", "tcp"}, 0},
		{"truncated, TCP silent", func(_ int, network string, q *dns.Msg) [][]byte {
			if network == "tcp" {
				return nil
			}
			return [][]byte{reply(q, func(m *dns.Msg) { m.Truncated = true })}
		}, Timeout, []string{"udp", "tcp"}, 5 * time.Second},
		{"oversized over TCP is taken", func(_ int, network string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) {
				if m.Truncated = network == "udp"; m.Truncated {
					return
				}
				for len(m.Extra) < 60 {
					m.Extra = append(m.Extra, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{strings.Repeat("y", 250)}})
				}
			})}
		}, "", []string{"udp", "tcp"}, 0},
		{"a server that lower-cases is asked again in plain case", func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Question[0].Name = strings.ToLower(m.Question[0].Name) })}
		}, "", []string{"udp", "udp"}, 0},
		{"a server without EDNS is asked again without", func(_ int, _ string, q *dns.Msg) [][]byte {
			if q.IsEdns0() == nil {
				return [][]byte{good(q)}
			}
			return [][]byte{reply(q, func(m *dns.Msg) { m.Answer, m.Extra, m.Rcode = nil, nil, dns.RcodeFormatError })}
		}, "", []string{"udp", "udp"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{answer: tt.answer}
				c := Client{Dialer: f, Link: "eth0"}
				start := time.Now()
				m, err := c.Query(t.Context(), server, name, dns.TypeAAAA)
				took := time.Since(start)
				f.wg.Wait()
				asked := f.networks()
				if strings.Contains(tt.name, "lower-cases") && len(asked) == 1 && f.asked[0] == "udp "+name {
					t.Skip("all 11 letters came out in lower case by chance, 1 in 2048")
				}
				if !slices.Equal(asked, tt.asked) {
					t.Errorf("asked %v, want %v", asked, tt.asked)
				}
				if took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.kind == "" {
					if err != nil || len(m.Answer) != 1 {
						t.Fatalf("got %v, %v", m, err)
					}
					return
				}
				var e *Error
				if !errors.As(err, &e) || e.Kind != tt.kind {
					t.Fatalf("got error %v, want kind %q", err, tt.kind)
				}
				for _, say := range []string{"[2001:db8::53]:53", "eth0", name, "AAAA", string(tt.kind)} {
					if !strings.Contains(err.Error(), say) {
						t.Errorf("%q does not say %q", err, say)
					}
				}
			})
		})
	}
}

// TestErrorCodesAreAnswers: what SERVFAIL means is for the caller to say.
func TestErrorCodesAreAnswers(t *testing.T) {
	for _, rcode := range []int{dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNameError} {
		f := &fake{answer: func(_ int, _ string, q *dns.Msg) [][]byte {
			return [][]byte{reply(q, func(m *dns.Msg) { m.Answer, m.Rcode = nil, rcode })}
		}}
		m, err := (&Client{Dialer: f}).Query(t.Context(), server, name, dns.TypeAAAA)
		if err != nil || m.Rcode != rcode {
			t.Errorf("%s: got %v, %v", dns.RcodeToString[rcode], m, err)
		}
		f.wg.Wait()
	}
}

// TestQuestion: spec R7050-1 and SEC-2, on the wire.
func TestQuestion(t *testing.T) {
	var got []*dns.Msg
	f := &fake{answer: func(_ int, _ string, q *dns.Msg) [][]byte {
		got = append(got, q)
		return [][]byte{reply(q, nil)}
	}}
	ids, spellings := make(map[uint16]bool), make(map[string]bool)
	for range 20 {
		if _, err := (&Client{Dialer: f}).Query(t.Context(), server, "IPv4Only.arpa", dns.TypeAAAA); err != nil {
			t.Fatal(err)
		}
	}
	f.wg.Wait()
	for _, q := range got {
		ids[q.Id], spellings[q.Question[0].Name] = true, true
		o := q.IsEdns0()
		if !q.RecursionDesired || q.CheckingDisabled || q.AuthenticatedData || o == nil || o.Do() || o.UDPSize() != 1232 {
			t.Fatalf("question is %v", q)
		}
		if q.Question[0].Qtype != dns.TypeAAAA || q.Question[0].Qclass != dns.ClassINET || !strings.EqualFold(q.Question[0].Name, name) {
			t.Fatalf("question is %v", q)
		}
	}
	if len(ids) < 15 || len(spellings) < 10 {
		t.Errorf("%d ids and %d spellings in 20 questions: not random", len(ids), len(spellings))
	}
}

// TestNames: names that are none are refused before anything is sent.
func TestNames(t *testing.T) {
	for _, n := range []string{"", "a..b", strings.Repeat("a", 64) + ".example"} {
		f := &fake{}
		_, err := (&Client{Dialer: f}).Query(t.Context(), server, n, dns.TypeA)
		var e *Error
		if !errors.As(err, &e) || e.Kind != NoPath || len(f.asked) > 0 {
			t.Errorf("%q: %v", n, err)
		}
	}
}

func TestCancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(int, string, *dns.Msg) [][]byte { return nil }}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		start := time.Now()
		_, err := (&Client{Dialer: f}).Query(ctx, server, name, dns.TypeAAAA)
		if !errors.Is(err, context.Canceled) || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		f.wg.Wait()
	})
}

// broken fails to dial.
type broken struct{ err error }

func (b broken) DialContext(context.Context, string, string) (net.Conn, error) { return nil, b.err }

func TestDialErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		kind Kind
	}{
		{"closed port", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, Refused},
		{"closed port on Windows", &net.OpError{Op: "read", Err: os.NewSyscallError("wsarecv", syscall.Errno(10054))}, Refused},
		{"no route", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, NoPath},
	} {
		_, err := (&Client{Dialer: broken{tt.err}}).Query(t.Context(), server, name, dns.TypeAAAA)
		var e *Error
		if !errors.As(err, &e) || e.Kind != tt.kind || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want kind %q", tt.name, err, tt.kind)
		}
	}
}

// TestRealServer asks miekg's server over loopback sockets: UDP, and TCP after
// truncation.
func TestRealServer(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no loopback socket: %v", err)
	}
	ln, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		pc.Close()
		t.Skipf("the TCP port beside the UDP one is taken: %v", err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		for range 20 {
			rr, _ := dns.NewRR(name + " 1 IN TXT " + strings.Repeat("z", 200))
			m.Answer = append(m.Answer, rr)
		}
		if _, udp := w.LocalAddr().(*net.UDPAddr); udp {
			m.Truncate(512)
		}
		_ = w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: ln, Handler: handler}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	m, err := (&Client{Dialer: &net.Dialer{}}).Query(t.Context(), netip.MustParseAddrPort(pc.LocalAddr().String()), name, dns.TypeTXT)
	if err != nil || len(m.Answer) != 20 {
		t.Fatalf("got %v, %v", m, err)
	}
}

// FuzzFit: nothing that comes from the network panics, and what is accepted has
// the question's id and name.
func FuzzFit(f *testing.F) {
	q := question(name, dns.TypeAAAA, style{edns: true}, Flags{})
	q.Id = 0x1234
	f.Add(reply(q, nil))
	f.Add(reply(q, func(m *dns.Msg) { m.Truncated = true }))
	f.Add([]byte{0x12, 0x34, 0x81, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := fit(b, q, style{edns: true})
		if err == nil && (m.Id != q.Id || !m.Response || !strings.EqualFold(m.Question[0].Name, name)) {
			t.Fatalf("accepted %v", m)
		}
	})
}

// The bits for DNSSEC are in the question, and nowhere without being asked for.
func TestFlagsOfAQuestion(t *testing.T) {
	for _, f := range []Flags{{}, {DO: true}, {CD: true}, {DO: true, CD: true}} {
		q := question("a.example", dns.TypeAAAA, style{edns: true}, f)
		if o := q.IsEdns0(); o == nil || o.Do() != f.DO || q.CheckingDisabled != f.CD || q.AuthenticatedData || !q.RecursionDesired {
			t.Errorf("%+v: %v", f, q)
		}
	}
	if q := question("a.example", dns.TypeAAAA, style{}, Flags{DO: true}); q.IsEdns0() != nil {
		t.Errorf("EDNS for a server that does not know it: %v", q)
	}
}
