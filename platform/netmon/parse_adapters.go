package netmon

import (
	"math"
	"net/netip"
	"time"

	"github.com/reach64/reach64/platform/netstate"
)

// adapter is what GetAdaptersAddresses of Windows says of one link, in its numbers.
type adapter struct {
	index            uint32 // of IPv4, 0: has none
	index6           uint32
	name             string // the friendly one, by which package net knows links
	description      string // of its driver
	ifType           uint32 // IANA's number
	up               bool
	mtu              uint32
	hardware         string
	metric4, metric6 uint32
	mtu6             uint32 // of GetIpInterfaceTable, 0 where that is not to be had
	addrs            []adapterAddr
	dns              []netip.Addr
}

type adapterAddr struct {
	prefix           netip.Prefix
	prefixOrigin     int32
	suffixOrigin     int32
	dadState         int32
	valid, preferred uint32 // seconds, all ones for ever
}

// row is a row of GetIpForwardTable2.
type row struct {
	dst     netip.Prefix
	gateway netip.Addr
	link    uint32
	metric  uint32
}

// The numbers of ipifcons.h that matter here.
const (
	ifTypeEthernet = 6
	ifTypePPP      = 23
	ifTypeLoopback = 24
	ifTypeVirtual  = 53 // Wintun, and VPNs
	ifTypeWiFi     = 71
	ifTypeTunnel   = 131
)

// The numbers of nldef.h.
const (
	originRouter    = 4 // IpPrefixOriginRouterAdvertisement
	suffixRandom    = 5 // IpSuffixOriginRandom
	dadTentative    = 1
	dadDuplicate    = 2
	dadDeprecated   = 3
	infiniteSeconds = math.MaxUint32
)

// siteLocal are the name servers that Windows shows on links that have none.
var siteLocal = netip.MustParsePrefix("fec0:0:0:ffff::/126")

// fromAdapters makes a snapshot of what Windows said. Its routes' metrics are those
// that it chooses by: the route's and the link's together.
func fromAdapters(adapters []adapter, rows []row) netstate.Snapshot {
	var s netstate.Snapshot
	metric4, metric6 := make(map[uint32]uint32), make(map[uint32]uint32)
	for _, a := range adapters {
		l := fromAdapter(a)
		metric4[uint32(l.Index)], metric6[uint32(l.Index)] = a.metric4, a.metric6
		s.Links = append(s.Links, l)
	}
	for _, r := range rows {
		if r.dst.Addr().IsMulticast() || !r.dst.IsValid() {
			continue
		}
		metric := metric4[r.link]
		if r.dst.Addr().Is6() {
			metric = metric6[r.link]
		}
		route := netstate.Route{Dst: r.dst, Link: int(r.link), Metric: int(r.metric) + int(metric)}
		if r.gateway.IsValid() && !r.gateway.IsUnspecified() {
			route.Gateway = r.gateway.WithZone("")
		}
		s.Routes = append(s.Routes, route)
	}
	return s
}

func fromAdapter(a adapter) netstate.Link {
	l := netstate.Link{
		Index: int(a.index), Name: a.name, Up: a.up, HardwareAddr: a.hardware, MTU: toMTU(a.mtu), MTU6: toMTU(a.mtu6),
		Loopback: a.ifType == ifTypeLoopback, Ethernet: a.ifType == ifTypeEthernet || a.ifType == ifTypeWiFi,
	}
	if l.Index == 0 {
		l.Index = int(a.index6)
	}
	l.Tunnel = tunnelOfWindows(a.ifType, a.description)
	for _, x := range a.addrs {
		l.Addrs = append(l.Addrs, fromAdapterAddr(x))
	}
	for _, ip := range a.dns {
		if !siteLocal.Contains(ip.WithZone("")) {
			l.DNS = append(l.DNS, ip)
		}
	}
	return l
}

// toMTU is 0, not known, for the number that loopback links have.
func toMTU(n uint32) int {
	if n > math.MaxInt32 {
		return 0
	}
	return int(n)
}

func fromAdapterAddr(x adapterAddr) netstate.Addr {
	six := x.prefix.Addr().Is6()
	out := netstate.Addr{
		Prefix:     netip.PrefixFrom(x.prefix.Addr().WithZone(""), x.prefix.Bits()),
		Tentative:  x.dadState == dadTentative,
		DADFailed:  x.dadState == dadDuplicate,
		Deprecated: x.dadState == dadDeprecated || x.preferred == 0 && x.valid != 0,
		Autoconf:   six && x.prefixOrigin == originRouter,
		Temporary:  six && x.prefixOrigin == originRouter && x.suffixOrigin == suffixRandom,
	}
	if x.valid != infiniteSeconds {
		out.ValidFor = time.Duration(x.valid) * time.Second
	}
	return out
}
