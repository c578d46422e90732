package sock

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// stream is what tunnel/relay wants of a connection.
type stream interface {
	net.Conn
	ReadReady(f func(r io.Reader) (done bool)) error
	WriteReady(f func(w io.Writer) (done bool)) error
}

func dialFlow(t *testing.T, network, addr string) stream {
	t.Helper()
	c, err := Flows{Dialer("")}.DialContext(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(stream)
}

// connected is a flow and the other end of it.
func connected(t *testing.T) (c stream, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c = dialFlow(t, "tcp6", l.Addr().String())
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return c, server
}

func TestStreamTellsWhenItCanMoveData(t *testing.T) {
	c, server := connected(t)

	// Nothing is there; then data, then the end.
	var got bytes.Buffer
	waits, ended := 0, false
	err := c.ReadReady(func(r io.Reader) bool {
		for b := make([]byte, 3); ; {
			there := r.(interface{ Len() int }).Len()
			n, err := r.Read(b)
			got.Write(b[:n])
			switch {
			case errors.Is(err, io.ErrNoProgress):
				if waits++; waits == 1 {
					_, _ = server.Write([]byte("seven b"))
				} else if got.Len() == 7 {
					_ = server.Close()
				}
				return false
			case errors.Is(err, io.EOF):
				ended = true
				return true
			case err != nil || n != min(there, 3):
				t.Errorf("%d bytes of %d, %v", n, there, err)
				return true
			}
		}
	})
	if err != nil || got.String() != "seven b" || !ended || waits < 2 {
		t.Errorf("got %q, ended %v after %d waits, %v", got.String(), ended, waits, err)
	}
}

func TestStreamTakesWhatThereIsRoomFor(t *testing.T) {
	c, server := connected(t)
	sent, full := 0, 0
	got := make(chan int64, 1)
	chunk := make([]byte, 1<<20)
	err := c.WriteReady(func(w io.Writer) bool {
		for full < 2 {
			n, err := w.Write(chunk)
			sent += n
			if errors.Is(err, io.ErrShortWrite) {
				if full++; full == 1 {
					go func() {
						n, _ := io.Copy(io.Discard, server)
						got <- n
					}()
				}
				return false
			}
			if err != nil || n != len(chunk) {
				t.Errorf("%d, %v", n, err)
				return true
			}
		}
		return true
	})
	_ = c.Close()
	if n := <-got; err != nil || int(n) != sent {
		t.Errorf("%d bytes came of %d, %v", n, sent, err)
	}
}

func TestDatagramsTellAllThatTheNetworkSays(t *testing.T) {
	s, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	c := dialFlow(t, "udp6", s.LocalAddr().String())
	_, err = s.WriteTo(nil, c.LocalAddr()) // empty, and yet a datagram
	if err != nil {
		t.Fatal(err)
	}
	read := func() (n int, got error) {
		_ = c.ReadReady(func(r io.Reader) bool {
			n, got = r.Read(make([]byte, 10))
			return !errors.Is(got, io.ErrNoProgress)
		})
		return n, got
	}
	if n, err := read(); n != 0 || err != nil {
		t.Errorf("an empty datagram: %d, %v", n, err)
	}
	_ = s.Close()
	for range 3 { // what was told does not stand in the way of what comes
		if _, err := c.Write([]byte("x")); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		if _, err := read(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a closed port: %v, want a refusal", err)
		}
	}
	_ = c.SetReadDeadline(time.Unix(1, 0))
	if err := c.ReadReady(func(io.Reader) bool { return false }); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past its deadline: %v", err)
	}
	message := []byte("x")
	step := func(w io.Writer) bool {
		_, _ = w.Write(message)
		return true
	}
	if n := testing.AllocsPerRun(100, func() { _ = c.WriteReady(step) }); n != 0 {
		t.Errorf("%v allocations for a datagram", n)
	}
}

// TestEchoSockets asks this machine, by both kinds of sockets.
func TestEchoSockets(t *testing.T) {
	for name, groups := range map[string]string{"ping socket": "0 2147483647", "raw socket": "1 0"} {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(groups), 0); err != nil {
				t.Fatal(err)
			}
			flows := Flows{Dialer("lo")}
			var conns []stream
			for range 2 {
				c, err := flows.DialEcho(t.Context(), netip.IPv6Loopback())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				conns = append(conns, c.(stream))
			}
			for i, c := range conns {
				message := append([]byte{128, 0, 0, 0, 0x12, 0x34, 0, byte(i)}, "payload"...)
				sent := bytes.Clone(message)
				if err := c.WriteReady(func(w io.Writer) bool {
					if _, err := w.Write(message); err != nil {
						t.Error(err)
					}
					return true
				}); err != nil || !bytes.Equal(sent, message) {
					t.Errorf("%v; the message is %x now, was %x", err, message, sent)
				}
			}
			for i, c := range conns { // each gets its own answer, and no other's
				err := c.ReadReady(func(r io.Reader) bool {
					b := make([]byte, 100)
					n, err := r.Read(b)
					if errors.Is(err, io.ErrNoProgress) {
						return false
					}
					if err != nil || n != 15 || b[0] != 129 || b[7] != byte(i) || string(b[8:n]) != "payload" {
						t.Errorf("answer %x, %v", b[:n], err)
					}
					return true
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}
