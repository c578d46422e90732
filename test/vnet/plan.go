package vnet

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/nat64"
)

// plan is what of a Router may change while it runs. It is replaced as a whole.
type plan struct {
	prefix  nat64.Prefix
	pio     netip.Prefix
	others  []nat64.Prefix // advertised, and translated by nobody
	gone    []nat64.Prefix // advertised with a lifetime of zero
	old     []netip.Prefix // advertised as deprecated
	noRoute bool           // packets to the prefix are answered, not translated
	ipv4    bool           // IPv4 is passed on
	claimed func(netip.Addr) bool
	lost    func(netip.Addr) bool
	answer  func(*dns.Msg) *dns.Msg
}

func (o *Options) plan() *plan {
	return &plan{prefix: o.Prefix, pio: o.PIO, others: slices.Clone(o.AlsoPref64), ipv4: o.Addr4.IsValid() && !o.NoIPv4}
}

// change replaces the plan, and advertises.
func (r *Router) change(f func(*plan)) {
	r.planning.Lock()
	defer r.planning.Unlock()
	p := *r.now.Load()
	f(&p)
	r.now.Store(&p)
	r.advertiseNow()
}

// SetPrefix translates another prefix from now on and takes the old one back, also
// in advertisements (RFC 8781 section 5). Flows through it get lost.
func (r *Router) SetPrefix(to nat64.Prefix) {
	r.change(func(p *plan) {
		p.gone = with(with(p.gone, p.prefix, true), to, false)
		p.prefix = to
	})
}

// SetAlsoPref64 advertises these prefixes too, which lead nowhere.
func (r *Router) SetAlsoPref64(list ...nat64.Prefix) {
	r.change(func(p *plan) {
		for _, n := range p.others {
			p.gone = with(p.gone, n, true)
		}
		for _, n := range list {
			p.gone = with(p.gone, n, false)
		}
		p.others = slices.Clone(list)
	})
}

// SetPIO renumbers the link: hosts make addresses of another prefix, and those of the
// old one are deprecated. The router's own address stays.
func (r *Router) SetPIO(to netip.Prefix) {
	r.change(func(p *plan) {
		p.old = with(with(p.old, p.pio, true), to.Masked(), false)
		p.pio = to.Masked()
	})
}

// SetNoRoute answers packets to the prefix with 'no route to destination'.
func (r *Router) SetNoRoute(on bool) { r.change(func(p *plan) { p.noRoute = on }) }

// SetIPv4 passes IPv4 on, or not. It needs Options.Addr4.
func (r *Router) SetIPv4(on bool) { r.change(func(p *plan) { p.ipv4 = on && r.opts.Addr4.IsValid() }) }

// SetClaimed has another machine on the link that says of these addresses that they
// are its own; nil: none.
func (r *Router) SetClaimed(claimed func(netip.Addr) bool) {
	r.change(func(p *plan) { p.claimed = claimed })
}

// SetLost loses all packets from these addresses, as a switch does that keeps a list
// of whose address is whose (RFC 7039); nil: none.
func (r *Router) SetLost(lost func(netip.Addr) bool) { r.change(func(p *plan) { p.lost = lost }) }

// SetAnswer answers DNS questions in place of the router; where answer gives nil, and
// with a nil function, the router does.
func (r *Router) SetAnswer(answer func(*dns.Msg) *dns.Msg) {
	r.change(func(p *plan) { p.answer = answer })
}

// defend answers a question for an address as the machine that has it. target is the
// question's (RFC 4861 section 4.4); the answer goes to all, as to one who has no
// address yet (section 7.2.4).
func (r *Router) defend(target netip.Addr) {
	msg := append([]byte{icmpNA, 0, 0, 0, naOverride, 0, 0, 0}, target.AsSlice()...)
	msg = append(append(msg, optTargetLL, 1), r.opts.MAC...)
	r.link.sendTo(allNodes, icmp6(target, allNodes, 255, msg)) // lost is lost
}

// refuse answers a packet with 'no route to destination' (RFC 4443 section 3.1).
func (r *Router) refuse(p ip6, pkt []byte) {
	msg := append([]byte{icmpUnreachable, codeNoRoute, 0, 0, 0, 0, 0, 0}, pkt[:min(len(pkt), 1280-ip6Len-8)]...)
	r.link.sendTo(p.src, icmp6(r.opts.Addr, p.src, 64, msg)) // lost is lost
}
