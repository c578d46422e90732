package tun

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// port is a utun device of macOS. join holds a packet while its parts are put
// together; the library locks reads and writes by itself.
type port struct {
	device *water.Interface
	join   chan []byte // capacity 1: the buffer, when no writer uses it
}

// open makes a utun device; the kernel chooses its number, whatever name is asked for. It
// has one queue.
func open(string, int) (*Device, error) {
	device, err := water.New(water.Config{DeviceType: water.TUN})
	if errors.Is(err, unix.EPERM) || err != nil && os.Geteuid() != 0 {
		return nil, &platform.PermissionError{Doing: "create utun device", Need: "root", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("create utun device: %w", err)
	}
	link, err := net.InterfaceByName(device.Name())
	if err != nil {
		_ = device.Close()
		return nil, fmt.Errorf("find utun device %s: %w", device.Name(), err)
	}
	q := &Queue{port: port{device: device, join: make(chan []byte, 1)}}
	q.join <- make([]byte, MaxPacket)
	return &Device{name: device.Name(), index: link.Index, queues: []*Queue{q}}, nil
}

// check finds nothing to refuse a start for.
func check() error { return nil }

func (p *port) readPacket(buf []byte) (vnethdr.Header, int, error) {
	n, err := p.device.Read(buf)
	if err != nil {
		return vnethdr.Header{}, 0, ended("read packet", err)
	}
	if n < 0 {
		return vnethdr.Header{}, 0, errors.New("read packet: it has no family")
	}
	return vnethdr.Header{}, n, nil
}

// writeParts writes a whole packet: utun takes no offloads.
func (p *port) writeParts(h vnethdr.Header, parts [][]byte) error {
	if err := whole(h); err != nil {
		return err
	}
	buf := <-p.join
	defer func() { p.join <- buf }()
	n := 0
	for _, part := range parts {
		if n+len(part) > len(buf) {
			return fmt.Errorf("write packet: longer than %d bytes: %w", len(buf), unix.EMSGSIZE)
		}
		n += copy(buf[n:], part)
	}
	_, err := p.device.Write(buf[:n])
	return ended("write packet", err)
}

func (p *port) end() error { return ended("close", p.device.Close()) }

// ended gives the library's error after Close its meaning here.
func ended(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed):
		return fmt.Errorf("%s: %w", doing, net.ErrClosed)
	case errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%s: %w", doing, ErrRemoved)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
