package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/pref64"
)

const (
	// dhcpWait is how long a default route waits for DHCPv4 to bring native
	// IPv4, spec CLAT-11.
	dhcpWait = 4 * time.Second
	// A CLAT may come up burst times in a row after standing down for native IPv4,
	// then once every holdDown: flapping IPv4 does not flap the CLAT, spec CLAT-15.
	// Going from network to network is no flapping.
	holdDown = 30 * time.Second
	burst    = 2
)

// Machine remembers what decisions need of the past. The zero value is not
// ready; use New. It is not safe for concurrent use: one loop owns it.
type Machine struct {
	set      Settings
	epoch    uint64
	net      identity
	since    time.Time // when this network was first seen
	intent   CLAT
	dead     deaths
	silences silences
	refused  Failure // of a CLAT that was to translate, in this network
	credit   int     // CLAT starts left before hold-down
	creditAt time.Time
	yielded  bool // the last CLAT stood down for native IPv4
}

// identity is what makes a network another one.
type identity struct {
	link6, link4 int
	gw6, gw4     netip.Addr
	net6         netip.Prefix // of the first global address
}

// New returns a machine that has seen nothing yet.
func New(s Settings) *Machine { return &Machine{set: s, credit: burst} }

// Set replaces the settings; the next Step goes by them.
func (m *Machine) Set(s Settings) { m.set, m.refused = s, Failure{} }

// Step decides on the world as it is at now.
func (m *Machine) Step(now time.Time, w World) Out {
	f := look(w)
	m.track(now, f, w.Own)
	w = m.current(w)
	lost, soon := m.silences.follow(now, f, w)
	out := Out{Class: classify(f, w, lost), Uplink: f.uplink(), Uplink4: f.link4.Index, Usable: usableAddr(f.link6, w.Own.Addr6)}
	silent := time.Time{}
	if m.intent != (CLAT{}) {
		silent = m.dead.follow(now, m.intent.way(), w.Own.Ready, throughCLAT(w, m.intent.Path()))
	}
	clat, reason, detail, note, wake := m.want(now, f, w, out.Class)
	switch {
	case m.intent == (CLAT{}) && clat != (CLAT{}) && m.yielded:
		m.credit--
		m.yielded = false
	case m.intent != (CLAT{}) && clat == (CLAT{}):
		m.yielded = reason == ReasonNativeIPv4
	}
	if clat.way() != m.intent.way() {
		m.dead.silent = time.Time{} // the silence was the other way's
	}
	m.intent = clat
	out.Intent = Intent{Epoch: m.epoch, CLAT: clat}
	out.Wake = earliest(wake, soon, silent, m.dead.next(now))
	out.Path, out.Reason, out.Detail = route(out.Class, clat, reason, detail, w)
	if clat != (CLAT{}) {
		out.Note = note
	}
	if clat != (CLAT{}) && out.Path == clat.Path() && out.Detail == "" {
		out.Detail = m.dead.text(now, clat.way(), w.Prefixes)
	}
	return out
}

// earliest returns the first of the times that are set.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// track raises the epoch when the network is another one than before.
func (m *Machine) track(now time.Time, f facts, own Own) {
	id := identity{f.link6.Index, f.link4.Index, f.route6.Gateway, f.route4.Gateway, net6(f.link6, own.Addr6)}
	if id.link6 == m.net.link6 && inNet(f.link6, m.net.net6, own.Addr6) {
		id.net6 = m.net.net6 // one prefix more on the link is no other network
	}
	if m.epoch == 0 || id != m.net {
		m.epoch++
		m.net, m.since, m.dead, m.silences, m.refused = id, now, deaths{}, silences{}, Failure{}
	}
	for m.credit < burst && !now.Before(m.creditAt.Add(holdDown)) {
		m.credit++
		m.creditAt = now
	}
	if m.credit == burst {
		m.creditAt = now
	}
}

// current drops what was found in an older epoch: all but what the
// configuration says, and what routers say, which belongs to its link.
func (m *Machine) current(w World) World {
	if w.Epoch == m.epoch {
		return w
	}
	w.Searching, w.DNS64, w.Unclear, w.Unproven, w.DNSSilent, w.Captive = true, false, "", "", "", ""
	w.Prefixes = slices.DeleteFunc(slices.Clone(w.Prefixes), func(c pref64.Candidate) bool {
		return c.Source != pref64.Policy && c.Source != pref64.RA
	})
	return w
}

// want decides on the CLAT, and if there is to be none, why. note is carry's.
func (m *Machine) want(now time.Time, f facts, w World, class Class) (c CLAT, why Reason, detail, note string, wake time.Time) {
	if why, detail := m.refuse(f, w, class); why != "" {
		return c, why, detail, "", wake
	}
	cand, ok := m.usable(now, f, w)
	if !ok {
		switch class {
		case ClassBrokenIPv4:
			return c, ReasonBrokenIPv4, m.silences.text(f), "", wake
		case ClassBrokenCLAT:
			return c, ReasonBrokenCLAT, w.Foreign, "", wake
		}
		why, detail = noPrefix(f, w, m.set.All)
		return c, why, detail, "", wake
	}
	if !m.set.All && !anyIPv4(w.Servers) {
		return c, ReasonNoServerIPv4, "", "", wake
	}
	net64, has64 := ChooseNet64(cand.link, cand.Prefix, w.Own.Addr6)
	if old := m.intent.Net64; m.intent.Uplink == cand.link.Index && m.intent.Prefix == cand.Prefix && preferred(cand.link, old, w.Own.Addr6) {
		net64, has64 = old, true // a move would break every flow
	}
	if why, detail = noSecond(f, cand.link, has64); why != "" && m.set.Relay == RelayNever {
		return c, why, detail, "", wake
	}
	all := m.set.All && class != ClassBrokenIPv4 && class != ClassBrokenCLAT // the other default route would win
	if all && now.Before(m.since.Add(dhcpWait)) && m.intent == c {
		return c, ReasonWaitIPv4, "", "", m.since.Add(dhcpWait)
	}
	if m.intent == c && m.yielded && m.credit <= 0 && class != ClassBrokenIPv4 { // IPv4 that leads nowhere is nothing to wait for
		return c, ReasonHoldDown, "", "", m.creditAt.Add(holdDown)
	}
	c = CLAT{
		Uplink: cand.link.Index, Name: cand.link.Name, Ethernet: cand.link.Ethernet,
		MTU6: mtu6(cand.link), Prefix: cand.Prefix, Net64: net64, IPv4: m.ipv4(w), All: all,
	}
	c, why, detail, note = m.carry(c, why, detail, w)
	return c, why, detail, note, wake
}

// noSecond says why link l gives no second IPv6 address, for a CLAT that translates;
// "" when it may give one. Over a link beside the uplinks, as DirectAccess' tunnel is,
// IPsec policy and the far end know the machine's own address alone (spec DA-33).
func noSecond(f facts, l netstate.Link, has64 bool) (why Reason, detail string) {
	switch {
	case l.Index != f.link6.Index && !f.second(l):
		return ReasonOneAddress, fmt.Sprintf("%s is DirectAccess' or a like tunnel, which carries this machine's own address alone", l.Name)
	case !has64:
		return ReasonNo64, fmt.Sprintf("%s has no /64 to take an address from", l.Name)
	}
	return "", ""
}

// refuse says why there is to be no CLAT, whatever prefixes there are; "" when
// nothing speaks against one.
func (m *Machine) refuse(f facts, w World, class Class) (why Reason, detail string) {
	// A server may be down: what is there already is not moved without proof that
	// the NAT64 leads to it.
	unproven := m.intent == (CLAT{}) && !anyProbed(w, PathSynthesized)
	switch {
	case class == ClassOffline:
		return offline(w)
	case class == ClassNativeCLAT:
		return ReasonForeignCLAT, w.Foreign
	case class == ClassBrokenCLAT && (!m.set.TakeOver || unproven):
		return ReasonBrokenCLAT, w.Foreign
	case class == ClassBrokenIPv4 && w.Foreign != "":
		return ReasonForeignCLAT, w.Foreign
	case class == ClassBrokenIPv4 && unproven:
		return ReasonBrokenIPv4, m.silences.text(f)
	case f.has4() && class != ClassBrokenIPv4:
		return ReasonNativeIPv4, native(f)
	case w.Foreign != "" && class != ClassBrokenCLAT: // captive, or without DNS
		return ReasonForeignCLAT, w.Foreign
	case m.set.Off:
		return ReasonOff, ""
	case m.set.Paused:
		return ReasonPaused, ""
	}
	return "", ""
}

// offline says what is missing: a default route, or an address to use it with.
func offline(w World) (Reason, string) {
	for _, v6 := range []bool{true, false} {
		r, ok := w.Net.Default(v6, w.Own.Device)
		l, found := w.Net.Link(r.Link)
		if !ok || !found {
			continue
		}
		for _, a := range l.Addrs {
			if a.DADFailed {
				return ReasonNoAddress, fmt.Sprintf("another machine on %s has this one's address %s", l.Name, a.Prefix.Addr())
			}
		}
		return ReasonNoAddress, fmt.Sprintf("%s has a default route and no address that leads to other networks", l.Name)
	}
	return ReasonOffline, ""
}

// ipv4 keeps the address in use, or takes the first free one.
func (m *Machine) ipv4(w World) netip.Addr {
	if m.intent.IPv4.IsValid() {
		return m.intent.IPv4
	}
	return FreeIPv4(w.Net)
}

func anyIPv4(servers []Server) bool {
	for _, s := range servers {
		if len(s.IPv4) > 0 {
			return true
		}
	}
	return false
}

// mtu6 is the IPv6 MTU of the uplink in bytes, within what IPv6 allows and what
// a TUN can take.
func mtu6(l netstate.Link) int {
	mtu := l.MTU
	if l.MTU6 >= 1280 && (mtu == 0 || l.MTU6 < mtu) {
		mtu = l.MTU6
	}
	return min(max(mtu, 1280), 65535)
}
