package ipc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

func pipe(t *testing.T) (string, net.Listener) {
	t.Helper()
	name := prefix + `ProtectedPrefix\Administrators\Reach64Test\` + t.Name()
	l, err := Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return name, l
}

// connected returns both ends of a connection.
func connected(t *testing.T) (client, server net.Conn) {
	t.Helper()
	name, l := pipe(t)
	client, err := Dial(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}

func TestBothEndsTalk(t *testing.T) {
	name, l := pipe(t)
	ended := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(c, io.LimitReader(c, 1<<20)) // an echo
			_ = c.Close()
		}
		ended <- err
	}()
	c, err := Dial(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := strings.Repeat("0123456789abcdef", 1<<16) // much more than a buffer
	go func() { _, _ = io.WriteString(c, sent) }()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != sent {
		t.Errorf("%d bytes came back, %v, want %d the same", len(got), err, len(sent))
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestDeadlineOfAConnection(t *testing.T) {
	_, server := connected(t)
	if err := server.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: %v", err)
	}
}

func TestPeerIsThisProcess(t *testing.T) {
	_, server := connected(t)
	self, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	p, err := PeerOf(server)
	if err != nil || p.PID != os.Getpid() || p.User != self.User.Sid.String() || p.UID != -1 {
		t.Errorf("peer %+v, %v, want this process and user %s", p, err, self.User.Sid)
	}
	if _, err := PeerOf(nil); err == nil {
		t.Error("nothing has a peer")
	}
}

func TestCloseEndsAccept(t *testing.T) {
	name, l := pipe(t)
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if _, err := Dial(t.Context(), name); !errors.Is(err, ErrNotRunning) {
		t.Errorf("dial after Close: %v", err)
	}
}

func TestManyClients(t *testing.T) {
	name, l := pipe(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(c, "hello")
				_ = c.Close()
			}()
		}
	}()
	done := make(chan error)
	for range 20 {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			c, err := Dial(ctx, name)
			if err == nil {
				var text []byte
				if text, err = io.ReadAll(c); err == nil && string(text) != "hello" {
					err = errors.New(string(text))
				}
				_ = c.Close()
			}
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A pipe that somebody has made already is not the service's to use.
func TestSquattedPipe(t *testing.T) {
	name, _ := pipe(t)
	if l, err := Listen(name); err == nil || !strings.Contains(err.Error(), "somebody listens") {
		if err == nil {
			_ = l.Close()
		}
		t.Errorf("a pipe that is taken: %v", err)
	}
}

func TestPipeOfAStranger(t *testing.T) {
	self, err := windows.StringToSid("S-1-5-21-1-2-3-1001")
	if err != nil {
		t.Fatal(err)
	}
	for owner, trust := range map[string]bool{"S-1-5-18": true, "S-1-5-32-544": true, "S-1-5-21-1-2-3-1001": true, "S-1-5-21-1-2-3-1002": false, "S-1-1-0": false} {
		sid, err := windows.StringToSid(owner)
		if err != nil {
			t.Fatal(err)
		}
		if err := trustedOwner(sid, self); (err == nil) != trust {
			t.Errorf("pipe of %s: %v, want trusted %v", owner, err, trust)
		} else if !trust && (!errors.Is(err, errStranger) || !strings.Contains(err.Error(), owner)) {
			t.Errorf("pipe of %s: %v, want the owner named", owner, err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	if _, err := Dial(t.Context(), prefix+`reach64-nobody`); !errors.Is(err, ErrNotRunning) {
		t.Errorf("err = %v, want ErrNotRunning", err)
	}
}

func TestNamesOfPipes(t *testing.T) {
	file := pipeName(`C:\Folder\x.sock`)
	if !strings.HasPrefix(file, prefix+"reach64-") || file != pipeName(`c:\folder\X.SOCK`) || file == pipeName(`C:\Folder\y.sock`) {
		t.Errorf("a file's pipe is %s", file)
	}
	if got := pipeName(`\\.\PIPE\x`); got != `\\.\PIPE\x` {
		t.Errorf("a pipe's name became %s", got)
	}
}

// A client that is gone before it was accepted costs nobody else.
func TestClientThatCameAndWent(t *testing.T) {
	name, l := pipe(t)
	gone, err := Dial(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := server.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read of a client that is gone: %d bytes, %v", n, err)
	}
	_ = server.Close()
	c, err := Dial(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
}
