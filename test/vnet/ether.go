package vnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// maxLearned bounds the table of learned link addresses.
const maxLearned = 4096

// ether is gVisor's view of a FramePort: an Ethernet link endpoint. Checksums
// of incoming packets are not verified, because a kernel on the other side may
// have left them to be filled in by hardware.
type ether struct {
	port    FramePort
	offload OffloadPort // port, if it can; else nil
	mac     tcpip.LinkAddress
	mtu     atomic.Uint32
	// take sees each incoming IP packet first and is true when it dealt with it.
	take func(etherType uint16, pkt []byte) bool
	// learn: take the link address of a destination from the packets that it
	// sent, instead of asking for it. A router that only answers needs no more.
	learn bool

	mu      sync.RWMutex // guards what follows
	disp    stack.NetworkDispatcher
	learned map[netip.Addr]tcpip.LinkAddress
}

var _ stack.GSOEndpoint = (*ether)(nil)

func newEther(port FramePort, mac []byte, mtu int, take func(uint16, []byte) bool) *ether {
	e := &ether{port: port, mac: tcpip.LinkAddress(mac), take: take, learned: make(map[netip.Addr]tcpip.LinkAddress)}
	e.offload, _ = port.(OffloadPort)
	e.mtu.Store(uint32(mtu))
	return e
}

// readFrames hands incoming frames to the stack until the port is closed. The
// caller owns the goroutine.
func (e *ether) readFrames() error {
	buf := make([]byte, maxFrame)
	for {
		h, n, err := e.read(buf)
		if err != nil {
			return fmt.Errorf("read frame: %w", err)
		}
		splitUDP(h, buf[:n], e.receive)
	}
}

func (e *ether) read(buf []byte) (vnethdr.Header, int, error) {
	if e.offload != nil {
		return e.offload.ReadOffload(buf)
	}
	n, err := e.port.ReadFrame(buf)
	return vnethdr.Header{}, n, err
}

// receive deals with one frame. It does not keep it.
func (e *ether) receive(frame []byte) {
	if len(frame) < etherLen || frame[0]&1 == 0 && tcpip.LinkAddress(frame[:6]) != e.mac {
		return
	}
	etherType, payload := binary.BigEndian.Uint16(frame[12:]), frame[etherLen:]
	if e.learn {
		e.note(etherType, payload, frame[6:12])
	}
	if e.take != nil && e.take(etherType, payload) {
		return
	}
	e.mu.RLock()
	disp := e.disp
	e.mu.RUnlock()
	if disp == nil {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer pkt.DecRef()
	pkt.LinkHeader().Consume(etherLen)
	if frame[0]&1 != 0 {
		pkt.PktType = tcpip.PacketMulticast
	}
	disp.DeliverNetworkPacket(tcpip.NetworkProtocolNumber(etherType), pkt)
}

// note keeps the sender's link address.
func (e *ether) note(etherType uint16, payload, mac []byte) {
	var src netip.Addr
	if p, ok := parse6(payload); ok && etherType == etherIPv6 {
		src = p.src
	} else if etherType == etherIPv4 && len(payload) >= 20 {
		src = netip.AddrFrom4([4]byte(payload[12:16]))
	}
	if !src.IsValid() || src.IsUnspecified() || src.IsMulticast() {
		return
	}
	e.mu.RLock()
	old, known := e.learned[src]
	full := len(e.learned) >= maxLearned
	e.mu.RUnlock()
	if known && old == tcpip.LinkAddress(mac) || full && !known {
		return
	}
	e.mu.Lock()
	e.learned[src] = tcpip.LinkAddress(mac)
	e.mu.Unlock()
}

// destination is the link address that pkt goes to, empty when it is not known.
func (e *ether) destination(pkt *stack.PacketBuffer) tcpip.LinkAddress {
	if mac := pkt.EgressRoute.RemoteLinkAddress; len(mac) != 0 || !e.learn {
		return mac
	}
	var dst netip.Addr
	switch pkt.NetworkProtocolNumber {
	case header.IPv4ProtocolNumber:
		dst = fromAddr(header.IPv4(pkt.NetworkHeader().Slice()).DestinationAddress())
	case header.IPv6ProtocolNumber:
		dst = fromAddr(header.IPv6(pkt.NetworkHeader().Slice()).DestinationAddress())
	default:
		return ""
	}
	if dst.Is6() && dst.IsMulticast() {
		return macOfMulticast(dst)
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.learned[dst]
}

// send writes an IPv6 packet past the stack.
func (e *ether) send(dst tcpip.LinkAddress, pkt []byte) error {
	if len(dst) != 6 {
		return errors.New("send packet: the link address of its destination is not known")
	}
	frame := make([]byte, 0, etherLen+len(pkt))
	frame = append(append(frame, dst...), e.mac...)
	frame = binary.BigEndian.AppendUint16(frame, etherIPv6)
	return e.port.WriteFrame(append(frame, pkt...))
}

// sendTo is send for a destination that was learned or is multicast.
func (e *ether) sendTo(dst netip.Addr, pkt []byte) error {
	if dst.IsMulticast() {
		return e.send(macOfMulticast(dst), pkt)
	}
	e.mu.RLock()
	mac := e.learned[dst]
	e.mu.RUnlock()
	return e.send(mac, pkt)
}

// frames are buffers for outgoing frames.
var frames = sync.Pool{New: func() any { b := make([]byte, 0, maxFrame); return &b }}

// WritePackets sends packets of the stack. What cannot be sent is lost.
func (e *ether) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	for _, pkt := range list.AsSlice() {
		frame := (*buf)[:0]
		for _, part := range pkt.AsSlices() {
			frame = append(frame, part...)
		}
		e.write(pkt, frame) // lost is lost
	}
	return list.Len(), nil
}

func (e *ether) write(pkt *stack.PacketBuffer, frame []byte) error {
	if e.offload == nil {
		return e.port.WriteFrame(frame)
	}
	var h vnethdr.Header
	if gso := pkt.GSOOptions; gso.Type != stack.GSONone {
		h.HdrLen = uint16(pkt.HeaderSize())
		if gso.NeedsCsum {
			h.Flags, h.CsumStart, h.CsumOffset = vnethdr.NeedsCsum, etherLen+gso.L3HdrLen, gso.CsumOffset
		}
		if pkt.Data().Size() > int(gso.MSS) {
			h.GSOType, h.GSOSize = vnethdr.GSOTCPv6, gso.MSS
			if gso.Type == stack.GSOTCPv4 {
				h.GSOType = vnethdr.GSOTCPv4
			}
		}
	}
	return e.offload.WriteOffload(h, frame)
}

// AddHeader implements stack.LinkEndpoint.
func (e *ether) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(etherLen)).Encode(&header.EthernetFields{
		SrcAddr: e.mac, DstAddr: e.destination(pkt), Type: pkt.NetworkProtocolNumber})
}

// Attach implements stack.LinkEndpoint.
func (e *ether) Attach(d stack.NetworkDispatcher) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.disp = d
}

// IsAttached implements stack.LinkEndpoint.
func (e *ether) IsAttached() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.disp != nil
}

// Capabilities implements stack.LinkEndpoint.
func (e *ether) Capabilities() stack.LinkEndpointCapabilities {
	if e.learn {
		return stack.CapabilityRXChecksumOffload
	}
	return stack.CapabilityRXChecksumOffload | stack.CapabilityResolutionRequired
}

// SupportedGSO implements stack.GSOEndpoint.
func (e *ether) SupportedGSO() stack.SupportedGSO {
	if e.offload == nil {
		return stack.GSONotSupported
	}
	return stack.HostGSOSupported
}

// GSOMaxSize implements stack.GSOEndpoint.
func (*ether) GSOMaxSize() uint32 { return 65000 }

// MTU implements stack.LinkEndpoint: bytes of an IP packet.
func (e *ether) MTU() uint32 { return e.mtu.Load() }

// SetMTU implements stack.LinkEndpoint.
func (e *ether) SetMTU(mtu uint32) { e.mtu.Store(mtu) }

// MaxHeaderLength implements stack.LinkEndpoint.
func (*ether) MaxHeaderLength() uint16 { return etherLen }

// LinkAddress implements stack.LinkEndpoint.
func (e *ether) LinkAddress() tcpip.LinkAddress { return e.mac }

// SetLinkAddress implements stack.LinkEndpoint. The address is fixed.
func (*ether) SetLinkAddress(tcpip.LinkAddress) {}

// ARPHardwareType implements stack.LinkEndpoint.
func (*ether) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// ParseHeader implements stack.LinkEndpoint.
func (*ether) ParseHeader(pkt *stack.PacketBuffer) bool {
	_, ok := pkt.LinkHeader().Consume(etherLen)
	return ok
}

// Wait implements stack.LinkEndpoint. The reader belongs to Run.
func (*ether) Wait() {}

// Close implements stack.LinkEndpoint. Run closes the port.
func (*ether) Close() {}

// SetOnCloseAction implements stack.LinkEndpoint.
func (*ether) SetOnCloseAction(func()) {}
