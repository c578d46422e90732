package tun

import (
	"fmt"
	"io"
	"net"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// transfer is one system call or a batch of them, and the result. The steps are
// made once: a closure per packet would be an allocation.
type transfer struct {
	mu        sync.Mutex
	step      func(fd uintptr) bool // one attempt; false: wait until the file is ready
	batchStep func(fd uintptr) bool // the same for many packets
	hdr       [vnethdr.Size]byte
	over      [1]byte // a packet longer than the buffer ends in here
	iov       [1 + MaxParts]unix.Iovec
	used      int // of iov
	n         int
	err       unix.Errno

	buf  []byte // of a batch
	into []vnethdr.Packet
}

func newTransfer() *transfer { return &transfer{} }

// stepOf is one readv or writev.
func (t *transfer) stepOf(trap uintptr) func(fd uintptr) bool {
	return func(fd uintptr) bool {
		t.n, t.err = call(trap, fd, unsafe.Pointer(&t.iov[0]), t.used)
		return t.err != unix.EAGAIN
	}
}

// readMany reads packets until none waits or there is no more room.
func (t *transfer) readMany(fd uintptr) bool {
	for t.n = 0; t.n < len(t.into) && len(t.buf) >= BatchRoom; t.n++ {
		var n int
		if n, t.err = call(unix.SYS_READ, fd, unsafe.Pointer(&t.buf[0]), len(t.buf)); t.err != 0 {
			if t.n > 0 {
				t.err = 0 // it shows again with the next batch
				return true
			}
			return t.err != unix.EAGAIN
		}
		if n < vnethdr.Size {
			t.err = unix.EBADMSG
			return true
		}
		t.into[t.n] = vnethdr.Packet{Hdr: vnethdr.Parse(t.buf), Data: t.buf[vnethdr.Size:n:n]}
		t.buf = t.buf[n:]
	}
	return true
}

// call makes a system call on a non-blocking file. It does not tell the scheduler:
// the call never waits.
func call(trap, fd uintptr, p unsafe.Pointer, n int) (int, unix.Errno) {
	for {
		r, _, e := unix.RawSyscall(trap, fd, uintptr(p), uintptr(n))
		if e != unix.EINTR {
			return int(r), e
		}
	}
}

// aim lets the transfer's parts point to the header and what follows it.
func (t *transfer) aim(parts ...[]byte) {
	t.used = 1 + len(parts)
	t.iov[0].Base = &t.hdr[0]
	t.iov[0].SetLen(len(t.hdr))
	for i, part := range parts {
		t.iov[1+i].Base = unsafe.SliceData(part)
		t.iov[1+i].SetLen(len(part))
	}
}

// release forgets the caller's memory.
func (t *transfer) release() {
	clear(t.iov[:t.used])
	t.used, t.buf, t.into = 0, nil, nil
}

func (q *Queue) readPacket(buf []byte) (vnethdr.Header, int, error) {
	t := q.in
	t.mu.Lock()
	defer t.mu.Unlock()
	t.aim(buf, t.over[:])
	err := q.raw.Read(t.step)
	t.release()
	if err := q.result(t, "read packet from", err); err != nil {
		return vnethdr.Header{}, 0, err
	}
	n := t.n - vnethdr.Size
	switch {
	case n < 0:
		return vnethdr.Header{}, 0, fmt.Errorf("read packet from %s: %d bytes, want at least %d: %w", q.device.name, t.n, vnethdr.Size, io.ErrUnexpectedEOF)
	case n > len(buf):
		return vnethdr.Header{}, 0, fmt.Errorf("read packet from %s: longer than %d bytes: %w", q.device.name, len(buf), io.ErrShortBuffer)
	}
	return vnethdr.Parse(t.hdr[:]), n, nil
}

func (q *Queue) readBatch(buf []byte, into []vnethdr.Packet) (int, error) {
	if len(buf) < BatchRoom || len(into) == 0 {
		return 0, fmt.Errorf("read packets from %s: room for %d bytes and %d packets: %w", q.device.name, len(buf), len(into), io.ErrShortBuffer)
	}
	t := q.in
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf, t.into = buf, into
	err := q.raw.Read(t.batchStep)
	t.release()
	if err := q.result(t, "read packets from", err); err != nil {
		return 0, err
	}
	return t.n, nil
}

func (q *Queue) writePacket(h vnethdr.Header, head, tail []byte) error {
	t := q.out
	t.mu.Lock()
	defer t.mu.Unlock()
	t.aim(head, tail)
	return q.write(t, h)
}

func (q *Queue) writeParts(h vnethdr.Header, parts [][]byte) error {
	if len(parts) > MaxParts {
		return fmt.Errorf("write packet to %s: %d parts, want at most %d: %w", q.device.name, len(parts), MaxParts, unix.EINVAL)
	}
	t := q.out
	t.mu.Lock()
	defer t.mu.Unlock()
	t.aim(parts...)
	return q.write(t, h)
}

// write writes what t aims at. The caller holds t.mu.
func (q *Queue) write(t *transfer, h vnethdr.Header) error {
	h.Put(t.hdr[:])
	err := q.raw.Write(t.step)
	t.release()
	return q.result(t, "write packet to", err)
}

// result turns what the poller (err) and the kernel (t.err) said into one error.
// The caller holds t.mu.
func (q *Queue) result(t *transfer, doing string, err error) error {
	closed := q.device.closed.Load()
	if err != nil && !closed {
		// A deleted device is an error to the poller, which keeps its cause to
		// itself; the kernel tells it.
		t.aim()
		q.raw.Control(func(fd uintptr) { t.step(fd) })
	}
	switch {
	case closed:
		return fmt.Errorf("%s %s: %w", doing, q.device.name, net.ErrClosed)
	case t.err == unix.EBADFD:
		return fmt.Errorf("%s %s: %w", doing, q.device.name, ErrRemoved)
	case err != nil:
		return fmt.Errorf("%s %s: %w", doing, q.device.name, err)
	case t.err != 0:
		return fmt.Errorf("%s %s: %w", doing, q.device.name, t.err)
	}
	return nil
}
