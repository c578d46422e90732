// Package tun opens a TUN device: a network interface whose packets a program
// reads and writes.
//
// On Linux each packet carries a virtio_net_hdr (package vnethdr), so that one
// read or write moves a super-packet of up to 64 KiB and the kernel leaves
// segmentation and checksums to whoever comes last. Elsewhere Open returns
// platform.Unsupported.
//
// The package never sets the device up, gives it addresses or an MTU
// (platform/netcfg does), and never looks into packets.
package tun

import (
	"errors"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// MaxPacket is the longest packet in bytes that a read can give: an IPv6 header
// and the largest payload that its length field can tell.
const MaxPacket = 40 + 65535

// ErrRemoved is the cause when someone else deleted the device under us.
var ErrRemoved = errors.New("the device was removed")

// Device is an open TUN device. It exists until Close. One goroutine may read
// while another writes; further ones wait for their turn.
type Device struct {
	name  string
	index int
	port
}

// Open makes a TUN device in the network namespace of the calling thread. The
// name is a whole one ("clat0"), a pattern with one %d that the kernel fills in
// ("clat%d"), or "" for the kernel's choice. A name that is taken, by whatever
// kind of interface, is an error.
//
// The device takes and gives TCP super-packets of both families, and UDP ones
// where the kernel can (Linux 6.2). Without CAP_NET_ADMIN or /dev/net/tun the
// error is a *platform.PermissionError.
func Open(name string) (*Device, error) { return open(name) }

// Check tells whether the device file may be opened: nil, or an error as Open
// gives. It makes no device.
func Check() error { return check() }

// Name returns the interface's name when it was opened.
func (d *Device) Name() string { return d.name }

// Index returns the interface's index.
func (d *Device) Index() int { return d.index }

// Offloads tells that packets carry their offload state, so that super-packets may
// be written.
func (d *Device) Offloads() bool { return true }

// ReadPacket waits for one packet and puts it into buf[:n]; nothing comes before
// it. buf should hold MaxPacket bytes: a longer packet is lost with
// io.ErrShortBuffer. After Close the cause is net.ErrClosed, after the
// device was deleted ErrRemoved. It does not allocate.
func (d *Device) ReadPacket(buf []byte) (h vnethdr.Header, n int, err error) {
	return d.readPacket(buf)
}

// WritePacket hands the kernel one packet, the bytes of head followed by those
// of tail, either of which may be empty. Errors are those of ReadPacket, and
// what the kernel refuses: EINVAL for a header that does not fit the packet, EIO
// while the device is down. It does not allocate.
func (d *Device) WritePacket(h vnethdr.Header, head, tail []byte) error {
	return d.writePacket(h, head, tail)
}

// Close removes the device and makes readers and writers return. Closing twice
// is an error that wraps net.ErrClosed.
func (d *Device) Close() error { return d.close() }
