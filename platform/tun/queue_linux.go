package tun

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// transfer is one system call or a batch of them.
type transfer struct {
	mu        sync.Mutex
	trap      uintptr // the system call: readv or writev
	hdr       [vnethdr.Size]byte
	over      [1]byte // a packet longer than the buffer ends in here
	iov       [1 + MaxParts]unix.Iovec
	used      int // of iov
	poll      [2]unix.PollFd
	pace      pace
	scheduled time.Time // when it last was, about
}

func newTransfer(trap uintptr) *transfer { return &transfer{trap: trap} }

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
	t.used = 0
}

// readWhole makes one attempt to read a packet, header and all, into buf.
func (q *Queue) readWhole(buf []byte) (int, unix.Errno) {
	return call(unix.SYS_READ, uintptr(q.fd), unsafe.Pointer(&buf[0]), len(buf))
}

// vector makes attempts until one ends, of what t aims at. The caller holds t.mu and
// q.life.
func (q *Queue) vector(t *transfer, event int16) (n int, e unix.Errno) {
	for !q.device.closed.Load() {
		if n, e = call(t.trap, uintptr(q.fd), unsafe.Pointer(&t.iov[0]), t.used); e != unix.EAGAIN {
			return n, e
		}
		q.wait(t, event, forever)
	}
	return 0, unix.EBADF
}

// forever is no limit to wait.
const forever = -1

// wait waits until fd is ready or the device is closed, at most so many milliseconds. It
// tells whether there is reason to try again.
func (q *Queue) wait(t *transfer, event int16, milliseconds int) bool {
	t.poll = [2]unix.PollFd{{Fd: int32(q.fd), Events: event}, {Fd: int32(q.device.wake), Events: unix.POLLIN}}
	n, err := unix.Poll(t.poll[:], milliseconds) // what went wrong shows at the next attempt
	return n != 0 || err != nil
}

// Go's monitor thread takes the processor from a goroutine that has not been scheduled
// for 10 ms as soon as it waits in the kernel. Whenever it has done so it looks every
// 20 us whether there is more to take: thousands of wake-ups a second for some hundred
// packets. So while packets come, a reader has itself scheduled before, and waits
// in pieces.
const (
	stint  = 6 * time.Millisecond // at most so long between two schedulings
	piece  = 8                    // milliseconds of wait
	pieces = 10                   // without a packet: none are expected any more
)

// await waits until packets are there, or for a moment, as t.pace says.
func (q *Queue) await(t *transfer) {
	if t.pace.sleeps() {
		span := unix.NsecToTimespec(int64(moment))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &span, nil) // a signal may end it early
		return
	}
	begin, ready := time.Now(), false
	for i := 0; i < pieces && !ready; i++ {
		if now := time.Now(); now.Sub(t.scheduled) > stint {
			runtime.Gosched()
			t.scheduled = now
		}
		ready = q.wait(t, unix.POLLIN, piece)
	}
	if !ready {
		q.wait(t, unix.POLLIN, forever)
	}
	t.pace.waited(time.Since(begin))
}

func (q *Queue) readPacket(buf []byte) (vnethdr.Header, int, error) {
	t := q.in
	t.mu.Lock()
	defer t.mu.Unlock()
	q.life.RLock()
	defer q.life.RUnlock()
	t.aim(buf, t.over[:])
	n, e := q.vector(t, unix.POLLIN)
	t.release()
	if e != 0 {
		return vnethdr.Header{}, 0, q.explain("read packet from", e)
	}
	switch n -= vnethdr.Size; {
	case n < 0:
		return vnethdr.Header{}, 0, q.short(n)
	case n > len(buf):
		return vnethdr.Header{}, 0, fmt.Errorf("read packet from %s: longer than %d bytes: %w", q.device.name, len(buf), io.ErrShortBuffer)
	}
	return vnethdr.Parse(t.hdr[:]), n, nil
}

func (q *Queue) short(n int) error {
	return fmt.Errorf("read packet from %s: %d bytes, want at least %d: %w", q.device.name, n+vnethdr.Size, vnethdr.Size, io.ErrUnexpectedEOF)
}

func (q *Queue) readBatch(buf []byte, into []vnethdr.Packet) (int, error) {
	if len(buf) < BatchRoom || len(into) == 0 {
		return 0, fmt.Errorf("read packets from %s: room for %d bytes and %d packets: %w", q.device.name, len(buf), len(into), io.ErrShortBuffer)
	}
	t := q.in
	t.mu.Lock()
	defer t.mu.Unlock()
	q.life.RLock()
	defer q.life.RUnlock()
	k := 0
	for {
		if q.device.closed.Load() {
			return 0, q.explain("read packets from", unix.EBADF)
		}
		n, e := q.readWhole(buf)
		switch {
		case e == 0 && n < vnethdr.Size:
			return 0, q.short(n - vnethdr.Size)
		case e == 0:
			into[k] = vnethdr.Packet{Hdr: vnethdr.Parse(buf), Data: buf[vnethdr.Size:n:n]}
			buf = buf[n:]
			if k++; k == len(into) || len(buf) < BatchRoom {
				t.pace.read(k)
				return k, nil
			}
		case k > 0:
			t.pace.read(k)
			return k, nil // an error shows again with the next batch
		case e == unix.EAGAIN:
			q.await(t)
		default:
			return 0, q.explain("read packets from", e)
		}
	}
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
	q.life.RLock()
	defer q.life.RUnlock()
	h.Put(t.hdr[:])
	_, e := q.vector(t, unix.POLLOUT)
	t.release()
	if e != 0 {
		return q.explain("write packet to", e)
	}
	return nil
}

// explain gives the kernel's errors their meaning.
func (q *Queue) explain(doing string, e unix.Errno) error {
	var err error = e
	switch {
	case q.device.closed.Load():
		err = net.ErrClosed
	case e == unix.EBADFD:
		err = ErrRemoved
	}
	return fmt.Errorf("%s %s: %w", doing, q.device.name, err)
}

// attend gives the goroutine a thread in the lowest class of real time: it waits for
// nobody but the kernel, as the softirqs do whose work it does, and the round trip
// time of all that goes through the CLAT is made of how long it waits for a processor.
func (q *Queue) attend() error {
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1}
	switch err := unix.SchedSetAttr(0, &attr, 0); {
	case errors.Is(err, unix.EPERM):
		return &platform.PermissionError{Doing: "raise priority of thread", Need: "CAP_SYS_NICE", Err: err}
	case err != nil:
		return fmt.Errorf("raise priority of thread: %w", err)
	}
	return nil
}
