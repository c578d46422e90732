package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/reach64/reach64/resolver/nat64"
)

// Options are the settings of a Router. The zero value is a router with every
// feature on, for 64:ff9b::/96 and 2001:db8:1::/64.
type Options struct {
	Prefix nat64.Prefix     // what is translated and advertised; default 64:ff9b::/96
	PIO    netip.Prefix     // the link's /64, on-link and autonomous; default 2001:db8:1::/64
	Addr   netip.Addr       // the router's address and name server; default the first one of PIO
	MAC    net.HardwareAddr // default 02:00:5e:00:64:01
	MTU    int              // bytes of an IP packet on the link; default 1500

	// Managed gives hosts no prefix to make addresses of and none that is on-link: they
	// are to ask DHCPv6, of which the router has none.
	Managed bool

	AdvertiseMTU   bool          // put MTU into router advertisements
	RAInterval     time.Duration // between unsolicited advertisements; default 3 s
	RouterLifetime time.Duration // default 30 min
	PrefixLifetime time.Duration // valid and preferred; default 1 h
	RDNSSLifetime  time.Duration // default 30 min
	Pref64Lifetime time.Duration // rounded up to 8 s; default 30 min

	Zone        map[string][]netip.Addr // names that the DNS server knows, IPv4 and IPv6
	TTL         time.Duration           // of answers; default 60 s
	NegativeTTL time.Duration           // of the SOA in answers without data; default 5 s

	DialTimeout time.Duration // for the IPv4 side of a TCP flow; default 10 s
	UDPIdle     time.Duration // a UDP flow ends after this silence; default 60 s
	MaxFlows    int           // TCP and UDP flows together; default 1024. More are dropped

	// Dial6, if set, is asked for "tcp6" and "udp6" to destinations outside the
	// prefix, so that servers with native IPv6 exist. Without it they do not.
	Dial6 Dialer

	// PCP, if set, answers on the router's addresses and on 2001:1::1 (RFC 7723).
	PCP *PCP

	// Addr4 is the router's address and prefix length for IPv4 on the link, of which it
	// gives hosts none: they add theirs by hand. Flows go to the WAN. The zero value: the
	// link has no IPv4.
	Addr4 netip.Prefix

	// AlsoPref64 are prefixes that are advertised beside the router's own, and lead
	// nowhere.
	AlsoPref64 []nat64.Prefix

	// Portal is the address of a captive portal's API that is advertised, "" none.
	Portal string

	// What is off at the start. Each has a method to switch it later.
	NoRA, NoPref64, NoDNS, NoDNS64, NoNAT64, NoIPv4 bool

	NoRDNSS bool // advertisements do not tell the name server
}

// orDefault returns v, or d when v is the zero value.
func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

func (o *Options) setDefaults() error {
	o.Prefix = orDefault(o.Prefix, nat64.WellKnown())
	o.PIO = orDefault(o.PIO, netip.MustParsePrefix("2001:db8:1::/64")).Masked()
	o.Addr = orDefault(o.Addr, o.PIO.Addr().Next())
	if o.MAC == nil {
		o.MAC = net.HardwareAddr{2, 0, 0x5e, 0, 0x64, 1}
	}
	o.MTU = orDefault(o.MTU, 1500)
	o.RAInterval = orDefault(o.RAInterval, 3*time.Second)
	o.RouterLifetime = orDefault(o.RouterLifetime, 30*time.Minute)
	o.PrefixLifetime = orDefault(o.PrefixLifetime, time.Hour)
	o.RDNSSLifetime = orDefault(o.RDNSSLifetime, 30*time.Minute)
	o.Pref64Lifetime = orDefault(o.Pref64Lifetime, 30*time.Minute)
	o.TTL = orDefault(o.TTL, time.Minute)
	o.NegativeTTL = orDefault(o.NegativeTTL, 5*time.Second)
	o.DialTimeout = orDefault(o.DialTimeout, 10*time.Second)
	o.UDPIdle = orDefault(o.UDPIdle, time.Minute)
	o.MaxFlows = orDefault(o.MaxFlows, 1024)
	switch {
	case len(o.MAC) != 6 || o.MAC[0]&1 != 0:
		return fmt.Errorf("MAC %v: want a unicast address of 6 bytes", o.MAC)
	case !o.PIO.Addr().Is6():
		return fmt.Errorf("PIO %v: want an IPv6 prefix", o.PIO)
	case !o.PIO.Contains(o.Addr):
		return fmt.Errorf("router address %v: want one in %v", o.Addr, o.PIO)
	case o.Addr4.IsValid() && !o.Addr4.Addr().Is4():
		return fmt.Errorf("router address %v: want an IPv4 one", o.Addr4)
	case o.MTU < 1280 || o.MTU > 65535:
		return fmt.Errorf("MTU %d: want 1280 to 65535 bytes", o.MTU)
	case o.RAInterval < 0, o.MaxFlows < 0:
		return errors.New("RA interval and number of flows: want none below zero")
	}
	return nil
}

// nic is the router's only interface; the IPv4 side is the WAN.
const nic = tcpip.NICID(1)

// Router is the lab's router. Its methods may be called from any goroutine, at
// any time between New and the end of Run.
type Router struct {
	opts      Options
	linkLocal netip.Addr
	link      *ether
	stack     *stack.Stack
	wan       WAN
	zone      zone

	ra, pref64, dns, dns64, nat64 atomic.Bool
	advertise                     chan struct{} // capacity 1: 'send an advertisement now', further ones add nothing

	now      atomic.Pointer[plan]
	planning sync.Mutex // held while the plan is replaced

	count counts

	ctx   context.Context // of Run; set before anything is received
	slots chan struct{}   // one token per flow, capacity MaxFlows; when full, a new flow is dropped
	pings chan struct{}   // likewise for echo requests under way
	flows sync.WaitGroup  // goroutines of flows; Run waits for them
	syns  syns
}

// maxPings bounds the echo requests that wait for their reply.
const maxPings = 64

// New returns a router on link. It starts nothing of its own, but gVisor's stack
// inside has goroutines that end only when Run returns. Run closes link.
func New(opts Options, link FramePort, wan WAN) (*Router, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, fmt.Errorf("make router: %w", err)
	}
	r := &Router{
		opts: opts, wan: wan, linkLocal: linkLocal(opts.MAC),
		advertise: make(chan struct{}, 1),
		slots:     make(chan struct{}, opts.MaxFlows), pings: make(chan struct{}, maxPings),
	}
	r.now.Store(r.opts.plan())
	r.zone.load(opts.Zone)
	for on, off := range map[*atomic.Bool]bool{&r.ra: opts.NoRA, &r.pref64: opts.NoPref64, &r.dns: opts.NoDNS, &r.dns64: opts.NoDNS64, &r.nat64: opts.NoNAT64} {
		on.Store(!off)
	}
	r.link = newEther(link, opts.MAC, opts.MTU, r.take)
	r.link.learn = true
	var err error
	if r.stack, err = newStack(ipv6.Options{}); err != nil {
		return nil, fmt.Errorf("make router: %w", err)
	}
	if err := r.plug(); err != nil {
		r.stack.Destroy()
		return nil, fmt.Errorf("make router: %w", err)
	}
	r.intercept()
	return r, nil
}

// plug attaches the link to the stack. Promiscuous and spoofing make the stack
// take and give packets of every address, which is how a NAT64 looks to its
// clients.
func (r *Router) plug() error {
	if err := r.stack.CreateNIC(nic, r.link); err != nil {
		return fmt.Errorf("create interface: %s", err)
	}
	own := []netip.Prefix{netip.PrefixFrom(r.linkLocal, 64), netip.PrefixFrom(r.opts.Addr, 64)}
	if r.opts.Addr4.IsValid() {
		own = append(own, r.opts.Addr4)
	}
	for _, p := range own {
		if err := r.stack.AddProtocolAddress(nic, protocolAddress(p), stack.AddressProperties{}); err != nil {
			return fmt.Errorf("add address %v: %s", p, err)
		}
	}
	if err := r.stack.JoinGroup(ipv6.ProtocolNumber, nic, toAddr(allRouters)); err != nil {
		return fmt.Errorf("join %v: %s", allRouters, err)
	}
	// The Router flag of its neighbour advertisements: without it hosts drop it as
	// their default router (RFC 4861 section 7.2.5).
	if _, err := r.stack.SetNICForwarding(nic, ipv6.ProtocolNumber, true); err != nil {
		return fmt.Errorf("set forwarding: %s", err)
	}
	if err := r.stack.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("set promiscuous mode: %s", err)
	}
	if err := r.stack.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("set spoofing: %s", err)
	}
	r.stack.SetRouteTable([]tcpip.Route{
		{Destination: subnet(netip.MustParsePrefix("0.0.0.0/0")), NIC: nic},
		{Destination: subnet(netip.MustParsePrefix("::/0")), NIC: nic}})
	return nil
}

// Run serves until ctx ends or the link is closed, then sends a last
// advertisement, ends all flows and waits for everything it started. It returns
// nil when ctx ended.
func (r *Router) Run(ctx context.Context) error {
	defer r.stack.Destroy()
	g, inner := errgroup.WithContext(ctx)
	r.ctx = inner
	servers, err := r.listenDNS()
	if err != nil {
		r.link.port.Close()
		return fmt.Errorf("run router: %w", err)
	}
	pcp, err := r.listenPCP()
	if err != nil {
		r.link.port.Close()
		return errors.Join(fmt.Errorf("run router: %w", err), closeDNS(servers))
	}
	for _, s := range servers {
		g.Go(s.ActivateAndServe)
	}
	for _, c := range pcp {
		g.Go(func() error { return r.servePCP(c) })
	}
	g.Go(r.link.readFrames)
	g.Go(func() error {
		r.runRA(inner)
		r.link.port.Close()
		for _, s := range servers {
			shutdown(s)
		}
		for _, c := range pcp {
			c.Close()
		}
		return nil
	})
	err = g.Wait()
	r.flows.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("run router: %w", err)
}

// take sees each incoming packet before the stack. It is true for those that the
// stack must not see.
func (r *Router) take(etherType uint16, pkt []byte) bool {
	now := r.now.Load()
	if etherType != etherIPv6 {
		return !r.wants4(now, etherType, pkt)
	}
	p, ok := parse6(pkt)
	if !ok || now.lost != nil && now.lost(p.src) {
		return true
	}
	switch p.icmpType() {
	case icmpRS:
		if p.hopLimit == 255 {
			r.count.rs.Add(1)
			r.advertiseNow()
		}
		return false
	case icmpNS:
		// A spoofing interface would answer for every address, and so break the
		// clients' duplicate address detection.
		if len(p.payload) < 24 {
			return true
		}
		target := netip.AddrFrom16([16]byte(p.payload[8:24]))
		if now.claimed != nil && now.claimed(target) {
			r.defend(target)
		}
		return !r.own(target)
	}
	if !now.prefix.Contains(p.dst) {
		return false
	}
	if now.noRoute {
		r.refuse(p, pkt[:ip6Len+len(p.payload)])
	}
	return now.noRoute || !r.nat64.Load()
}

// wants4 is true for what the stack shall see of IPv4: packets to the router, and
// others while IPv4 is passed on. A spoofing interface would answer every question
// for an address.
func (r *Router) wants4(now *plan, etherType uint16, pkt []byte) bool {
	own := r.opts.Addr4.Addr()
	switch {
	case !own.IsValid():
		return false
	case etherType == etherARP && len(pkt) >= 28:
		return netip.AddrFrom4([4]byte(pkt[24:28])) == own // RFC 826: the target
	case etherType == etherIPv4 && len(pkt) >= 20:
		return now.ipv4 || netip.AddrFrom4([4]byte(pkt[16:20])) == own
	}
	return false
}

// own tells whether a is an address of the router itself.
func (r *Router) own(a netip.Addr) bool {
	return a == r.opts.Addr || a == r.linkLocal || a == r.opts.Addr4.Addr()
}

// Addr is the router's global address, where its DNS server listens.
func (r *Router) Addr() netip.Addr { return r.opts.Addr }

// SetRA turns router advertisements on or off. Turning them off sends a last one
// with lifetimes of zero.
func (r *Router) SetRA(on bool) { r.ra.Store(on); r.advertiseNow() }

// SetPref64 puts the PREF64 option into advertisements or takes it out, first
// with a lifetime of zero (RFC 8781 section 5).
func (r *Router) SetPref64(on bool) { r.pref64.Store(on); r.advertiseNow() }

// SetDNS turns the DNS server on, or off: silent.
func (r *Router) SetDNS(on bool) { r.dns.Store(on) }

// SetDNS64 turns the synthesis of AAAA records on or off.
func (r *Router) SetDNS64(on bool) { r.dns64.Store(on) }

// SetNAT64 turns the NAT64 on or off. Off, packets to the prefix get lost, those
// of flows that exist as well.
func (r *Router) SetNAT64(on bool) { r.nat64.Store(on) }

// SetName gives a name these addresses, none to remove it.
func (r *Router) SetName(name string, addrs ...netip.Addr) { r.zone.set(name, addrs) }
