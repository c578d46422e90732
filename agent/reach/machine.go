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
	lost4    lost4
	credit   int // CLAT starts left before hold-down
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
func (m *Machine) Set(s Settings) { m.set = s }

// Step decides on the world as it is at now.
func (m *Machine) Step(now time.Time, w World) Out {
	f := look(w)
	m.track(now, f, w.Own)
	w = m.current(w)
	broken4, soon := m.lost4.follow(now, f.has4(), w.Servers)
	out := Out{Class: classify(f, w, broken4), Uplink: f.uplink(), Uplink4: f.link4.Index, Usable: usableAddr(f.link6, w.Own.Addr6)}
	silent := time.Time{}
	if m.intent != (CLAT{}) {
		silent = m.dead.follow(now, m.intent.Prefix, w.Own.Ready, throughCLAT(w))
	}
	clat, reason, detail, wake := m.want(now, f, w, out.Class)
	switch {
	case m.intent == (CLAT{}) && clat != (CLAT{}) && m.yielded:
		m.credit--
		m.yielded = false
	case m.intent != (CLAT{}) && clat == (CLAT{}):
		m.yielded = reason == ReasonNativeIPv4
	}
	m.intent = clat
	out.Intent = Intent{Epoch: m.epoch, CLAT: clat}
	out.Wake = earliest(wake, soon, silent, m.dead.next(now))
	out.Path, out.Reason, out.Detail = route(out.Class, clat, reason, detail, w)
	if out.Path == PathCLAT && out.Detail == "" {
		out.Detail = m.dead.text(now, clat.Prefix)
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

// facts is the network state, reduced.
type facts struct {
	link6  netstate.Link // uplink of IPv6, zero without a usable one
	link4  netstate.Link // uplink of native IPv4
	route6 netstate.Route
	route4 netstate.Route
}

func (f facts) has6() bool { return f.link6.Index != 0 }
func (f facts) has4() bool { return f.link4.Index != 0 }

func (f facts) uplink() int {
	if f.has6() {
		return f.link6.Index
	}
	return f.link4.Index
}

// look finds the uplinks. IPv6 needs a default route and a usable address on
// its link, tentative or not, since the CLAT can be made ready meanwhile; IPv4 a default route that is not ours and an address that is not a
// CLAT's (spec CLAT-10, 8925-6).
func look(w World) facts {
	var f facts
	if r, ok := w.Net.Default(true, w.Own.Device); ok {
		if l, ok := w.Net.Link(r.Link); ok && hasOther(l, w.Own.Addr6) {
			f.link6, f.route6 = l, r
		}
	}
	// A link with only a CLAT's address does not hide one with real IPv4.
	skip := []int{w.Own.Device}
	for {
		r, ok := w.Net.Default(false, skip...)
		if !ok {
			return f
		}
		if l, ok := w.Net.Link(r.Link); ok && len(l.Native4()) > 0 {
			f.link4, f.route4 = l, r
			return f
		}
		skip = append(skip, r.Link)
	}
}

// hasOther tells whether the link has a global IPv6 address beside the CLAT's.
func hasOther(l netstate.Link, own netip.Addr) bool {
	for _, a := range l.Global6() {
		if a.Prefix.Addr() != own {
			return true
		}
	}
	return false
}

// track raises the epoch when the network is another one than before.
func (m *Machine) track(now time.Time, f facts, own Own) {
	id := identity{f.link6.Index, f.link4.Index, f.route6.Gateway, f.route4.Gateway, net6(f.link6, own.Addr6)}
	if m.epoch == 0 || id != m.net {
		m.epoch++
		m.net, m.since, m.dead, m.lost4 = id, now, deaths{}, lost4{}
	}
	for m.credit < burst && !now.Before(m.creditAt.Add(holdDown)) {
		m.credit++
		m.creditAt = now
	}
	if m.credit == burst {
		m.creditAt = now
	}
}

// net6 is the network of the link's first global address that is not ours.
func net6(l netstate.Link, own netip.Addr) netip.Prefix {
	for _, a := range l.Global6() {
		if a.Prefix.Addr() != own {
			return a.Prefix.Masked()
		}
	}
	return netip.Prefix{}
}

func usableAddr(l netstate.Link, own netip.Addr) bool {
	return slices.ContainsFunc(l.Usable6(), func(a netstate.Addr) bool { return a.Prefix.Addr() != own })
}

// current drops what was found in an older epoch: all but what the
// configuration says, and what routers say, which belongs to its link.
func (m *Machine) current(w World) World {
	if w.Epoch == m.epoch {
		return w
	}
	w.Searching, w.DNS64, w.Unclear, w.Unproven = true, false, "", ""
	w.Prefixes = slices.DeleteFunc(slices.Clone(w.Prefixes), func(c pref64.Candidate) bool {
		return c.Source != pref64.Policy && c.Source != pref64.RA
	})
	return w
}

// classify names the network.
func classify(f facts, w World, broken4 bool) Class {
	switch {
	case !f.has6() && !f.has4():
		if w.Foreign != "" {
			return ClassNativeCLAT
		}
		return ClassOffline
	case broken4:
		return ClassBrokenIPv4
	case f.has4() && f.has6():
		return ClassDualStack
	case f.has4():
		return ClassV4Only
	case w.Foreign != "":
		return ClassNativeCLAT
	case nativeServer(f, w):
		return ClassV6OnlyNativeServer
	}
	beside := false
	for _, c := range w.Prefixes {
		l, here := f.through(w, c)
		switch {
		case here && l.Index != f.link6.Index:
			beside = true
		case here && w.DNS64:
			return ClassV6OnlyNAT64DNS64
		case here:
			return ClassV6OnlyNAT64
		}
	}
	if beside {
		return ClassDirectAccess
	}
	if w.Unproven != "" {
		return ClassV6OnlyNAT64 // there is one, whoever it belongs to
	}
	if w.Searching || w.Unclear != "" {
		return ClassUnknown // silence is no proof that there is none (spec R7050-6)
	}
	return ClassV6OnlyNoNAT64
}

// nativeServer tells whether every configured server answers over an IPv6
// address of its own.
func nativeServer(f facts, w World) bool {
	for _, s := range w.Servers {
		if !s.Probed[PathNative] {
			return false
		}
	}
	return len(w.Servers) > 0 && f.has6()
}

// want decides on the CLAT, and if there is to be none, why.
func (m *Machine) want(now time.Time, f facts, w World, class Class) (c CLAT, why Reason, detail string, wake time.Time) {
	switch {
	case class == ClassOffline:
		return c, ReasonOffline, "", wake
	case class == ClassNativeCLAT:
		return c, ReasonForeignCLAT, w.Foreign, wake
	case class == ClassV4Only || class == ClassDualStack:
		return c, ReasonNativeIPv4, fmt.Sprintf("IPv4 default route on %s", f.link4.Name), wake
	case class == ClassBrokenIPv4 && w.Foreign != "":
		return c, ReasonForeignCLAT, w.Foreign, wake
	case class == ClassBrokenIPv4 && m.intent == c && !anyProbed(w, PathSynthesized):
		// The server may be down: what works natively is not moved without proof
		// that the NAT64 leads to it.
		return c, ReasonBrokenIPv4, m.lost4.text(f), wake
	case m.set.Off:
		return c, ReasonOff, "", wake
	case m.set.Paused:
		return c, ReasonPaused, "", wake
	}
	cand, ok := m.usable(now, f, w)
	if !ok {
		if class == ClassBrokenIPv4 {
			return c, ReasonBrokenIPv4, m.lost4.text(f), wake
		}
		why, detail = noPrefix(f, w, m.set.All)
		return c, why, detail, wake
	}
	if !m.set.All && !anyIPv4(w.Servers) {
		return c, ReasonNoServerIPv4, "", wake
	}
	net64, ok := ChooseNet64(cand.link, cand.Prefix, w.Own.Addr6)
	if !ok {
		return c, ReasonNo64, fmt.Sprintf("%s has no /64 to take an address from", cand.link.Name), wake
	}
	all := m.set.All && class != ClassBrokenIPv4 // the native default route would win
	if all && now.Before(m.since.Add(dhcpWait)) && m.intent == c {
		return c, ReasonWaitIPv4, "", m.since.Add(dhcpWait)
	}
	if m.intent == c && m.yielded && m.credit <= 0 {
		return c, ReasonHoldDown, "", m.creditAt.Add(holdDown)
	}
	c = CLAT{
		Uplink: cand.link.Index, Name: cand.link.Name, Ethernet: cand.link.Ethernet,
		MTU6: mtu6(cand.link), Prefix: cand.Prefix, Net64: net64, IPv4: m.ipv4(w), All: all,
	}
	if w.Failed.Reason != "" && w.Failed.For == c {
		return c, w.Failed.Reason, w.Failed.Detail, wake
	}
	return c, "", "", wake
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

// route says over which path the servers are reached and gives the reason that
// matters most to a person.
func route(class Class, clat CLAT, why Reason, detail string, w World) (Path, Reason, string) {
	switch {
	case class == ClassOffline: // whatever was reached a moment ago
		return PathNone, why, detail
	case class == ClassV4Only || class == ClassDualStack:
		return PathNative, why, detail
	case class == ClassNativeCLAT && anyProbed(w, PathNative):
		return PathNative, why, detail
	case class == ClassNativeCLAT:
		return PathNone, why, detail
	case class == ClassV6OnlyNativeServer:
		return PathNative, ReasonNativeServer, ""
	case clat != (CLAT{}) && why == "" && w.Own.Ready:
		return PathCLAT, throughCLAT(w), ""
	case class == ClassBrokenIPv4 && anyProbed(w, PathNative): // by IPv6, then
		return PathNative, ReasonNativeServer, detail
	case anyProbed(w, PathSynthesized):
		if why == "" {
			why = ReasonCLATStarting
		}
		return PathSynthesized, why, detail
	case clat != (CLAT{}) && why == "":
		return PathNone, ReasonCLATStarting, ""
	}
	return PathNone, why, detail
}

func anyProbed(w World, p Path) bool {
	for _, s := range w.Servers {
		if s.Probed[p] {
			return true
		}
	}
	return false
}

// throughCLAT says how the servers are reached while the CLAT is up. A server
// that was not probed yet does not count.
func throughCLAT(w World) Reason {
	reached, failed := 0, 0
	for _, s := range w.Servers {
		ok, probed := s.Probed[PathCLAT]
		switch {
		case ok:
			reached++
		case probed || s.Lost:
			failed++
		}
	}
	switch {
	case failed > 0 && reached == 0:
		return ReasonServerSilent
	case failed > 0:
		return ReasonSomeSilent
	}
	return ReasonCLATUp
}
