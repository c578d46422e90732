package diag

import (
	"fmt"
	"net/netip"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/tunnel/dial"
)

// Way is how packets to one address leave this machine, and what becomes of them.
type Way struct {
	Route      *string `json:"route"`      // null: there is none
	Path       *string `json:"path"`       // native, synthesized, clat, none; null: not known
	Translator *string `json:"translator"` // who translates on this machine, null nobody
	Sentence   string  `json:"-"`
	Packet     []Side  `json:"packet"` // what a packet looks like, side by side
}

// Side is a packet at one place.
type Side struct {
	Where       string  `json:"where"`
	Family      string  `json:"family"` // IPv4, IPv6
	Source      *string `json:"source"` // null: not known here
	Destination string  `json:"destination"`
	MTU         *int    `json:"mtu"` // bytes, null: not known
}

func side(where string, from, to netip.Addr, mtu int) Side {
	s := Side{Where: where, Family: "IPv6", Destination: to.String()}
	if to.Is4() {
		s.Family = "IPv4"
	}
	if from.IsValid() {
		text := from.String()
		s.Source = &text
	}
	if mtu > 0 {
		s.MTU = &mtu
	}
	return s
}

// WayTo tells how packets to an address go. source tells which address this machine
// sends from; it may return the zero Addr. Of the evidence it needs the network, the
// service, other CLATs and the sources of prefixes.
func (e *Evidence) WayTo(to netip.Addr, source func(netip.Addr) netip.Addr) Way {
	to = to.Unmap()
	r, ok := e.Net.RouteTo(to)
	if !ok {
		return Way{Path: status.Ptr("none"), Sentence: "there is no route to it", Packet: []Side{}}
	}
	l, _ := e.Net.Link(r.Link)
	text := r.Dst.String() + " dev " + l.Name
	if r.Gateway.IsValid() {
		text = fmt.Sprintf("%s via %s dev %s", r.Dst, r.Gateway, l.Name)
	}
	w := Way{Route: &text, Path: status.Ptr("native")}
	if to.Is6() {
		e.way6(&w, to, l, source)
	} else {
		e.way4(&w, to, l, source)
	}
	return w
}

// way6 goes to the network as it is; behind a NAT64 it becomes IPv4.
func (e *Evidence) way6(w *Way, to netip.Addr, l netstate.Link, source func(netip.Addr) netip.Addr) {
	w.Sentence = "native IPv6 over " + l.Name
	w.Packet = []Side{side(l.Name, source(to), to, mtu6(l))}
	kind, prefix := e.kindOf(to)
	if v4, ok := prefix.Extract(to); ok && kind == dial.DNS64 {
		w.Path, w.Sentence = status.Ptr("synthesized"), fmt.Sprintf("IPv6 over %s to the network's NAT64, which makes IPv4 of it", l.Name)
		w.Packet = append(w.Packet, side("behind the NAT64", netip.Addr{}, v4, 0))
	}
}

func (e *Evidence) way4(w *Way, to netip.Addr, l netstate.Link, source func(netip.Addr) netip.Addr) {
	p := e.plan4(netip.AddrPortFrom(to, 0))[0]
	switch {
	case p.Kind == dial.CLAT && p.Own:
		e.throughOwn(w, to, l, source)
	case p.Kind == dial.CLAT:
		name := "another program's CLAT"
		if e.Foreign != nil {
			name = e.Foreign.Name
		}
		w.Path, w.Translator = status.Ptr("clat"), &name
		w.Sentence = fmt.Sprintf("%s on %s translates it", name, l.Name)
		w.Packet = []Side{side(l.Name, source(to), to, l.MTU)}
	case l.Tunnel:
		w.Sentence = fmt.Sprintf("IPv4 into the tunnel %s, such as a VPN's", l.Name)
		w.Packet = []Side{side(l.Name, source(to), to, l.MTU)}
	default:
		w.Sentence = "native IPv4 over " + l.Name
		w.Packet = []Side{side(l.Name, source(to), to, l.MTU)}
	}
}

// throughOwn is the way through our CLAT: three sides. A relay has no IPv6 address of
// its own, it sends from the machine's.
func (e *Evidence) throughOwn(w *Way, to netip.Addr, l netstate.Link, source func(netip.Addr) netip.Addr) {
	st := e.Service.Status
	who := "reach64 (" + text(st.Datapath) + ")"
	w.Path, w.Translator = status.Ptr("clat"), &who
	w.Sentence = "reach64's CLAT makes IPv6 of it, and the network's NAT64 IPv4 again"
	if text(st.Datapath) == "relay" {
		w.Path, w.Sentence = status.Ptr("relay"), "the flow ends at reach64's relay and goes on over IPv6 from this machine's own address; the network's NAT64 makes IPv4 of it again"
	}
	from4, _ := netip.ParseAddr(st.CLAT.IPv4)
	w.Packet = []Side{side(l.Name, from4, to, st.CLAT.MTU)}
	known := e.Prefixes()
	up, ok := e.Net.LinkByName(orElse(st.CLAT.Uplink, text(st.Uplink)))
	if len(known) == 0 || !ok {
		return
	}
	behind := known[0].Prefix.Embed(to)
	from6, err := netip.ParseAddr(text(st.CLAT.IPv6))
	if err != nil {
		from6 = source(behind)
	}
	w.Packet = append(w.Packet, side(up.Name, from6, behind, mtu6(up)), side("behind the NAT64", netip.Addr{}, to, 0))
}

func mtu6(l netstate.Link) int {
	if l.MTU6 > 0 {
		return min(l.MTU, l.MTU6)
	}
	return l.MTU
}
