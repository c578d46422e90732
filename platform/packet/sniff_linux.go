package packet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
)

type sniffer struct {
	name string
	file *os.File
	raw  syscall.RawConn
	buf  []byte
	gone int // packets lost before the kernel's count was last read
}

func sniff(name string, snap int) (sniffer, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return sniffer{}, fmt.Errorf("listen on interface %q: %w", name, err)
	}
	// SOCK_DGRAM: without the header of the link layer. Protocol 0 until bind.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return sniffer{}, &platform.PermissionError{Doing: "open packet socket", Need: "CAP_NET_RAW", Err: err}
	}
	if err != nil {
		return sniffer{}, fmt.Errorf("open packet socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, sockBuffer) // as large as allowed
	all := uint16(unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8)             // network byte order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}); err != nil {
		unix.Close(fd)
		return sniffer{}, fmt.Errorf("listen on interface %q: %w", name, err)
	}
	s := sniffer{name: name, file: os.NewFile(uintptr(fd), name), buf: make([]byte, snap)}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return sniffer{}, fmt.Errorf("listen on interface %q: %w", name, err)
	}
	return s, nil
}

func (s *sniffer) next(ctx context.Context) (Sniffed, error) {
	defer context.AfterFunc(ctx, func() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) })()
	var n int
	var from unix.Sockaddr
	var err error
	for {
		rerr := s.raw.Read(func(fd uintptr) bool {
			n, from, err = unix.Recvfrom(int(fd), s.buf, unix.MSG_TRUNC)
			return !errors.Is(err, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return Sniffed{}, ctx.Err()
		case errors.Is(err, unix.ENETDOWN) && rerr == nil:
			continue // reported once when the interface goes down
		}
		if err = errors.Join(rerr, err); err != nil {
			return Sniffed{}, fmt.Errorf("read packet of %s: %w", s.name, err)
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		return Sniffed{Data: s.buf[:min(n, len(s.buf))], Length: n, Outbound: ok && ll.Pkttype == unix.PACKET_OUTGOING}, nil
	}
}

func (s *sniffer) lost() int {
	_ = s.raw.Control(func(fd uintptr) {
		if st, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			s.gone += int(st.Drops) // reading sets it back to zero
		}
	})
	return s.gone
}

func (s *sniffer) close() error { return s.file.Close() }
