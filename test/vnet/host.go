package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/reach64/reach64/platform/netstate"
)

// Uplink is the index of a Host's first Ethernet link, eth0. Its other links get the
// numbers above it, in order, and then TUN devices.
const Uplink = 2

// HostOptions are the settings of a Host; the zero value is usable.
type HostOptions struct {
	MAC net.HardwareAddr // default 02:00:5e:00:64:02
	MTU int              // bytes; default 1500
	// More are further Ethernet links.
	More []HostLink
}

// HostLink is an Ethernet link beside eth0.
type HostLink struct {
	Name string
	Port FramePort // closed by Run
	Down bool      // at first
	// Tunnel: it is shown as a tunnel, such as a VPN's.
	Tunnel bool
}

// Host is a client machine on gVisor's stack. It has Ethernet links that
// configure themselves by router advertisements (SLAAC with duplicate address
// detection, default router, RDNSS) and any number of TUN devices, and offers
// what an operating system offers to reach64. It does no DHCP, so it has IPv4
// only by AddAddr.
//
// Its methods may be called from any goroutine until Run returns.
type Host struct {
	stack *stack.Stack

	changed chan struct{}   // capacity 1: 'look again'
	dirty   chan struct{}   // capacity 1: the NDP state changed, routes must follow
	ras     chan receivedRA // capacity raQueue; when full the oldest is lost
	steers  atomic.Pointer[[]*steering]
	waiting sync.WaitGroup // packets that wait for a neighbour's link address

	unresolved atomic.Int32  // how many wait
	done       chan struct{} // closed by Run at its end

	applying  sync.Mutex // held while the stack's route table is replaced
	mu        sync.Mutex // guards what follows; the stack is never called with it held
	links     map[int]*hostLink
	routes    []netstate.Route // made by AddRoute
	resolvers []netip.Addr     // of all links
	last      int              // the last index that was given out
	ended     bool
}

// hostLink is what the Host knows of one of its links.
type hostLink struct {
	name    string
	up      bool
	mtu     int
	tun     *TUN   // nil: Ethernet
	ether   *ether // nil: a TUN
	tunnel  bool
	addrs   []*hostAddr
	routers []netip.Addr // default routers, link-local
	onLink  []netip.Prefix
	dns     []netip.Addr
}

// NewHost returns a machine whose eth0 is link. It starts nothing of its own,
// but gVisor's stack inside has goroutines that end only when Run returns. Run
// closes all links.
func NewHost(opts HostOptions, link FramePort) (*Host, error) {
	if opts.MAC == nil {
		opts.MAC = net.HardwareAddr{2, 0, 0x5e, 0, 0x64, 2}
	}
	opts.MTU = orDefault(opts.MTU, 1500)
	h := &Host{
		changed: make(chan struct{}, 1), dirty: make(chan struct{}, 1), ras: make(chan receivedRA, raQueue), done: make(chan struct{}),
		links: make(map[int]*hostLink), last: Uplink - 1,
	}
	var err error
	if h.stack, err = newStack(hostIPv6(h)); err != nil {
		return nil, fmt.Errorf("make host: %w", err)
	}
	for _, l := range append([]HostLink{{Name: "eth0", Port: link}}, opts.More...) {
		if err := h.plug(l, opts); err != nil {
			h.stack.Destroy()
			return nil, fmt.Errorf("make host: %w", err)
		}
	}
	h.applyRoutes()
	return h, nil
}

// plug adds an Ethernet link. Its address is eth0's with another end.
func (h *Host) plug(l HostLink, opts HostOptions) error {
	h.last++
	i, mac := h.last, slices.Clone(opts.MAC)
	mac[5] += byte(i - Uplink)
	e := newEther(l.Port, mac, opts.MTU, func(etherType uint16, pkt []byte) bool { return h.take(i, etherType, pkt) })
	h.links[i] = &hostLink{name: l.Name, up: !l.Down, mtu: opts.MTU, ether: e, tunnel: l.Tunnel}
	if err := h.stack.CreateNICWithOptions(tcpip.NICID(i), e, stack.NICOptions{Name: l.Name}); err != nil {
		return fmt.Errorf("create %s: %s", l.Name, err)
	}
	if l.Down {
		if err := h.stack.DisableNIC(tcpip.NICID(i)); err != nil {
			return fmt.Errorf("take %s down: %s", l.Name, err)
		}
	}
	return nil
}

// ethers are the Ethernet links by index.
func (h *Host) ethers() map[int]*ether {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[int]*ether)
	for i, l := range h.links {
		if l.ether != nil {
			out[i] = l.ether
		}
	}
	return out
}

// hostIPv6 makes the stack an IPv6 host (RFC 4861, RFC 4862) that does not wait
// before it asks for routers.
func hostIPv6(h *Host) ipv6.Options {
	ndp := ipv6.DefaultNDPConfigurations()
	ndp.MaxRtrSolicitationDelay = 0
	ndp.RtrSolicitationInterval = time.Second
	ndp.HandleRAs = ipv6.HandlingRAsEnabledWhenForwardingDisabled
	ndp.AutoGenTempGlobalAddresses = false
	return ipv6.Options{
		NDPConfigs: ndp, AutoGenLinkLocal: true, NDPDisp: ndpEvents{h},
		DADConfigs: stack.DADConfigurations{DupAddrDetectTransmits: 1, RetransmitTimer: time.Second},
	}
}

// Run works until ctx ends or the cable is cut, then closes all TUN devices and
// waits for everything it started. It returns nil when ctx ended.
func (h *Host) Run(ctx context.Context) error {
	g, inner := errgroup.WithContext(ctx)
	links := h.ethers()
	for _, e := range links {
		g.Go(e.readFrames)
	}
	g.Go(func() error {
		defer func() {
			for _, e := range links {
				e.port.Close()
			}
		}()
		for {
			select {
			case <-inner.Done():
				return nil
			case <-h.dirty:
				h.applyRoutes()
				h.notify()
			}
		}
	})
	err := g.Wait()
	close(h.done)
	h.closeTUNs()
	h.stack.Destroy()
	h.waiting.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("run host: %w", err)
}

// notify says that the Snapshot is a new one.
func (h *Host) notify() {
	select {
	case h.changed <- struct{}{}:
	default: // nobody has looked since the last time
	}
}

// Changed gives a value after the network state changed; several changes may
// give one value. It is never closed.
func (h *Host) Changed() <-chan struct{} { return h.changed }

// DialContext connects over whatever route there is. network is tcp4, tcp6, udp4
// or udp6, addr a literal address and port. Errors are those of the net package.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return dial(ctx, h.stack, 0, nil, network, addr)
}

// DialLink is DialContext over one link.
func (h *Host) DialLink(ctx context.Context, link int, network, addr string) (net.Conn, error) {
	return dial(ctx, h.stack, tcpip.NICID(link), nil, network, addr)
}

// Echo sends an echo request over a link from one of this host's IPv6 addresses, and
// returns nil when the reply came.
func (h *Host) Echo(ctx context.Context, link int, from, to netip.Addr) error {
	msg := append([]byte{icmpEcho}, make([]byte, 7)...)
	if err := ping(ctx, h.stack, tcpip.NICID(link), from, to, msg); err != nil {
		return fmt.Errorf("ping %v from %v: %w", to, from, err)
	}
	return nil
}

// SetMTU changes a link's MTU, in bytes.
func (h *Host) SetMTU(link, mtu int) error {
	if err := h.stack.SetNICMTU(tcpip.NICID(link), uint32(mtu)); err != nil {
		return fmt.Errorf("set MTU of link %d to %d: %s", link, mtu, err)
	}
	err := h.edit(link, func(l *hostLink) error { l.mtu = mtu; return nil })
	h.notify()
	return err
}

// SetLink takes a link down or up. Down, it loses what it learned from routers;
// up, it configures itself again.
func (h *Host) SetLink(link int, up bool) error {
	change := h.stack.DisableNIC
	if up {
		change = h.stack.EnableNIC
	}
	if err := change(tcpip.NICID(link)); err != nil {
		return fmt.Errorf("set state of link %d: %s", link, err)
	}
	err := h.edit(link, func(l *hostLink) error { l.up = up; return nil })
	h.applyRoutes()
	h.notify()
	return err
}

// Rename gives a link another name, which must be free.
func (h *Host) Rename(link int, name string) error {
	h.mu.Lock()
	for _, l := range h.links {
		if l.name == name {
			h.mu.Unlock()
			return fmt.Errorf("rename link %d: an interface named %q is there already", link, name)
		}
	}
	h.mu.Unlock()
	err := h.edit(link, func(l *hostLink) error { l.name = name; return nil })
	h.notify()
	return err
}

// SetResolvers sets the name servers that are not of one link, as /etc/resolv.conf has
// them.
func (h *Host) SetResolvers(list ...netip.Addr) {
	h.mu.Lock()
	h.resolvers = slices.Clone(list)
	h.mu.Unlock()
	h.notify()
}

var errNoLink = errors.New("no such link")

// edit changes what is known of a link.
func (h *Host) edit(link int, change func(*hostLink) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.links[link]
	if !ok {
		return fmt.Errorf("link %d: %w", link, errNoLink)
	}
	return change(l)
}
