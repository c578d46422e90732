package packet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// sockBuffer is the size in bytes of the socket's buffers. Super-frames count
// with all their memory, so that little means loss.
const sockBuffer = 16 << 20

// port is the open socket of a Port.
type port struct {
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool
	in     transfer
	out    transfer
}

// transfer is one readv or writev. mu is held for a frame.
type transfer struct {
	mu  sync.Mutex
	hdr [vnethdr.Size]byte
	iov [2]unix.Iovec
}

func open(name string) (*Port, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("open interface %q for raw frames: %w", name, err)
	}
	// Protocol 0 until bind, or frames of other interfaces would come first.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, &platform.PermissionError{Doing: "open raw socket", Need: "CAP_NET_RAW", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open raw socket: %w", err)
	}
	if err := setUp(fd, ifi.Index); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open interface %q for raw frames: %w", name, err)
	}
	p := &Port{name: name, mtu: ifi.MTU, mac: ifi.HardwareAddr, port: port{file: os.NewFile(uintptr(fd), name)}}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("open interface %q for raw frames: %w", name, err)
	}
	return p, nil
}

// setUp makes the socket one for all frames of an interface.
func setUp(fd, index int) error {
	for _, o := range []struct {
		name  string
		level int
		opt   int
		value int
	}{
		{"PACKET_VNET_HDR", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{"PACKET_IGNORE_OUTGOING", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("set %s: %w", o.name, err)
		}
	}
	for _, o := range []struct{ force, plain int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, sockBuffer) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.plain, sockBuffer) // as large as allowed
		}
	}
	promiscuous := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promiscuous); err != nil {
		return fmt.Errorf("set promiscuous: %w", err)
	}
	all := uint16(unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8) // network byte order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// do runs readv or writev on the header and b, and returns the bytes of b.
func (p *port) do(t *transfer, trap uintptr, wait func(func(uintptr) bool) error, b []byte) (int, error) {
	t.iov[0].Base, t.iov[1].Base = &t.hdr[0], unsafe.SliceData(b)
	t.iov[0].SetLen(len(t.hdr))
	t.iov[1].SetLen(len(b))
	var n uintptr
	var errno unix.Errno
	err := wait(func(fd uintptr) bool {
		for {
			n, _, errno = unix.Syscall(trap, fd, uintptr(unsafe.Pointer(&t.iov[0])), uintptr(len(t.iov)))
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	t.iov[1].Base = nil // do not keep the caller's memory alive
	switch {
	case p.closed.Load():
		return 0, net.ErrClosed
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, errno
	case n < uintptr(len(t.hdr)):
		return 0, io.ErrUnexpectedEOF
	}
	return int(n) - len(t.hdr), nil
}

func (p *Port) read(buf []byte) (vnethdr.Header, int, error) {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	for {
		n, err := p.do(&p.in, unix.SYS_READV, p.raw.Read, buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue // reported once when the interface goes down; it may come up again
		}
		if err != nil {
			return vnethdr.Header{}, 0, fmt.Errorf("read frame from %s: %w", p.name, err)
		}
		return vnethdr.Parse(p.in.hdr[:]), n, nil
	}
}

func (p *Port) write(h vnethdr.Header, frame []byte) error {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	h.Put(p.out.hdr[:])
	if _, err := p.do(&p.out, unix.SYS_WRITEV, p.raw.Write, frame); err != nil {
		return fmt.Errorf("write frame to %s: %w", p.name, err)
	}
	return nil
}

func (p *Port) close() error {
	if p.closed.Swap(true) {
		return fmt.Errorf("close %s: %w", p.name, net.ErrClosed)
	}
	if err := p.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", p.name, err)
	}
	return nil
}
