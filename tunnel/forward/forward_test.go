package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/net/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// to dials one address whatever is asked for, and notes what was.
type to struct {
	addr  string
	err   error
	asked atomic.Value
}

func (d *to) Dial(ctx context.Context, host string, port uint16) (net.Conn, error) {
	d.asked.Store(net.JoinHostPort(host, strconv.Itoa(int(port))))
	if d.err != nil {
		return nil, d.err
	}
	return new(net.Dialer).DialContext(ctx, "tcp", d.addr)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start serves a listener until the test ends and returns its address.
func start(t *testing.T, s *Server, serve func(context.Context, net.Listener) error) string {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	s.Log = log
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if n := s.Stats().Open; n != 0 {
			t.Errorf("%d connections are still open", n)
		}
	})
	return l.Addr().String()
}

// server runs handle for each connection of a listener.
func server(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			handle(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// reverse reads all that the client sends, and only then answers.
func reverse(c net.Conn) {
	b, _ := io.ReadAll(c)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	_, _ = c.Write(b)
}

// talk sends text, closes that half, and returns what comes.
func talk(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHalfCloseIsKept(t *testing.T) {
	d := &to{addr: server(t, reverse)}
	s := &Server{Dialer: d}
	addr := start(t, s, func(ctx context.Context, l net.Listener) error { return s.To(ctx, l, "backup.example", 443) })
	if got := talk(t, dial(t, addr), "abc"); got != "cba" {
		t.Errorf("got %q", got)
	}
	if got := d.asked.Load(); got != "backup.example:443" {
		t.Errorf("dialled %v", got)
	}
	counted(t, s, func(st Stats) bool { return st.Accepted == 1 && st.Up == 3 && st.Down == 3 && st.Failed == 0 })
}

func TestMuchDataBothWays(t *testing.T) {
	d := &to{addr: server(t, func(c net.Conn) { _, _ = io.Copy(c, c); _ = c.(*net.TCPConn).CloseWrite() })}
	s := &Server{Dialer: d}
	addr := start(t, s, func(ctx context.Context, l net.Listener) error { return s.To(ctx, l, "backup.example", 443) })
	c := dial(t, addr)
	defer c.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MB
	go func() {
		_, _ = c.Write(want)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
	}
}

// A server that does not read holds its client up, not our memory: what was taken
// from the client is in the kernel's buffers and one of ours.
func TestSlowServerHoldsClientUp(t *testing.T) {
	hold := make(chan struct{})
	d := &to{addr: server(t, func(c net.Conn) { <-hold; _, _ = io.Copy(io.Discard, c) })}
	s := &Server{Dialer: d}
	addr := start(t, s, func(ctx context.Context, l net.Listener) error { return s.To(ctx, l, "backup.example", 443) })
	c := dial(t, addr)
	defer c.Close()
	const chunk, limit = 64 << 10, 64 << 20
	sent := 0
	for ; sent < limit; sent += chunk {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := c.Write(make([]byte, chunk))
		if err != nil {
			sent += n
			break
		}
	}
	if sent >= limit {
		t.Fatalf("%d bytes were taken for a server that reads none", sent)
	}
	close(hold)
	_ = c.(*net.TCPConn).CloseWrite()
	counted(t, s, func(st Stats) bool { return st.Up == uint64(sent) && st.Open == 0 })
}

func TestServerThatCannotBeDialled(t *testing.T) {
	s := &Server{Dialer: &to{err: errors.New("connection refused")}}
	addr := start(t, s, func(ctx context.Context, l net.Listener) error { return s.To(ctx, l, "backup.example", 443) })
	c := dial(t, addr)
	defer c.Close()
	if b, _ := io.ReadAll(c); len(b) != 0 {
		t.Errorf("got %q", b)
	}
	counted(t, s, func(st Stats) bool { return st.Failed == 1 })
}

func TestIdleConnectionsEnd(t *testing.T) {
	hold := make(chan struct{})
	d := &to{addr: server(t, func(net.Conn) { <-hold })}
	s := &Server{Dialer: d, Idle: 50 * time.Millisecond}
	addr := start(t, s, func(ctx context.Context, l net.Listener) error { return s.To(ctx, l, "backup.example", 443) })
	c := dial(t, addr)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("something came")
	} else if n := net.Error(nil); errors.As(err, &n) && n.Timeout() {
		t.Error("the connection was not closed")
	}
	close(hold)
}

func TestSOCKS5(t *testing.T) {
	d := &to{addr: server(t, reverse)}
	s := &Server{Dialer: d}
	client, err := proxy.SOCKS5("tcp", start(t, s, s.SOCKS5), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"backup.example:443", "198.51.100.10:8443", "[2001:db8::1]:443"} {
		c, err := client.Dial("tcp", target)
		if err != nil {
			t.Fatal(err)
		}
		if got := talk(t, c, "socks"); got != "skcos" {
			t.Errorf("got %q", got)
		}
		if got := d.asked.Load(); got != target {
			t.Errorf("dialled %v, want %s", got, target)
		}
	}
}

func TestSOCKS5Errors(t *testing.T) {
	for text, code := range map[string]string{"connection refused": "connection refused", "network is unreachable": "network unreachable", "no answer": "host unreachable"} {
		s := &Server{Dialer: &to{err: errors.New(text)}}
		client, err := proxy.SOCKS5("tcp", start(t, s, s.SOCKS5), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Dial("tcp", "backup.example:443"); err == nil || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: client says %v", text, err)
		}
	}
}

// What is no SOCKS5, no CONNECT, or no request at all, ends with an answer where
// there is one.
func TestBadClients(t *testing.T) {
	tests := map[string]struct {
		socks bool
		send  string
		want  string // beginning of the answer
	}{
		"SOCKS4":                    {true, "\x04\x01\x00\x50\x00\x00\x00\x01x\x00", ""},
		"SOCKS5 with a password":    {true, "\x05\x01\x02", "\x05\xff"},
		"SOCKS5 BIND":               {true, "\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x07"},
		"SOCKS5 UDP":                {true, "\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x07"},
		"GET":                       {false, "GET http://backup.example/ HTTP/1.1\r\nHost: backup.example\r\n\r\n", "HTTP/1.1 405 "},
		"CONNECT without a port":    {false, "CONNECT backup.example HTTP/1.1\r\nHost: backup.example\r\n\r\n", "HTTP/1.1 400 "},
		"CONNECT to port 0":         {false, "CONNECT backup.example:0 HTTP/1.1\r\nHost: backup.example\r\n\r\n", "HTTP/1.1 400 "},
		"TLS where HTTP is spoken":  {false, "\x16\x03\x01\x02\x00\r\n\r\n", "HTTP/1.1 400 "},
		"headers without end":       {false, "CONNECT a.example:443 HTTP/1.1\r\nA: " + strings.Repeat("x", maxRequest), "HTTP/1.1 400 "},
		"nothing":                   {false, "", "HTTP/1.1 400 "},
		"CONNECT to nobody's place": {false, "CONNECT :443 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &Server{Dialer: &to{err: errors.New("must not be dialled")}}
			serve := s.Connect
			if tt.socks {
				serve = s.SOCKS5
			}
			c := dial(t, start(t, s, serve))
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(c, tt.send)
			_ = c.(*net.TCPConn).CloseWrite()
			b, _ := io.ReadAll(c)
			if !strings.HasPrefix(string(b), tt.want) || tt.want == "" && len(b) > 0 {
				t.Errorf("answer %q, want %q", b, tt.want)
			}
			counted(t, s, func(st Stats) bool { return st.Failed == 1 && st.Up == 0 })
		})
	}
}

// counted waits until the counters are as they should be: a client sees its
// connection end before that is counted.
func counted(t *testing.T, s *Server, ok func(Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(s.Stats()); {
		if time.Now().After(deadline) {
			t.Fatalf("counters %+v", s.Stats())
		}
		<-time.After(time.Millisecond)
	}
}

func TestConnect(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s", r.Host) }))
	defer web.Close()
	d := &to{addr: web.Listener.Addr().String()}
	s := &Server{Dialer: d}
	addr := start(t, s, s.Connect)
	client := web.Client()
	transport := client.Transport.(*http.Transport)
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: addr})
	transport.TLSClientConfig.ServerName = "example.com"
	defer transport.CloseIdleConnections()
	resp, err := client.Get("https://backup.example:8443/")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(b) != "hello backup.example:8443" || d.asked.Load() != "backup.example:8443" {
		t.Errorf("got %q, dialled %v", b, d.asked.Load())
	}
}

// More clients than may be open wait, and are served when others have gone.
func TestClientsBeyondTheLimitWait(t *testing.T) {
	s := &Server{Dialer: &to{addr: server(t, reverse)}, Conns: 1}
	addr := start(t, s, func(ctx context.Context, l net.Listener) error { return s.To(ctx, l, "backup.example", 443) })
	first, second := dial(t, addr), dial(t, addr)
	if got := talk(t, first, "one"); got != "eno" {
		t.Errorf("got %q", got)
	}
	if got := talk(t, second, "two"); got != "owt" {
		t.Errorf("got %q", got)
	}
}
