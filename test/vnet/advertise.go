package vnet

import (
	"context"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

// Neighbor discovery options (RFC 4861, RFC 8106, RFC 8781, RFC 8910).
const (
	optSourceLL = 1
	optTargetLL = 2
	optPrefix   = 3
	optMTU      = 5
	optRDNSS    = 25
	optPortal   = 37
	optPref64   = 38
)

// withdrawals is how many advertisements carry a PREF64 of lifetime zero after
// it was switched off; the first may get lost.
const withdrawals = 3

// minAdvertise is the shortest time between two advertisements. A real router
// waits longer (RFC 4861 section 6.2.6); tests do not want to.
const minAdvertise = 10 * time.Millisecond

// advertiseNow asks runRA for an advertisement.
func (r *Router) advertiseNow() {
	select {
	case r.advertise <- struct{}{}:
	default: // one is already asked for
	}
}

// runRA sends advertisements until ctx ends, then a last one.
func (r *Router) runRA(ctx context.Context) {
	tick := time.NewTicker(r.opts.RAInterval)
	defer tick.Stop()
	var routed bool // the last one said that we are a router
	var withdraw int
	had := r.pref64.Load()
	for {
		on, pref64 := r.ra.Load(), r.pref64.Load()
		switch {
		case pref64:
			withdraw = 0
		case had:
			withdraw = withdrawals
		}
		had = pref64
		if on || routed {
			r.sendRA(on, pref64, pref64 || withdraw > 0)
			withdraw = max(0, withdraw-1)
		}
		routed = on
		if !pause(ctx, minAdvertise) {
			break
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-r.advertise:
		}
		if ctx.Err() != nil {
			break
		}
	}
	if routed {
		r.sendRA(false, false, had)
	}
}

// pause waits and is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// sendRA sends one advertisement to all nodes. Without on, the lifetimes of the
// router, its name server and PREF64 are zero; the prefix stays, as addresses do
// when a router goes. The option is there with has, and alive with pref64.
func (r *Router) sendRA(on, pref64, has bool) {
	o, now := r.opts, r.now.Load()
	o.Prefix, o.PIO = now.prefix, now.pio
	if !on {
		o.RouterLifetime, o.RDNSSLifetime, pref64 = 0, 0, false
	}
	if !pref64 {
		o.Pref64Lifetime = 0
	}
	msg := advertisement(o, has)
	for _, p := range now.old {
		msg = appendPIO(msg, p, prefixOn, o.PrefixLifetime, 0)
	}
	for _, p := range now.others {
		msg = appendPref64(msg, p, o.Pref64Lifetime)
	}
	for _, p := range now.gone {
		msg = appendPref64(msg, p, 0)
	}
	r.count.ra.Add(1)
	r.link.sendTo(allNodes, icmp6(r.linkLocal, allNodes, 255, msg)) // lost is lost
}

// advertisement returns a Router Advertisement without checksum (RFC 4861
// section 4.2), with a PREF64 option when pref64 is set.
func advertisement(o Options, pref64 bool) []byte {
	flags, prefixFlags := byte(0), byte(prefixOn)
	if o.Managed {
		flags, prefixFlags = 0x80, 0 // M
	}
	b := []byte{icmpRA, 0, 0, 0, 64, flags}
	b = binary.BigEndian.AppendUint16(b, uint16(min(o.RouterLifetime/time.Second, 65535)))
	b = append(b, make([]byte, 8)...) // reachable time, retransmission timer: unspecified
	b = append(append(b, optSourceLL, 1), o.MAC...)
	b = appendPIO(b, o.PIO, prefixFlags, o.PrefixLifetime, o.PrefixLifetime)
	if !o.NoRDNSS {
		b = appendSeconds(append(b, optRDNSS, 3, 0, 0), o.RDNSSLifetime)
		b = appendAddr(b, o.Addr)
	}
	if o.AdvertiseMTU {
		b = binary.BigEndian.AppendUint32(append(b, optMTU, 1, 0, 0), uint32(o.MTU))
	}
	b = appendPortal(b, o.Portal)
	if pref64 {
		b = appendPref64(b, o.Prefix, o.Pref64Lifetime)
	}
	return b
}

// prefixOn are the flags of a prefix that is on the link and good for addresses (L, A).
const prefixOn = 0xc0

// appendPIO appends a Prefix Information option (RFC 4861 section 4.6.2).
func appendPIO(b []byte, p netip.Prefix, flags byte, valid, preferred time.Duration) []byte {
	b = append(b, optPrefix, 4, byte(p.Bits()), flags)
	b = appendSeconds(appendSeconds(b, valid), preferred)
	return appendAddr(append(b, 0, 0, 0, 0), p.Addr())
}

// appendPortal appends the address of a captive portal's API, filled up with zeros to
// a multiple of 8 bytes (RFC 8910 section 2.3).
func appendPortal(b []byte, uri string) []byte {
	if uri == "" {
		return b
	}
	option := append([]byte{optPortal, 0}, uri...)
	for len(option)%8 != 0 {
		option = append(option, 0)
	}
	option[1] = byte(len(option) / 8)
	return append(b, option...)
}

// appendPref64 appends a PREF64 option: 13 bits of lifetime in units of 8 s, 3
// bits of prefix length code, the first 96 bits of the prefix (RFC 8781 section 4).
func appendPref64(b []byte, p nat64.Prefix, lifetime time.Duration) []byte {
	code := map[int]uint16{96: 0, 64: 1, 56: 2, 48: 3, 40: 4, 32: 5}[p.Bits()]
	scaled := min((lifetime+8*time.Second-1)/(8*time.Second), 8191)
	b = binary.BigEndian.AppendUint16(append(b, optPref64, 2), uint16(scaled)<<3|code)
	a := p.Netip().Addr().As16()
	return append(b, a[:12]...)
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(min(d/time.Second, 1<<32-1)))
}

func appendAddr(b []byte, a netip.Addr) []byte {
	x := a.As16()
	return append(b, x[:]...)
}
