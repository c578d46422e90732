package tun

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wintun"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// ringSize is the room for packets in each direction, in bytes (a power of two from
// 128 KiB to 64 MiB).
const ringSize = 4 << 20

// port is a session of Wintun. in and out guard the session against its end while
// a packet is read or written; the rings themselves may be used by both at once.
type port struct {
	adapter *wintun.Adapter
	session wintun.Session
	ended   windows.Handle    // the device is closed
	wake    [2]windows.Handle // ended; the driver's, for packets to read, which ends with the session
	in, out sync.RWMutex
	once    sync.Once
	closed  bool // guarded by both
}

// open makes an adapter of the driver whose library lies beside the program. Its
// GUID comes from its name, so that Windows takes it for the network that it knows. It
// has one queue, however many are asked for.
func open(name string, _ int) (*Device, error) {
	if err := load(); err != nil {
		return nil, fmt.Errorf("create TUN device: %w", err)
	}
	name = strings.ReplaceAll(name, "%d", "0")
	guid := guidOf(name)
	adapter, err := wintun.CreateAdapter(name, "reach64", &guid)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return nil, &platform.PermissionError{Doing: fmt.Sprintf("create TUN device %q", name), Need: "the rights of an administrator", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("create TUN device %q by Wintun: %w", name, err)
	}
	d, err := begin(name, adapter)
	if err != nil {
		_ = adapter.Close()
		return nil, fmt.Errorf("create TUN device %q by Wintun: %w", name, err)
	}
	return d, nil
}

// begin starts the session of an adapter. The caller keeps the adapter on error.
func begin(name string, adapter *wintun.Adapter) (*Device, error) {
	index, err := indexOf(winipcfg.LUID(adapter.LUID()))
	if err != nil {
		return nil, fmt.Errorf("find its index: %w", err)
	}
	ended, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return nil, fmt.Errorf("make an event: %w", err)
	}
	session, err := adapter.StartSession(ringSize)
	if err != nil {
		_ = windows.CloseHandle(ended)
		return nil, fmt.Errorf("start a session: %w", err)
	}
	q := &Queue{port: port{adapter: adapter, session: session, ended: ended, wake: [2]windows.Handle{ended, session.ReadWaitEvent()}}}
	return &Device{name: name, index: index, queues: []*Queue{q}}, nil
}

// guidOf is the adapter's GUID: of its own kind (version 8, RFC 9562 section 5.8).
func guidOf(name string) windows.GUID {
	sum := sha256.Sum256([]byte("reach64 adapter " + name))
	g := windows.GUID{Data1: uint32(sum[0])<<24 | uint32(sum[1])<<16 | uint32(sum[2])<<8 | uint32(sum[3]),
		Data2: uint16(sum[4])<<8 | uint16(sum[5]), Data3: uint16(sum[6])&0x0f<<8 | uint16(sum[7]) | 0x8000, Data4: [8]byte(sum[8:16])}
	g.Data4[0] = g.Data4[0]&0x3f | 0x80
	return g
}

// check finds nothing to refuse a start for: without the driver the service does all
// that needs no device, and Open says what is wrong.
func check() error { return nil }

// readPacket takes the next packet out of the ring, and waits for one.
func (p *port) readPacket(buf []byte) (vnethdr.Header, int, error) {
	for {
		n, err := p.take(buf)
		if !errors.Is(err, windows.ERROR_NO_MORE_ITEMS) {
			return vnethdr.Header{}, n, err
		}
		// Both handles outlive the wait: Close signals ended first, and waits for in.
		p.in.RLock()
		if !p.closed {
			_, err = windows.WaitForMultipleObjects(p.wake[:], false, windows.INFINITE)
		}
		p.in.RUnlock()
		if err != nil && !errors.Is(err, windows.ERROR_NO_MORE_ITEMS) {
			return vnethdr.Header{}, 0, fmt.Errorf("wait for packets: %w", err)
		}
	}
}

// take copies one packet out of the ring. ERROR_NO_MORE_ITEMS: there is none.
func (p *port) take(buf []byte) (int, error) {
	p.in.RLock()
	defer p.in.RUnlock()
	if p.closed {
		return 0, fmt.Errorf("read packet: %w", net.ErrClosed)
	}
	packet, err := p.session.ReceivePacket()
	switch {
	case errors.Is(err, windows.ERROR_NO_MORE_ITEMS):
		return 0, windows.ERROR_NO_MORE_ITEMS
	case errors.Is(err, windows.ERROR_HANDLE_EOF):
		return 0, fmt.Errorf("read packet: %w", ErrRemoved)
	case err != nil:
		return 0, fmt.Errorf("read packet: %w", err)
	}
	defer p.session.ReleaseReceivePacket(packet)
	if len(packet) > len(buf) {
		return 0, fmt.Errorf("read packet: longer than %d bytes: %w", len(buf), io.ErrShortBuffer)
	}
	return copy(buf, packet), nil
}

// writeParts puts a packet into the ring. Windows takes whole packets with their
// checksums alone, and a full ring loses them, as a link does.
func (p *port) writeParts(h vnethdr.Header, parts [][]byte) error {
	if err := whole(h); err != nil {
		return err
	}
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	p.out.RLock()
	defer p.out.RUnlock()
	if p.closed {
		return fmt.Errorf("write packet: %w", net.ErrClosed)
	}
	packet, err := p.session.AllocateSendPacket(size)
	switch {
	case errors.Is(err, windows.ERROR_HANDLE_EOF):
		return fmt.Errorf("write packet: %w", ErrRemoved)
	case err != nil:
		return fmt.Errorf("write packet: %w", err)
	}
	rest := packet
	for _, part := range parts {
		rest = rest[copy(rest, part):]
	}
	p.session.SendPacket(packet)
	return nil
}

func (p *port) end() error {
	err := fmt.Errorf("close: %w", net.ErrClosed)
	p.once.Do(func() {
		_ = windows.SetEvent(p.ended) // wakes readers, which hold in
		p.in.Lock()
		p.out.Lock()
		p.closed = true
		p.session.End()
		err = p.adapter.Close() // removes it
		_ = windows.CloseHandle(p.ended)
		p.out.Unlock()
		p.in.Unlock()
	})
	return err
}

// indexOf is the index of the link.
func indexOf(luid winipcfg.LUID) (int, error) {
	row, err := luid.Interface()
	if err != nil {
		return 0, err
	}
	return int(row.InterfaceIndex), nil
}
