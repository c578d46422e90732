package main

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// ends returns both ends of a TCP connection.
func ends(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); _ = s.Close() })
	_ = s.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// output is standard output, which says when it is closed.
type output struct {
	bytes.Buffer
	closed chan struct{}
}

func (o *output) Close() error { close(o.closed); return nil }

func TestPipeEndsOfEachDirection(t *testing.T) {
	t.Run("the server's first", func(t *testing.T) {
		conn, server := ends(t)
		in, stdin := io.Pipe()
		out := &output{closed: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- pipe(t.Context(), conn, in, out) }()
		if _, err := io.WriteString(server, "that is all"); err != nil {
			t.Fatal(err)
		}
		_ = server.CloseWrite()
		<-out.closed // and what reads it knows
		for range 3 {
			if _, err := io.WriteString(stdin, "more "); err != nil {
				t.Fatal(err)
			}
		}
		_ = stdin.Close()
		got, err := io.ReadAll(server)
		if err != nil || string(got) != "more more more " || out.String() != "that is all" {
			t.Errorf("server got %q, %v; standard output %q", got, err, out.String())
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("standard input's first", func(t *testing.T) {
		conn, server := ends(t)
		out := &output{closed: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- pipe(t.Context(), conn, bytes.NewReader([]byte("question")), out) }()
		if got, err := io.ReadAll(server); err != nil || string(got) != "question" {
			t.Errorf("server got %q, %v", got, err)
		}
		_, _ = io.WriteString(server, "answer")
		_ = server.Close()
		if err := <-done; err != nil || out.String() != "answer" {
			t.Errorf("standard output %q, %v", out.String(), err)
		}
	})
	t.Run("the server has gone, and nobody says more", func(t *testing.T) {
		conn, server := ends(t)
		in, stdin := io.Pipe()
		defer stdin.Close()
		_ = server.Close()
		if err := pipe(t.Context(), conn, in, io.Discard); err != nil {
			t.Error(err)
		}
	})
}
