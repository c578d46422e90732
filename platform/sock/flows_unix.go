//go:build linux || darwin

package sock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
)

// ready is a connection that tells when it can move data. Its steps are made once:
// a closure per call would be an allocation.
type ready struct {
	raw      syscall.RawConn
	datagram bool
	echo     *echo // nil: not a raw ICMPv6 socket

	readFD, writeFD   int
	canRead, canWrite func(fd uintptr) bool
	read              func(r io.Reader) bool
	write             func(w io.Writer) bool
}

func newReady(c syscall.Conn, datagram bool) (*ready, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("take socket: %w", err)
	}
	r := &ready{raw: raw, datagram: datagram}
	r.canRead = func(fd uintptr) bool {
		r.readFD = int(fd)
		return r.read((*readyReader)(r))
	}
	r.canWrite = func(fd uintptr) bool {
		r.writeFD = int(fd)
		return r.write((*readyWriter)(r))
	}
	return r, nil
}

// ReadReady is told of at Flows. All calls of f are in one Read of the socket, so
// that no readiness is lost between them.
func (r *ready) ReadReady(f func(r io.Reader) (done bool)) error {
	r.read = f
	return r.raw.Read(r.canRead)
}

// WriteReady is told of at Flows.
func (r *ready) WriteReady(f func(w io.Writer) (done bool)) error {
	r.write = f
	return r.raw.Write(r.canWrite)
}

type readyReader ready

func (r *readyReader) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(r.readFD, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, io.ErrNoProgress
		case err != nil:
			if r.datagram {
				drainErrors(r.readFD)
			}
			return 0, err
		case r.echo != nil && !r.echo.mine(b[:n]):
		case n == 0 && !r.datagram && len(b) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Len is how many bytes of a stream are there.
func (r *readyReader) Len() int {
	n, err := unix.IoctlGetInt(r.readFD, available)
	if err != nil {
		return 0
	}
	return n
}

type readyWriter ready

func (r *readyWriter) Write(b []byte) (int, error) {
	if r.echo != nil {
		defer r.echo.mark(b)()
	}
	done := 0
	for {
		n, err := unix.Write(r.writeFD, b[done:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return done, io.ErrShortWrite
		case err != nil:
			return done, err
		default:
			if done += n; done == len(b) {
				return done, nil
			}
		}
	}
}

type tcpFlow struct {
	*net.TCPConn
	*ready
}

type datagramFlow struct {
	net.Conn
	*ready
}

func flow(c net.Conn) (net.Conn, error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c, nil
	}
	t, stream := c.(*net.TCPConn)
	r, err := newReady(s, !stream)
	if err == nil && !stream {
		err = control(s, reportErrors)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	if stream {
		return &tcpFlow{t, r}, nil
	}
	return &datagramFlow{c, r}, nil
}

// control calls f with the socket of c.
func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("take socket: %w", err)
	}
	if cerr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

func (f Flows) dialEcho(ctx context.Context, to netip.Addr) (net.Conn, error) {
	c, err := f.pingSocket(to)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return f.rawEcho(ctx, to)
	}
	if err != nil {
		return nil, fmt.Errorf("open ping socket: %w", err)
	}
	return flow(c)
}

// pingSocket opens a datagram socket of ICMPv6, whose identifier the system chooses.
func (f Flows) pingSocket(to netip.Addr) (net.Conn, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "ping")
	defer file.Close() // the connection has one of its own
	if f.link != "" {
		if err := bind(uintptr(fd), "udp6", f.link); err != nil {
			return nil, fmt.Errorf("bind socket to %s: %w", f.link, err)
		}
	}
	if err := unix.Connect(fd, &unix.SockaddrInet6{Addr: to.As16()}); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

// echo is what tells the messages of one raw socket from those of others.
type echo struct{ id uint16 }

var lastID atomic.Uint32 // of raw sockets; begins anywhere

func init() { lastID.Store(rand.Uint32()) }

// rawEcho opens a raw socket, which sees the answers for everybody.
func (f Flows) rawEcho(ctx context.Context, to netip.Addr) (net.Conn, error) {
	var d net.Dialer
	d.Control = func(network, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if err = onlyEchoReplies(int(fd)); err == nil && f.link != "" {
				err = bind(fd, network, f.link)
			}
		})
		return errors.Join(cerr, err)
	}
	c, err := d.DialContext(ctx, "ip6:ipv6-icmp", to.String())
	if errors.Is(err, os.ErrPermission) {
		return nil, &platform.PermissionError{Doing: "send echo requests", Need: "CAP_NET_RAW, or a group in net.ipv4.ping_group_range", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open raw socket: %w", err)
	}
	if c, err = flow(c); err != nil {
		return nil, err
	}
	c.(*datagramFlow).echo = &echo{id: uint16(lastID.Add(1))}
	return c, nil
}

// mine tells whether a message answers one of this socket.
func (e *echo) mine(b []byte) bool {
	return len(b) >= 8 && b[0] == 129 && binary.BigEndian.Uint16(b[4:]) == e.id
}

// mark puts the socket's identifier into a message, and returns what takes it out.
func (e *echo) mark(b []byte) (undo func()) {
	if len(b) < 8 {
		return func() {}
	}
	was := binary.BigEndian.Uint16(b[4:])
	binary.BigEndian.PutUint16(b[4:], e.id)
	return func() { binary.BigEndian.PutUint16(b[4:], was) }
}
