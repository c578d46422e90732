package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
)

const devicePath = "/dev/net/tun"

// Linux include/uapi/linux/if_tun.h; golang.org/x/sys has not got the last two.
const (
	offloads    = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	offloadsUSO = 0x20 | 0x40 // TUN_F_USO4 | TUN_F_USO6: Linux 6.2, both or neither
)

// queueLength is how many packets wait in a queue before the kernel drops some.
// Its own default, 500, is less than a few hundred TCP flows have under way.
const queueLength = 4096

// shared is what a device's queues have in common.
type shared struct {
	name   string
	closed atomic.Bool
	wake   int // eventfd that can be read once the device is closed
}

// port is the open file of a Queue. in and out are locked by their users for one
// call each, so that their fields can live here and nothing is allocated per packet.
//
// The file does without Go's poller: whoever waits, waits in the kernel on a thread of
// its own, and runs as soon as that wakes it.
type port struct {
	device *shared
	fd     int
	life   sync.RWMutex // held for reading while fd is in use
	in     *transfer
	out    *transfer
}

// open makes the device with its first queue, then adds the others.
func open(name string, queues int) (*Device, error) {
	d := &Device{name: name}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open TUN device %q: %w", name, err)
	}
	common := &shared{wake: wake}
	for i := range queues {
		if err := d.add(common, i == 0, queues > 1); err != nil {
			return nil, errors.Join(err, d.closeFiles(common))
		}
	}
	if queues > 1 {
		// Without it the kernel chooses by itself: see OpenQueues.
		_ = steerQueues(d.queues[0])
	}
	return d, nil
}

// add opens one queue; first makes the device.
func (d *Device) add(common *shared, first, multi bool) error {
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return openError(err)
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if first {
		flags |= unix.IFF_TUN_EXCL
	}
	if multi {
		flags |= unix.IFF_MULTI_QUEUE
	}
	if err := d.join(fd, flags); err != nil {
		unix.Close(fd)
		return err
	}
	common.name = d.name
	q := &Queue{port: port{device: common, fd: fd, in: newTransfer(unix.SYS_READV), out: newTransfer(unix.SYS_WRITEV)}}
	d.queues = append(d.queues, q)
	if first {
		err = d.set(fd)
	}
	q.uso = d.queues[0].uso
	return err
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

// join makes fd a queue of the device d.name, whose whole name it notes.
func (d *Device) join(fd int, flags uint16) error {
	req, err := unix.NewIfreq(d.name)
	if err != nil {
		return fmt.Errorf("create TUN device %q: the name is longer than %d bytes: %w", d.name, unix.IFNAMSIZ-1, err)
	}
	req.SetUint16(flags)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("create TUN device: an interface named %q is there already: %w", d.name, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &platform.PermissionError{Doing: fmt.Sprintf("create TUN device %q", d.name), Need: "CAP_NET_ADMIN", Err: err}
	case err != nil:
		return fmt.Errorf("create TUN device %q: %w", d.name, err)
	}
	d.name = req.Name()
	return nil
}

// set sets what all queues share. fd is one of them.
func (d *Device) set(fd int) error {
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads|offloadsUSO) == nil {
		d.queues[0].uso = true
	} else if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		return fmt.Errorf("set offloads of %s: %w", d.name, err)
	}
	var err error
	if d.index, err = indexOf(d.name); err != nil {
		return fmt.Errorf("read index of %s: %w", d.name, err)
	}
	// By netlink: the ioctl for it is refused in user namespaces.
	if err := netlink.LinkSetTxQLen(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: d.index}}, queueLength); err != nil {
		return fmt.Errorf("set queue length of %s: %w", d.name, err)
	}
	return nil
}

// indexOf asks in the namespace of the calling thread, as TUNSETIFF did.
func indexOf(name string) (int, error) {
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		s, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return 0, err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	err = unix.IoctlIfreq(s, unix.SIOCGIFINDEX, req)
	return int(req.Uint32()), err
}

func (d *Device) closeFiles(common *shared) error {
	var errs []error
	for _, q := range d.queues {
		q.life.Lock()
		errs = append(errs, unix.Close(q.fd))
		q.life.Unlock()
	}
	return errors.Join(append(errs, unix.Close(common.wake))...)
}

func (d *Device) close() error {
	common := d.queues[0].device
	if common.closed.Swap(true) {
		return fmt.Errorf("close %s: %w", d.name, net.ErrClosed)
	}
	// A counter above zero wakes everybody who waits, and nobody resets it.
	_, err := unix.Write(common.wake, binary.NativeEndian.AppendUint64(nil, 1))
	if err := errors.Join(err, d.closeFiles(common)); err != nil {
		return fmt.Errorf("close %s: %w", d.name, err)
	}
	return nil
}

// hasOffloads: packets carry their offload state.
const hasOffloads = true
