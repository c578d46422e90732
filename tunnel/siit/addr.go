package siit

import (
	"net/netip"
	"slices"
)

// dummy is the IPv4 dummy address, RFC 7600: the source of ICMP errors whose
// sender has no IPv4 address, and of the translator's own.
var dummy = [4]byte{192, 0, 0, 8}

// embed writes the IPv6 address that stands for an IPv4 one (RFC 6052 section 2.3).
func (t *Translator) embed(b []byte, v4 [4]byte) {
	if t.whole96 {
		*(*[16]byte)(b) = t.prefix
		*(*[4]byte)(b[12:]) = v4
		return
	}
	a := t.conf.Prefix.Embed(netip.AddrFrom4(v4)).As16()
	copy(b, a[:])
}

// extract reads the IPv4 address out of an IPv6 one; ok is false when it is not
// in the prefix.
func (t *Translator) extract(b []byte) (v4 [4]byte, ok bool) {
	if t.whole96 {
		return [4]byte(b[12:16]), [12]byte(b) == [12]byte(t.prefix[:])
	}
	a, ok := t.conf.Prefix.Extract(netip.AddrFrom16([16]byte(b)))
	if !ok {
		return v4, false
	}
	return a.As4(), true
}

// allowed tells whether an IPv4 address may be reached through the prefix.
func (t *Translator) allowed(v4 [4]byte) bool {
	return t.conf.NonGlobal.Allows(t.conf.Prefix, netip.AddrFrom4(v4)) || slices.Contains(t.always, v4)
}

// routed tells whether the host routes this IPv4 address to the translator.
func (t *Translator) routed(v4 [4]byte) bool {
	if len(t.conf.RouteTo) == 0 {
		return true
	}
	a := netip.AddrFrom4(v4)
	return slices.ContainsFunc(t.conf.RouteTo, func(p netip.Prefix) bool { return p.Contains(a) })
}

// source4 extracts the IPv4 address of a sender inside the prefix (SIIT-8).
func (t *Translator) source4(pkt []byte) ([4]byte, Verdict) {
	a, ok := t.extract(pkt[8:24])
	switch {
	case !ok:
		return a, OutsidePrefix
	case !unicast4(a) || a == t.clat4:
		return a, Martian
	case !t.allowed(a):
		return a, NotAllowed
	}
	return a, OK
}

// errorSource4 is the IPv4 source of an error from the network. own is true when
// it is the sender's own address and routed to us; else it is the address of the
// pool for the sender's distance, or the dummy address (SIIT-70, 6791-1, 6791-2).
func (t *Translator) errorSource4(pkt []byte) (a [4]byte, own bool) {
	a, v := t.source4(pkt)
	if v == OK && t.routed(a) {
		return a, true
	}
	if t.hopSize == 0 {
		return dummy, false
	}
	a = t.hops
	a[3] += byte((1 + distance(pkt[7])) % t.hopSize)
	return a, false
}

// distance guesses how many routers an error has passed: hosts and routers send
// with Hop Limit 64, 128 or 255.
func distance(hopLimit byte) int {
	for _, first := range [...]int{64, 128} {
		if int(hopLimit) <= first {
			return first - int(hopLimit)
		}
	}
	return 255 - int(hopLimit)
}

// unicast4 is false for addresses that cannot be one remote host's (SIIT-5,
// SIIT-6), those of CLATs among them: 192.0.0.0/29 and the dummy (SEC-16).
func unicast4(a [4]byte) bool {
	clat := a[0] == 192 && a[1] == 0 && a[2] == 0 && a[3] <= dummy[3]
	return a[0] != 0 && a[0] != 127 && a[0] < 224 && !clat
}

// unicast6 is false for sources that are not one other host: unspecified,
// loopback, IPv4-mapped and multicast.
func unicast6(a [16]byte) bool {
	if a[0] == 0xff {
		return false
	}
	for _, b := range a[:10] {
		if b != 0 {
			return true
		}
	}
	return false
}
