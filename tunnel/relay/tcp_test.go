package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// streams are both kinds of connections that a Dialer may give.
var streams = map[string]func(d *loop, c *Config){
	"ready":                    nil,
	"plain":                    func(d *loop, _ *Config) { d.plain = true },
	"ready, large MTU":         func(_ *loop, c *Config) { c.MTU = 65535 },
	"ready, buffers are small": func(_ *loop, c *Config) { c.Limits.Memory = 1 },
}

// random is n bytes that no code here would make by chance.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

func TestBytesPassBothWays(t *testing.T) {
	for name, change := range streams {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, change)
			port := l.listen(echo)
			for _, n := range []int{0, 1, 1000, 70000, 8 << 20} {
				c := l.mustConnect(port)
				want := random(n)
				var g errgroup.Group
				g.Go(func() error {
					_, err := c.Write(want)
					return errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
				})
				got, err := io.ReadAll(c)
				if err := errors.Join(err, g.Wait()); err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
					t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
				}
				_ = c.Close()
			}
			l.counted(map[string]uint64{"tcp-opened": 5, "tcp-ended": 5, "tcp-failed": 0, "tcp-reset-by-host": 0, "tcp-reset-by-server": 0})
		})
	}
}

// TestConnectionsThatDoNotStand: what the client sees is what it would see without
// a relay, and it sees no connection before the server has answered.
func TestConnectionsThatDoNotStand(t *testing.T) {
	fails := func(err error) func(*loop, *Config) {
		return func(d *loop, _ *Config) {
			d.fail = func(string) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)} }
		}
	}
	for name, tt := range map[string]struct {
		change  func(*loop, *Config)
		want    error
		counter string
	}{
		"refused":                   {nil, syscall.ECONNREFUSED, "tcp-refused"},
		"network unreachable":       {fails(syscall.ENETUNREACH), syscall.ENETUNREACH, "tcp-unreachable"},
		"host unreachable":          {fails(syscall.EHOSTUNREACH), syscall.EHOSTUNREACH, "tcp-unreachable"},
		"no address":                {fails(syscall.EADDRNOTAVAIL), syscall.ENETUNREACH, "tcp-unreachable"},
		"Windows' word for refused": {fails(syscall.Errno(10061)), syscall.ECONNREFUSED, "tcp-refused"},
		"no socket":                 {fails(syscall.EMFILE), syscall.ECONNREFUSED, "tcp-no-socket"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, tt.change)
			ln, err := net.Listen("tcp6", "[::1]:0")
			if err != nil {
				t.Fatal(err)
			}
			port := ln.Addr().(*net.TCPAddr).AddrPort().Port()
			_ = ln.Close() // nobody listens there now
			c, err := l.connect(port)
			if err == nil {
				_ = c.Close()
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
			l.counted(map[string]uint64{tt.counter: 1, "tcp-opened": 0})
		})
	}
}

func TestSilentServerIsSilent(t *testing.T) {
	silent := make(chan struct{})
	l := newLab(t, func(d *loop, _ *Config) {
		d.fail = func(string) error {
			<-silent
			return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}
		}
	})
	done := make(chan error, 1)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		c, err := l.host.DialContext(ctx, "tcp4", netip.AddrPortFrom(server, 9).String())
		if err == nil {
			_ = c.Close()
		}
		done <- err
	}()
	// The SYN comes several times, and is dialled once.
	select {
	case err := <-done:
		t.Errorf("the client was answered: %v", err)
	case <-time.After(2500 * time.Millisecond):
	}
	if n := l.dial.dialed.Load(); n != 1 {
		t.Errorf("dialled %d times, want once", n)
	}
	close(silent)
	l.counted(map[string]uint64{"tcp-no-answer": 1})
	_ = l.stop()
	giveUp()
	<-done
}

func TestHalfClose(t *testing.T) {
	for name, change := range streams {
		t.Run(name+", the client ends first", func(t *testing.T) {
			l := newLab(t, change)
			port := l.listen(func(c *net.TCPConn) {
				got, _ := io.ReadAll(c) // ends only with the client's FIN
				_, _ = c.Write(append(got, " and thanks"...))
			})
			c := l.mustConnect(port)
			defer c.Close()
			_, _ = c.Write([]byte("question"))
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
			if got, err := io.ReadAll(c); string(got) != "question and thanks" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
		t.Run(name+", the server ends first", func(t *testing.T) {
			l := newLab(t, change)
			heard := make(chan []byte, 1)
			port := l.listen(func(c *net.TCPConn) {
				_, _ = c.Write([]byte("greeting"))
				_ = c.CloseWrite()
				got, _ := io.ReadAll(c)
				heard <- got
			})
			c := l.mustConnect(port)
			if got, err := io.ReadAll(c); string(got) != "greeting" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			_, _ = c.Write([]byte("answer"))
			_ = c.Close()
			if got := <-heard; string(got) != "answer" {
				t.Errorf("the server heard %q", got)
			}
		})
	}
}

func TestResets(t *testing.T) {
	for name, change := range streams {
		t.Run(name+", by the server", func(t *testing.T) {
			l := newLab(t, change)
			port := l.listen(func(c *net.TCPConn) {
				_, _ = io.ReadFull(c, make([]byte, 4))
				_ = c.SetLinger(0)
			})
			c := l.mustConnect(port)
			defer c.Close()
			_, _ = c.Write([]byte("ping"))
			if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("err = %v, want a reset", err)
			}
			l.counted(map[string]uint64{"tcp-reset-by-server": 1, "tcp-ended": 1})
		})
		t.Run(name+", by the client while the server is silent", func(t *testing.T) {
			l := newLab(t, change)
			saw := make(chan error, 1)
			port := l.listen(func(c *net.TCPConn) {
				_, _ = c.Write([]byte("unread"))
				_, err := io.ReadAll(c)
				saw <- err
			})
			c := l.mustConnect(port)
			_, _ = io.ReadFull(c, make([]byte, 1))
			_ = c.Close() // with data unread: a reset
			if err := <-saw; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the server saw %v, want a reset", err)
			}
			l.counted(map[string]uint64{"tcp-reset-by-host": 1, "tcp-ended": 1})
		})
		t.Run(name+", by the client after its half-close", func(t *testing.T) {
			l := newLab(t, change)
			saw := make(chan error, 1)
			port := l.listen(func(c *net.TCPConn) {
				_, _ = io.ReadAll(c)
				_, _ = c.Write([]byte("unread"))
				_, err := io.Copy(c, forever{}) // until it is reset
				saw <- err
			})
			c := l.mustConnect(port)
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
			_, _ = io.ReadFull(c, make([]byte, 1))
			_ = c.Close()
			if err := <-saw; err == nil {
				t.Error("the server wrote for ever")
			}
			l.counted(map[string]uint64{"tcp-ended": 1})
		})
	}
}

// forever is a reader without end.
type forever struct{}

func (forever) Read(b []byte) (int, error) { return len(b), nil }

// TestSlowReaderHoldsTheSenderBack: the relay takes a bounded amount, whoever sends.
func TestSlowReaderHoldsTheSenderBack(t *testing.T) {
	const memory = 1 << 20 // in the relay; sockets and the client's stack hold more
	for name, toServer := range map[string]bool{"server reads slowly": true, "client reads slowly": false} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(_ *loop, c *Config) { c.Limits.Memory = memory })
			begin := make(chan struct{})
			var got, sent bytes.Buffer
			send := func(c net.Conn) (err error) {
				for chunk := random(64 << 10); err == nil; {
					var n int
					_ = c.SetWriteDeadline(time.Now().Add(time.Second))
					n, err = c.Write(chunk)
					sent.Write(chunk[:n])
				}
				return err
			}
			finished := make(chan struct{})
			port := l.listen(func(c *net.TCPConn) {
				defer close(finished)
				if toServer {
					_ = c.SetReadBuffer(64 << 10)
					<-begin
					_, _ = io.Copy(&got, c)
					return
				}
				_ = c.SetWriteBuffer(64 << 10)
				if err := send(c); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the server's write ended with %v, want that it blocks", err)
				}
				close(begin)
			})
			c := l.mustConnect(port)
			if toServer {
				if err := send(c); err == nil {
					t.Error("the client's write did not block")
				}
				close(begin)
				_ = c.(interface{ CloseWrite() error }).CloseWrite()
				<-finished
			} else {
				<-begin
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				_, _ = io.Copy(&got, c)
			}
			_ = c.Close()
			if !bytes.Equal(got.Bytes(), sent.Bytes()) {
				t.Errorf("%d bytes came, %d were sent", got.Len(), sent.Len())
			}
			t.Logf("%d KiB were taken before the sender had to wait", sent.Len()>>10)
			if sent.Len() > 24<<20 {
				t.Errorf("%d bytes were taken while nobody read", sent.Len())
			}
		})
	}
}

// TestManyAtOnce opens 1,000 connections at the same moment: none is lost.
func TestManyAtOnce(t *testing.T) {
	const many = 1000
	l := newLab(t, nil)
	port := l.listen(echo)
	var g errgroup.Group
	var open sync.WaitGroup
	open.Add(many)
	for i := range many {
		g.Go(func() error {
			c, err := l.connect(port)
			open.Done()
			if err != nil {
				return err
			}
			defer c.Close()
			open.Wait()
			want := []byte{byte(i), byte(i >> 8)}
			if _, err := c.Write(want); err != nil {
				return err
			}
			got := make([]byte, 2)
			if _, err := io.ReadFull(c, got); err != nil {
				return err
			}
			if !bytes.Equal(got, want) {
				return errors.New("another connection's bytes")
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	l.counted(map[string]uint64{"tcp-opened": many, "tcp-ended": many})
}

func TestBoundsAreSaid(t *testing.T) {
	l := newLab(t, func(_ *loop, c *Config) { c.Limits.Flows = 2 })
	port := l.listen(echo)
	a, b := l.mustConnect(port), l.mustConnect(port)
	if c, err := l.connect(port); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("third connection: %v, %v; want it reset", c, err)
	}
	if u, err := l.host.DialContext(t.Context(), "udp4", "198.51.100.10:9"); err != nil {
		t.Error(err)
	} else {
		defer u.Close()
		_, _ = u.Write([]byte("x"))
		_ = u.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := u.Read(make([]byte, 10)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a datagram: %v, want an ICMP error", err)
		}
	}
	l.counted(map[string]uint64{"4to6-answered-flow-limit": 2})
	_ = a.Close()
	l.counted(map[string]uint64{"tcp-ended": 1})
	c := l.mustConnect(port)
	_, _ = c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("after one had ended: %v", err)
	}
	_, _ = b.Close(), c.Close()
}

// TestStopResetsAll: nothing hangs, whatever a flow is doing.
func TestStopResetsAll(t *testing.T) {
	l := newLab(t, nil)
	port := l.listen(func(c *net.TCPConn) { _, _ = io.Copy(c, forever{}) })
	a, b := l.mustConnect(port), l.mustConnect(port)
	_, _ = io.ReadFull(b, make([]byte, 1<<20))
	if err := l.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	_, _ = a.Close(), b.Close()
}
