package netmon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"github.com/reach64/reach64/platform/netstate"
)

// snapshot reads links with addresses and name servers, then the routes.
func (m *Monitor) snapshot() (netstate.Snapshot, error) {
	list, err := winipcfg.GetAdaptersAddresses(windows.AF_UNSPEC, winipcfg.GAAFlagSkipAnycast|winipcfg.GAAFlagSkipMulticast)
	if err != nil && !errors.Is(err, windows.ERROR_NO_DATA) {
		return netstate.Snapshot{}, fmt.Errorf("list links: %w", err)
	}
	mtus := mtus6()
	var adapters []adapter
	for _, a := range list {
		one := toAdapter(a)
		one.mtu6 = mtus[a.LUID]
		adapters = append(adapters, one)
	}
	routes, err := winipcfg.GetIPForwardTable2(windows.AF_UNSPEC)
	if err != nil && !errors.Is(err, windows.ERROR_NOT_FOUND) {
		return netstate.Snapshot{}, fmt.Errorf("list routes: %w", err)
	}
	var rows []row
	for _, r := range routes {
		rows = append(rows, row{dst: r.DestinationPrefix.Prefix(), gateway: r.NextHop.Addr(), link: r.InterfaceIndex, metric: r.Metric})
	}
	return fromAdapters(adapters, rows), nil
}

// mtus6 are the IPv6 MTUs, which router advertisements may have made smaller than
// the links'. Without them (Wine) those of the links count.
func mtus6() map[winipcfg.LUID]uint32 {
	rows, err := winipcfg.GetIPInterfaceTable(windows.AF_INET6)
	if err != nil {
		return nil
	}
	out := make(map[winipcfg.LUID]uint32, len(rows))
	for _, r := range rows {
		out[r.InterfaceLUID] = r.NLMTU
	}
	return out
}

func toAdapter(a *winipcfg.IPAdapterAddresses) adapter {
	out := adapter{
		index: a.IfIndex, index6: a.IPv6IfIndex, name: a.FriendlyName(), description: a.Description(), ifType: uint32(a.IfType), up: a.OperStatus == winipcfg.IfOperStatusUp,
		mtu: a.MTU, hardware: net.HardwareAddr(a.PhysicalAddress()).String(), metric4: a.Ipv4Metric, metric6: a.Ipv6Metric,
	}
	for u := a.FirstUnicastAddress; u != nil; u = u.Next {
		ip, ok := toAddr(u.Address)
		if !ok {
			continue
		}
		out.addrs = append(out.addrs, adapterAddr{prefix: netip.PrefixFrom(ip, int(u.OnLinkPrefixLength)), prefixOrigin: u.PrefixOrigin,
			suffixOrigin: u.SuffixOrigin, dadState: u.DadState, valid: u.ValidLifetime, preferred: u.PreferredLifetime})
	}
	for d := a.FirstDNSServerAddress; d != nil; d = d.Next {
		if ip, ok := toAddr(d.Address); ok {
			out.dns = append(out.dns, ip)
		}
	}
	return out
}

// toAddr is false for a family that is neither IPv4 nor IPv6. A prefix length
// longer than the address, which Windows never gives, makes no valid prefix.
func toAddr(s windows.SocketAddress) (netip.Addr, bool) {
	if s.Sockaddr == nil || s.SockaddrLength < int32(unsafe.Sizeof(windows.RawSockaddrInet4{})) {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(s.IP())
	return ip.Unmap(), ok
}
