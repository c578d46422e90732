package tun

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

const devicePath = "/dev/net/tun"

// Linux include/uapi/linux/if_tun.h; golang.org/x/sys has not got the last two.
const (
	offloads    = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	offloadsUSO = 0x20 | 0x40 // TUN_F_USO4 | TUN_F_USO6: Linux 6.2, both or neither
)

// port is the open file of a Device. in and out are locked by their users for
// one packet each, so that their fields can live here and nothing is allocated
// per packet.
type port struct {
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool
	in     *transfer
	out    *transfer
}

// transfer is one readv or writev and its result. step is made once: a closure
// per packet would be an allocation.
type transfer struct {
	mu   sync.Mutex
	step func(fd uintptr) bool // one attempt; false: wait until the file is ready
	hdr  [vnethdr.Size]byte
	over [1]byte // a packet longer than the buffer ends in here
	iov  [3]unix.Iovec
	n    int
	err  unix.Errno
}

// newTransfer returns a transfer that uses system call trap.
func newTransfer(trap uintptr) *transfer {
	t := &transfer{}
	t.step = func(fd uintptr) bool {
		for {
			n, _, e := unix.Syscall(trap, fd, uintptr(unsafe.Pointer(&t.iov[0])), uintptr(len(t.iov)))
			t.n, t.err = int(n), e
			switch e {
			case unix.EINTR:
			case unix.EAGAIN:
				return false
			default:
				return true
			}
		}
	}
	return t
}

// aim lets the three parts of the transfer point to the header, a and b.
func (t *transfer) aim(a, b []byte) {
	for i, part := range [...][]byte{t.hdr[:], a, b} {
		t.iov[i].Base = unsafe.SliceData(part)
		t.iov[i].SetLen(len(part))
	}
}

func open(name string) (*Device, error) {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, openError(err)
	}
	d, err := create(fd, name)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	// Only now: before TUNSETIFF the file reports an error to the poller.
	d.file = os.NewFile(uintptr(fd), devicePath)
	if d.raw, err = d.file.SyscallConn(); err != nil {
		d.file.Close()
		return nil, fmt.Errorf("open TUN device %q: %w", name, err)
	}
	return d, nil
}

func check() error {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return openError(err)
	}
	return unix.Close(fd)
}

// openError names the device file when it is missing or barred, as in containers.
func openError(err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOENT),
		errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return &platform.PermissionError{Doing: "open TUN device", Need: devicePath, Err: err}
	}
	return fmt.Errorf("open %s: %w", devicePath, err)
}

// create makes the interface on fd. The caller keeps fd.
func create(fd int, name string) (*Device, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("create TUN device %q: the name is longer than %d bytes: %w", name, unix.IFNAMSIZ-1, err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_TUN_EXCL)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("create TUN device: an interface named %q is there already: %w", name, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, &platform.PermissionError{Doing: fmt.Sprintf("create TUN device %q", name), Need: "CAP_NET_ADMIN", Err: err}
	case err != nil:
		return nil, fmt.Errorf("create TUN device %q: %w", name, err)
	}
	d := &Device{name: req.Name(), port: port{in: newTransfer(unix.SYS_READV), out: newTransfer(unix.SYS_WRITEV)}}
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads|offloadsUSO) != nil {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
			return nil, fmt.Errorf("set offloads of %s: %w", d.name, err)
		}
	}
	d.index, err = indexOf(d.name)
	return d, err
}

// indexOf asks in the namespace of the calling thread, as TUNSETIFF did.
func indexOf(name string) (int, error) {
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		s, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return 0, fmt.Errorf("read index of %s: %w", name, err)
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(s, unix.SIOCGIFINDEX, req)
	}
	if err != nil {
		return 0, fmt.Errorf("read index of %s: %w", name, err)
	}
	return int(req.Uint32()), nil
}

func (d *Device) readPacket(buf []byte) (vnethdr.Header, int, error) {
	t := d.in
	t.mu.Lock()
	defer t.mu.Unlock()
	t.aim(buf, t.over[:])
	err := d.raw.Read(t.step)
	t.aim(nil, nil) // do not keep the caller's memory alive
	if err := d.result(t, "read packet from", err); err != nil {
		return vnethdr.Header{}, 0, err
	}
	n := t.n - vnethdr.Size
	switch {
	case n < 0:
		return vnethdr.Header{}, 0, fmt.Errorf("read packet from %s: %d bytes, want at least %d: %w", d.name, t.n, vnethdr.Size, io.ErrUnexpectedEOF)
	case n > len(buf):
		return vnethdr.Header{}, 0, fmt.Errorf("read packet from %s: longer than %d bytes: %w", d.name, len(buf), io.ErrShortBuffer)
	}
	return vnethdr.Parse(t.hdr[:]), n, nil
}

func (d *Device) writePacket(h vnethdr.Header, head, tail []byte) error {
	t := d.out
	t.mu.Lock()
	defer t.mu.Unlock()
	h.Put(t.hdr[:])
	t.aim(head, tail)
	err := d.raw.Write(t.step)
	t.aim(nil, nil)
	return d.result(t, "write packet to", err)
}

// result turns what the poller (err) and the kernel (t.err) said into one error.
// The caller holds t.mu.
func (d *Device) result(t *transfer, doing string, err error) error {
	if err != nil && !d.closed.Load() {
		// A deleted device is an error to the poller, which keeps its cause to
		// itself; the kernel tells it.
		t.err = 0
		d.raw.Control(func(fd uintptr) { t.step(fd) })
	}
	switch {
	case d.closed.Load():
		return fmt.Errorf("%s %s: %w", doing, d.name, net.ErrClosed)
	case t.err == unix.EBADFD:
		return fmt.Errorf("%s %s: %w", doing, d.name, ErrRemoved)
	case err != nil:
		return fmt.Errorf("%s %s: %w", doing, d.name, err)
	case t.err != 0:
		return fmt.Errorf("%s %s: %w", doing, d.name, t.err)
	}
	return nil
}

func (d *Device) close() error {
	if d.closed.Swap(true) {
		return fmt.Errorf("close %s: %w", d.name, net.ErrClosed)
	}
	if err := d.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", d.name, err)
	}
	return nil
}
