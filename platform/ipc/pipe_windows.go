package ipc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// prefix begins the name of every pipe of this machine.
const prefix = `\\.\pipe\`

// rights are what users may do with the pipe: read, write and wait, but make no
// further instance of it, which GENERIC_WRITE would include (FILE_CREATE_PIPE_INSTANCE
// is FILE_APPEND_DATA). The client asks for just these.
const rights = 0x12019b

// Full access for the system and administrators, rights for users who are logged on
// to this machine; nothing is inherited.
const security = "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x12019b;;;BU)(A;;FA;;;OW)"

// bufferSize of a pipe in each direction, bytes.
const bufferSize = 16 << 10

// pipeName is the pipe that path names. A path in the file system stands for a pipe
// of its own, so that several services can run beside each other.
func pipeName(path string) string {
	if strings.HasPrefix(strings.ToLower(path), prefix) {
		return path
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return fmt.Sprintf(`%sreach64-%x`, prefix, sha256.Sum256([]byte(strings.ToLower(path))))
}

// addr is the name of a pipe.
type addr string

func (addr) Network() string  { return "pipe" }
func (a addr) String() string { return string(a) }

// conn is one end of a connection. Go's poller drives the handle, deadlines included.
type conn struct {
	*os.File
	handle windows.Handle
	name   addr
}

func (c conn) LocalAddr() net.Addr  { return c.name }
func (c conn) RemoteAddr() net.Addr { return c.name }

func newConn(h windows.Handle, name string) conn {
	return conn{os.NewFile(uintptr(h), name), h, addr(name)}
}

// listener waits for clients of a pipe. mu guards next and closed.
type listener struct {
	name    string
	descr   *windows.SECURITY_DESCRIPTOR
	closing windows.Handle // an event: Accept has to return

	accept sync.Mutex // held by Accept
	mu     sync.Mutex
	next   windows.Handle // the instance that the next client gets; 0: Accept has to make one
	closed bool
}

func listen(path string) (net.Listener, error) {
	name := pipeName(path)
	// Wine does not enforce the flag for the first instance, and whoever listens
	// already is better named here.
	if c, err := open(name); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen at pipe: somebody listens at %s already", name)
	} else if !errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return nil, fmt.Errorf("listen at pipe: another program has %s: %w", name, err)
	}
	l := &listener{name: name}
	var err error
	// An ordinary user may not give the pipe to administrators, and keeps it.
	for _, owner := range []string{"O:BA", ""} {
		if l.descr, err = windows.SecurityDescriptorFromString(owner + security); err != nil {
			return nil, fmt.Errorf("make rights of pipe: %w", err)
		}
		if l.next, err = l.instance(windows.FILE_FLAG_FIRST_PIPE_INSTANCE); !errors.Is(err, windows.ERROR_INVALID_OWNER) {
			break
		}
	}
	if err != nil {
		if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
			return nil, fmt.Errorf("listen at pipe: another program has made %s, or this one may not: %w", name, err)
		}
		return nil, fmt.Errorf("listen at pipe %s: %w", name, err)
	}
	if l.closing, err = windows.CreateEvent(nil, 1, 0, nil); err != nil {
		_ = windows.CloseHandle(l.next)
		return nil, fmt.Errorf("listen at pipe: %w", err)
	}
	return l, nil
}

// instance makes one more end for a client. Other machines are refused.
func (l *listener) instance(flags uint32) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(l.name)
	if err != nil {
		return 0, err
	}
	sa := &windows.SecurityAttributes{SecurityDescriptor: l.descr}
	sa.Length = uint32(unsafe.Sizeof(*sa))
	return windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED|flags,
		windows.PIPE_TYPE_BYTE|windows.PIPE_READMODE_BYTE|windows.PIPE_REJECT_REMOTE_CLIENTS, windows.PIPE_UNLIMITED_INSTANCES, bufferSize, bufferSize, 0, sa)
}

// Accept waits for the next client.
func (l *listener) Accept() (net.Conn, error) {
	l.accept.Lock()
	defer l.accept.Unlock()
	h, err := l.take()
	if err != nil {
		return nil, err
	}
	if err := l.connect(h); err != nil {
		_ = windows.CloseHandle(h)
		return nil, err
	}
	// The next instance is made at once: a client that finds none believes that no
	// service runs.
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.next, _ = l.instance(0) // Accept tries again, and says why
	}
	return newConn(h, l.name), nil
}

// take takes the instance that is ready, or makes one.
func (l *listener) take() (windows.Handle, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, fmt.Errorf("accept at %s: %w", l.name, net.ErrClosed)
	}
	h := l.next
	l.next = 0
	if h != 0 && h != windows.InvalidHandle {
		return h, nil
	}
	h, err := l.instance(0)
	if err != nil {
		return 0, fmt.Errorf("accept at %s: %w", l.name, err)
	}
	return h, nil
}

// connect waits until a client has come or the listener is closed.
func (l *listener) connect(h windows.Handle) error {
	came, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return fmt.Errorf("accept at %s: %w", l.name, err)
	}
	defer windows.CloseHandle(came)
	o := &windows.Overlapped{HEvent: came}
	switch err := windows.ConnectNamedPipe(h, o); {
	case err == nil, errors.Is(err, windows.ERROR_PIPE_CONNECTED), errors.Is(err, windows.ERROR_NO_DATA):
		return nil // came, or came and went: the connection's end is for its reader
	case !errors.Is(err, windows.ERROR_IO_PENDING):
		return fmt.Errorf("accept at %s: %w", l.name, err)
	}
	which, err := windows.WaitForMultipleObjects([]windows.Handle{came, l.closing}, false, windows.INFINITE)
	var n uint32
	if err == nil && which == windows.WAIT_OBJECT_0 {
		if err = windows.GetOverlappedResult(h, o, &n, false); err == nil || errors.Is(err, windows.ERROR_NO_DATA) || errors.Is(err, windows.ERROR_BROKEN_PIPE) {
			return nil
		}
		return fmt.Errorf("accept at %s: %w", l.name, err)
	}
	// The kernel writes into o until the operation has ended.
	_ = windows.CancelIoEx(h, o)
	_ = windows.GetOverlappedResult(h, o, &n, true)
	if err != nil {
		return fmt.Errorf("accept at %s: %w", l.name, err)
	}
	return fmt.Errorf("accept at %s: %w", l.name, net.ErrClosed)
}

// Close ends the listener; connections live on.
func (l *listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return fmt.Errorf("close %s: %w", l.name, net.ErrClosed)
	}
	l.closed = true
	if l.next != 0 && l.next != windows.InvalidHandle {
		_ = windows.CloseHandle(l.next)
	}
	l.mu.Unlock()
	_ = windows.SetEvent(l.closing)
	l.accept.Lock() // Accept has returned
	defer l.accept.Unlock()
	return windows.CloseHandle(l.closing)
}

func (l *listener) Addr() net.Addr { return addr(l.name) }

// open opens the client's end. The server may learn who the client is, but not act
// in its name.
func open(name string) (conn, error) {
	name16, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return conn{}, err
	}
	h, err := windows.CreateFile(name16, rights, 0, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_OVERLAPPED|windows.SECURITY_SQOS_PRESENT|windows.SECURITY_IDENTIFICATION, 0)
	if err != nil {
		return conn{}, err
	}
	return newConn(h, name), nil
}

// busyWait is how long is waited before a pipe whose instances are all taken is
// tried again.
const busyWait = 10 * time.Millisecond

func dial(ctx context.Context, path string) (net.Conn, error) {
	name := pipeName(path)
	for {
		c, err := open(name)
		switch {
		case err == nil:
			if err := trusted(c.handle); err != nil {
				_ = c.Close()
				return nil, fmt.Errorf("connect to %s: %w", name, err)
			}
			return c, nil
		case errors.Is(err, windows.ERROR_FILE_NOT_FOUND):
			return nil, fmt.Errorf("%w: %s", ErrNotRunning, path)
		case !errors.Is(err, windows.ERROR_PIPE_BUSY):
			return nil, fmt.Errorf("connect to %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to %s: every instance is busy: %w", name, ctx.Err())
		case <-time.After(busyWait):
		}
	}
}
