package vnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// tunQueue is how many packets wait for a TUN's reader; more are lost.
const tunQueue = 1024

// TUN is a TUN device of a Host. IPv4 packets that the host routes to it, and
// packets that are steered to it, come out of ReadPacket. IPv4 packets that are
// written go to the host's stack. IPv6 packets that are written from a steered
// address leave by the uplink, others are lost. It never gives super-packets and
// takes none.
type TUN struct {
	tunLink
	host  *Host
	index int
	name  string
	queue chan []byte // capacity tunQueue; when full, packets are lost
	done  chan struct{}
	once  sync.Once
}

// OpenTUN adds a TUN device, which is up at once. The name must be free; mtu is
// in bytes.
func (h *Host) OpenTUN(name string, mtu int) (*TUN, error) {
	t := &TUN{host: h, name: name, queue: make(chan []byte, tunQueue), done: make(chan struct{})}
	t.mtu.Store(uint32(mtu))
	t.out = t.enqueue
	h.mu.Lock()
	for _, l := range h.links {
		if l.name == name {
			h.mu.Unlock()
			return nil, fmt.Errorf("create TUN device: an interface named %q is there already", name)
		}
	}
	if h.ended {
		h.mu.Unlock()
		return nil, fmt.Errorf("create TUN device %q: %w", name, net.ErrClosed)
	}
	h.last++
	t.index = h.last
	h.links[t.index] = &hostLink{name: name, up: true, mtu: mtu, tun: t}
	h.mu.Unlock()
	if err := h.stack.CreateNICWithOptions(tcpip.NICID(t.index), &t.tunLink, stack.NICOptions{Name: name}); err != nil {
		t.Close()
		return nil, fmt.Errorf("create TUN device %q: %s", name, err)
	}
	h.notify()
	return t, nil
}

// Name returns the device's name.
func (t *TUN) Name() string { return t.name }

// Index returns the device's link index.
func (t *TUN) Index() int { return t.index }

// Close removes the device, its addresses and routes, and lets readers go.
func (t *TUN) Close() error {
	err := fmt.Errorf("close %s: %w", t.name, net.ErrClosed)
	t.once.Do(func() {
		close(t.done)
		h := t.host
		h.mu.Lock()
		delete(h.links, t.index)
		h.routes = slices.DeleteFunc(h.routes, func(r netstate.Route) bool { return r.Link == t.index })
		h.mu.Unlock()
		h.applyRoutes()
		h.stack.RemoveNIC(tcpip.NICID(t.index)) // fails only if it was never there
		h.notify()
		err = nil
	})
	return err
}

// closeTUNs ends all devices for good.
func (h *Host) closeTUNs() {
	h.mu.Lock()
	h.ended = true
	var open []*TUN
	for _, l := range h.links {
		if l.tun != nil {
			open = append(open, l.tun)
		}
	}
	h.mu.Unlock()
	for _, t := range open {
		t.Close()
	}
}

// ReadPacket waits for a packet and puts it into buf[:n]. The header is always
// zero: checksums are complete. After Close the cause is net.ErrClosed; a packet
// that does not fit is lost with io.ErrShortBuffer.
func (t *TUN) ReadPacket(buf []byte) (vnethdr.Header, int, error) {
	select {
	case <-t.done:
		return vnethdr.Header{}, 0, fmt.Errorf("read packet from %s: %w", t.name, net.ErrClosed)
	case p := <-t.queue:
		if len(p) > len(buf) {
			return vnethdr.Header{}, 0, fmt.Errorf("read packet from %s: %d bytes: %w", t.name, len(p), io.ErrShortBuffer)
		}
		return vnethdr.Header{}, copy(buf, p), nil
	}
}

var (
	errSuperPacket = errors.New("super-packets are not taken")
	errBadPacket   = errors.New("neither an IPv4 nor an IPv6 packet, or its header does not fit")
)

// WritePacket takes the packet whose bytes are head and then tail.
func (t *TUN) WritePacket(h vnethdr.Header, head, tail []byte) error {
	select {
	case <-t.done:
		return fmt.Errorf("write packet to %s: %w", t.name, net.ErrClosed)
	default:
	}
	pkt := append(append(make([]byte, 0, len(head)+len(tail)), head...), tail...)
	if h.GSOType != vnethdr.GSONone {
		return fmt.Errorf("write packet to %s: %w", t.name, errSuperPacket)
	}
	if len(pkt) < header.IPv4MinimumSize || !finishChecksum(h, pkt) {
		return fmt.Errorf("write packet to %s: %w", t.name, errBadPacket)
	}
	if pkt[0]>>4 == 4 {
		t.deliver(pkt)
		return nil
	}
	p, ok := parse6(pkt)
	if !ok {
		return fmt.Errorf("write packet to %s: %w", t.name, errBadPacket)
	}
	if s := t.host.steered(t, p.src); s != nil {
		t.host.sendUplink(s.uplink, p.dst, pkt)
	}
	return nil
}

// enqueue gives the reader a packet. pkt is kept.
func (t *TUN) enqueue(pkt []byte) {
	select {
	case t.queue <- pkt:
	default: // full: lost
	}
}

// tunLink is gVisor's view of a TUN: a link endpoint without link addresses.
type tunLink struct {
	mtu  atomic.Uint32
	out  func(pkt []byte)
	mu   sync.RWMutex // guards disp
	disp stack.NetworkDispatcher
}

// deliver hands an IPv4 packet to the stack.
func (l *tunLink) deliver(p []byte) {
	l.mu.RLock()
	disp := l.disp
	l.mu.RUnlock()
	if disp == nil {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
	defer pkt.DecRef()
	disp.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt)
}

// WritePackets implements stack.LinkEndpoint. IPv6 packets, which are only
// neighbor discovery and the like, are lost.
func (l *tunLink) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range list.AsSlice() {
		if pkt.NetworkProtocolNumber == header.IPv4ProtocolNumber {
			v := pkt.ToView()
			l.out(append([]byte(nil), v.AsSlice()...))
			v.Release()
		}
	}
	return list.Len(), nil
}

// Attach implements stack.LinkEndpoint.
func (l *tunLink) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disp = d
}

// IsAttached implements stack.LinkEndpoint.
func (l *tunLink) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.disp != nil
}

// MTU implements stack.LinkEndpoint.
func (l *tunLink) MTU() uint32 { return l.mtu.Load() }

// SetMTU implements stack.LinkEndpoint.
func (l *tunLink) SetMTU(mtu uint32) { l.mtu.Store(mtu) }

// Capabilities implements stack.LinkEndpoint. Incoming checksums are verified:
// what a CLAT wrote is under test.
func (*tunLink) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityNone }

// MaxHeaderLength implements stack.LinkEndpoint.
func (*tunLink) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.LinkEndpoint.
func (*tunLink) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress implements stack.LinkEndpoint.
func (*tunLink) SetLinkAddress(tcpip.LinkAddress) {}

// ARPHardwareType implements stack.LinkEndpoint.
func (*tunLink) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader implements stack.LinkEndpoint.
func (*tunLink) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.LinkEndpoint.
func (*tunLink) ParseHeader(*stack.PacketBuffer) bool { return true }

// Wait implements stack.LinkEndpoint.
func (*tunLink) Wait() {}

// Close implements stack.LinkEndpoint.
func (*tunLink) Close() {}

// SetOnCloseAction implements stack.LinkEndpoint.
func (*tunLink) SetOnCloseAction(func()) {}
