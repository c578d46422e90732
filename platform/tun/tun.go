// Package tun opens a TUN device: a network interface whose packets a program
// reads and writes.
//
// On Linux each packet carries a virtio_net_hdr (package vnethdr), so that one
// read or write moves a super-packet of up to 64 KiB and the kernel leaves
// segmentation and checksums to whoever comes last. A device may have several
// queues, so that several goroutines share its packets: those of one flow and
// direction always come out of the same queue, in order. Elsewhere Open returns
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

// BatchRoom is the shortest buffer in bytes that ReadBatch takes.
const BatchRoom = vnethdr.Size + MaxPacket

// ErrRemoved is the cause when someone else deleted the device under us.
var ErrRemoved = errors.New("the device was removed")

// Device is an open TUN device. It exists until Close.
type Device struct {
	name   string
	index  int
	queues []*Queue
}

// Queue is one of a device's queues. One goroutine may read while another writes;
// further ones wait for their turn. Errors are the same for all its methods: after
// Close the cause is net.ErrClosed, after the device was deleted ErrRemoved. None
// of them allocates.
type Queue struct {
	uso bool
	port
}

// Open makes a TUN device with one queue in the network namespace of the calling
// thread. The name is a whole one ("clat0"), a pattern with one %d that the kernel
// fills in ("clat%d"), or "" for the kernel's choice. A name that is taken, by
// whatever kind of interface, is an error.
//
// The device takes and gives TCP super-packets of both families, and UDP ones
// where the kernel can (Linux 6.2). Without CAP_NET_ADMIN or /dev/net/tun the
// error is a *platform.PermissionError.
func Open(name string) (*Device, error) { return open(name, 1) }

// OpenQueues is Open for a device with that many queues, at least one. Without
// CAP_BPF the kernel's own way to choose a queue is left in place: it may reorder
// a flow when both its ends begin to send in the same instant.
func OpenQueues(name string, queues int) (*Device, error) { return open(name, max(1, queues)) }

// Check tells whether the device file may be opened: nil, or an error as Open
// gives. It makes no device.
func Check() error { return check() }

// Name returns the interface's name when it was opened.
func (d *Device) Name() string { return d.name }

// Index returns the interface's index.
func (d *Device) Index() int { return d.index }

// Queues returns the device's queues. All have to be read.
func (d *Device) Queues() []*Queue { return d.queues }

// Offloads tells that packets carry their offload state, so that super-packets may
// be written.
func (d *Device) Offloads() bool { return hasOffloads }

// ReadPacket reads from the first queue, see Queue.ReadPacket.
func (d *Device) ReadPacket(buf []byte) (h vnethdr.Header, n int, err error) {
	return d.queues[0].ReadPacket(buf)
}

// WritePacket writes to the first queue, see Queue.WritePacket.
func (d *Device) WritePacket(h vnethdr.Header, head, tail []byte) error {
	return d.queues[0].WritePacket(h, head, tail)
}

// Close removes the device and makes readers and writers return. Closing twice
// is an error that wraps net.ErrClosed.
func (d *Device) Close() error { return d.close() }

// ReadPacket waits for one packet and puts it into buf[:n]; nothing comes before
// it. buf should hold MaxPacket bytes: a longer packet is lost with
// io.ErrShortBuffer.
func (q *Queue) ReadPacket(buf []byte) (h vnethdr.Header, n int, err error) {
	return q.readPacket(buf)
}

// ReadBatch waits for a packet, and reads those behind it that are there already.
// It puts them into buf, and where they are into the first n elements of into. It
// ends when into is full or less than BatchRoom bytes of buf are left; shorter
// than that, buf is refused with io.ErrShortBuffer.
func (q *Queue) ReadBatch(buf []byte, into []vnethdr.Packet) (n int, err error) {
	return q.readBatch(buf, into)
}

// Attend makes the calling goroutine the one that serves the queue: it gets a thread of
// its own, which runs before others, since the traffic waits for it. The thread goes
// with the goroutine. An error says why the thread is one like others: the queue works as
// well, only slower when the machine is busy.
func (q *Queue) Attend() error { return q.attend() }

// WritePacket hands the kernel one packet, the bytes of head followed by those
// of tail, either of which may be empty. What the kernel refuses is an error:
// EINVAL for a header that does not fit the packet, EIO while the device is down.
func (q *Queue) WritePacket(h vnethdr.Header, head, tail []byte) error {
	return q.writePacket(h, head, tail)
}

// WriteParts is WritePacket for a packet of at most MaxParts parts.
func (q *Queue) WriteParts(h vnethdr.Header, parts [][]byte) error { return q.writeParts(h, parts) }

// MaxParts is of how many parts a packet may be written.
const MaxParts = 127

// SegmentsUDP tells whether UDP super-packets may be written.
func (q *Queue) SegmentsUDP() bool { return q.uso }
