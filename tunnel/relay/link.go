package relay

import (
	"errors"
	"io"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

const (
	// readSize holds the largest packet of the port: maxPacket bytes of IPv4.
	readSize  = buffer.MaxChunkSize
	maxPacket = 65535
	// copyBelow is up to which length a packet is copied into memory of its own
	// size. Of longer ones the headers alone are, and the rest keeps the memory that
	// it was read into: the stack copies what it looks into, a view at a time.
	copyBelow = 16 << 10
)

// read takes packets from the port until it fails.
func (r *Relay) read() error {
	v := buffer.NewViewSize(readSize)
	defer func() { v.Release() }()
	for {
		h, n, err := r.port.ReadPacket(v.AsSlice())
		switch {
		case errors.Is(err, io.ErrShortBuffer):
			r.stats.packet(droppedTooLong)
			continue
		case err != nil:
			return err
		}
		if r.take(h, v.AsSlice()[:n]) {
			head := n
			if n >= copyBelow {
				head = headers(v.AsSlice()[:n])
			}
			packet := buffer.MakeWithView(buffer.NewViewWithData(v.AsSlice()[:head]))
			if head < n {
				v.CapLength(n)
				v.TrimFront(head)
				_ = packet.Append(v)
				v = buffer.NewViewSize(readSize)
			}
			r.net.link.deliver(packet)
		}
	}
}

// take carries a packet on, or tells that it is the network stack's: TCP, and
// fragments, which come back whole.
func (r *Relay) take(h vnethdr.Header, b []byte) (stacks bool) {
	if len(b) == 0 || b[0]>>4 != 4 {
		r.stats.packet(droppedNotIP)
		return false
	}
	p, ok := parse4(b)
	partial := h.Flags&vnethdr.NeedsCsum != 0
	switch {
	case !ok:
		r.stats.packet(droppedMalformed)
	case p.src != r.conf.CLAT4:
		r.stats.packet(droppedNotOurs)
	case p.dst == r.conf.CLAT4 || p.dst == dummy || p.dst.IsMulticast() || p.dst.IsLoopback() || p.dst.IsUnspecified():
		r.stats.packet(droppedMartian)
	case p.proto != tcp && p.proto != udp && p.proto != icmp4:
		r.stats.packet(answeredProtocol)
		r.answerPacket(p.dst, badProtocol, &p)
	case p.fragment && (partial || h.GSOType != vnethdr.GSONone):
		r.stats.packet(droppedOffload)
	case p.fragment:
		return true
	case !partial && h.Flags&vnethdr.DataValid == 0 && !p.checked():
		r.stats.packet(droppedChecksum)
	case p.proto == tcp:
		return true
	case p.proto == udp:
		r.takeUDP(h, &p)
	default:
		r.takeEcho(&p)
	}
	return false
}

// link is gVisor's view of the port: a device without link addresses. gVisor
// calls WritePackets from many goroutines.
type link struct {
	relay *Relay
	mu    sync.RWMutex // guards disp
	disp  stack.NetworkDispatcher
	spare sync.Pool // *[]byte of readSize, for packets in many pieces
}

// headers is the length of the IPv4 header and that of TCP, if b has one.
func headers(b []byte) int {
	p, ok := parse4(b)
	if !ok || p.proto != tcp || len(p.body) < 20 {
		return len(p.head)
	}
	return len(p.head) + min(max(20, int(p.body[12]>>4)*4), len(p.body))
}

// deliver hands a packet to the stack, which releases it.
func (l *link) deliver(packet buffer.Buffer) {
	l.mu.RLock()
	disp := l.disp
	l.mu.RUnlock()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: packet})
	if disp == nil {
		pkt.DecRef()
		return
	}
	disp.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt)
	pkt.DecRef()
}

// WritePackets implements stack.LinkEndpoint.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range list.AsSlice() {
		l.writeOne(pkt)
	}
	return list.Len(), nil
}

// writeOne writes a packet whose first piece holds all headers.
func (l *link) writeOne(pkt *stack.PacketBuffer) {
	var h vnethdr.Header
	if o := pkt.GSOOptions; o.Type == stack.GSOTCPv4 {
		if o.NeedsCsum {
			h.Flags, h.CsumStart, h.CsumOffset = vnethdr.NeedsCsum, o.L3HdrLen, o.CsumOffset
			h.HdrLen = uint16(pkt.HeaderSize())
		}
		if pkt.Data().Size() > int(o.MSS) {
			h.GSOType, h.GSOSize = vnethdr.GSOTCPv4, o.MSS
		}
	}
	parts := pkt.AsSlices()
	switch len(parts) {
	case 0:
	case 1:
		l.relay.write(h, parts[0], nil)
	case 2:
		l.relay.write(h, parts[0], parts[1])
	default:
		spare, ok := l.spare.Get().(*[]byte)
		if !ok {
			b := make([]byte, 0, readSize)
			spare = &b
		}
		rest := (*spare)[:0]
		for _, p := range parts[1:] {
			rest = append(rest, p...)
		}
		l.relay.write(h, parts[0], rest)
		*spare = rest
		l.spare.Put(spare)
	}
}

// SupportedGSO implements stack.GSOEndpoint.
func (l *link) SupportedGSO() stack.SupportedGSO {
	if l.relay.conf.Offload {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

// GSOMaxSize implements stack.GSOEndpoint.
func (*link) GSOMaxSize() uint32 { return maxPacket }

// Capabilities implements stack.LinkEndpoint: what comes in has been checked in take.
func (*link) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityRXChecksumOffload }

// Attach implements stack.LinkEndpoint.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disp = d
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.disp != nil
}

// MTU implements stack.LinkEndpoint.
func (l *link) MTU() uint32 { return uint32(l.relay.conf.MTU) }

// SetMTU implements stack.LinkEndpoint; nobody calls it.
func (*link) SetMTU(uint32) {}

// MaxHeaderLength implements stack.LinkEndpoint.
func (*link) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.LinkEndpoint.
func (*link) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress implements stack.LinkEndpoint.
func (*link) SetLinkAddress(tcpip.LinkAddress) {}

// ARPHardwareType implements stack.LinkEndpoint.
func (*link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader implements stack.LinkEndpoint.
func (*link) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.LinkEndpoint.
func (*link) ParseHeader(*stack.PacketBuffer) bool { return true }

// Wait implements stack.LinkEndpoint.
func (*link) Wait() {}

// Close implements stack.LinkEndpoint.
func (*link) Close() {}

// SetOnCloseAction implements stack.LinkEndpoint.
func (*link) SetOnCloseAction(func()) {}
