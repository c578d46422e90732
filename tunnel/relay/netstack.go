package relay

import (
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	gtcp "gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	gudp "gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

const nic = 1

// netstack is where the host's TCP connections end, and where fragments become
// whole. UDP and echo requests only pass through it when they were fragments.
type netstack struct {
	stack     *stack.Stack
	link      *link
	forwarder *gtcp.Forwarder
}

// timeWait is how long a connection that we closed first is remembered. Between
// host and relay no packet is ever late.
const timeWait = time.Second

func newNetstack(r *Relay) (*netstack, error) {
	n := &netstack{link: &link{relay: r}}
	n.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{gtcp.NewProtocolCUBIC, gudp.NewProtocol, icmp.NewProtocol4},
	})
	if err := n.configure(); err != nil {
		n.stack.Destroy()
		return nil, err
	}
	// One more than we let in: places are counted by us, with a verdict.
	n.forwarder = gtcp.NewForwarder(n.stack, 0, r.conf.Limits.Opening+1, r.connect)
	n.stack.SetTransportProtocolHandler(gtcp.ProtocolNumber, r.syn)
	n.stack.SetTransportProtocolHandler(gudp.ProtocolNumber, r.whole)
	n.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, r.whole)
	return n, nil
}

// configure lets the stack be every IPv4 address.
func (n *netstack) configure() error {
	sack, moderate, wait := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(false), tcpip.TCPTimeWaitTimeoutOption(timeWait)
	recovery := tcpip.TCPRecovery(0) // RACK loses much throughput where nothing is lost
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &wait, &recovery,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: minShare, Default: 256 << 10, Max: maxShare},
		&tcpip.TCPSendBufferSizeRangeOption{Min: minShare, Default: 256 << 10, Max: maxShare},
	} {
		if err := n.stack.SetTransportProtocolOption(gtcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("set TCP option %T: %s", o, err)
		}
	}
	if err := n.stack.CreateNIC(nic, n.link); err != nil {
		return fmt.Errorf("make device: %s", err)
	}
	for _, set := range []func(tcpip.NICID, bool) tcpip.Error{n.stack.SetPromiscuousMode, n.stack.SetSpoofing} {
		if err := set(nic, true); err != nil {
			return fmt.Errorf("set up device: %s", err)
		}
	}
	n.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return nil
}

// whole takes a datagram that came in fragments.
func (r *Relay) whole(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	head := pkt.NetworkHeader().Slice()
	body := pkt.ToView()
	defer body.Release()
	p := packet{src: addrOf(id.RemoteAddress), dst: addrOf(id.LocalAddress), proto: uint8(pkt.TransportProtocolNumber),
		head: head, body: body.AsSlice()[len(head):]}
	switch {
	case !p.checked():
		r.stats.packet(droppedChecksum)
	case p.proto == udp:
		r.takeUDP(vnethdr.Header{}, &p)
	default:
		r.takeEcho(&p)
	}
	return true
}

func addrOf(a tcpip.Address) netip.Addr { return netip.AddrFrom4(a.As4()) }
