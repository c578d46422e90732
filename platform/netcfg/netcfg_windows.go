package netcfg

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"github.com/reach64/reach64/platform"
)

// helper is the part of the IP Helper API that changes things, so that a test can
// record what it is asked for. Addresses, routes and interfaces are rows with all
// that is to be set.
type helper interface {
	CreateAddress(*winipcfg.MibUnicastIPAddressRow) error
	DeleteAddress(*winipcfg.MibUnicastIPAddressRow) error
	CreateRoute(*winipcfg.MibIPforwardRow2) error
	DeleteRoute(*winipcfg.MibIPforwardRow2) error
	GetInterface(link uint32, family winipcfg.AddressFamily) (*winipcfg.MibIPInterfaceRow, error)
	SetInterface(*winipcfg.MibIPInterfaceRow) error
}

// system is this machine. Its zero value changes it through iphlpapi.dll.
type system struct{ api helper }

func (s system) helper() helper {
	if s.api == nil {
		return iphlpapi{}
	}
	return s.api
}

// explain gives Windows' errors the meaning that package netcfg works with.
func explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return &platform.PermissionError{Doing: doing, Need: "the rights of an administrator", Err: err}
	case errors.Is(err, windows.ERROR_OBJECT_ALREADY_EXISTS), errors.Is(err, windows.ERROR_ALREADY_EXISTS):
		return fmt.Errorf("%w: %w", fs.ErrExist, err)
	case errors.Is(err, windows.ERROR_NOT_FOUND), errors.Is(err, windows.ERROR_FILE_NOT_FOUND), errors.Is(err, windows.ERROR_NO_DATA):
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// SetDevice sets MTU and metric of both families. The metric is 0, so that a
// route's own is the whole of it; Windows adds the two. The device goes up with
// its session.
func (s system) SetDevice(d Device) error {
	for _, family := range []winipcfg.AddressFamily{windows.AF_INET, windows.AF_INET6} {
		row, err := s.helper().GetInterface(uint32(d.Link), family)
		if err := explain("find device", err); family == windows.AF_INET6 && errors.Is(err, fs.ErrNotExist) {
			continue // IPv6 is switched off on it, which is all the better
		} else if err != nil {
			return err
		}
		row.NLMTU, row.UseAutomaticMetric, row.Metric = uint32(d.MTU), false, 0
		if family == windows.AF_INET6 {
			// Nothing speaks IPv6 on the device.
			row.RouterDiscoveryBehavior = winipcfg.RouterDiscoveryDisabled
			row.DadTransmits, row.ManagedAddressConfigurationSupported, row.OtherStatefulConfigurationSupported = 0, false, false
			row.NLMTU = max(row.NLMTU, 1280) // RFC 8200 section 5
		}
		if err := explain("set MTU and metric", s.helper().SetInterface(row)); err != nil {
			return err
		}
	}
	return nil
}

func addressRow(a Addr) (*winipcfg.MibUnicastIPAddressRow, error) {
	row := &winipcfg.MibUnicastIPAddressRow{InterfaceIndex: uint32(a.Link), OnLinkPrefixLength: uint8(a.Prefix.Bits()),
		ValidLifetime: math.MaxUint32, PreferredLifetime: math.MaxUint32,
		PrefixOrigin: winipcfg.PrefixOriginManual, SuffixOrigin: winipcfg.SuffixOriginManual}
	if a.Prefix.Addr().Is4() {
		row.DadState = winipcfg.DadStatePreferred // nobody else is on the device
	}
	if a.Deprecated {
		row.PreferredLifetime, row.SkipAsSource = 0, true
	}
	return row, row.Address.SetAddr(a.Prefix.Addr())
}

func (s system) AddAddr(a Addr) error {
	row, err := addressRow(a)
	if err != nil {
		return err
	}
	return explain("add address", s.helper().CreateAddress(row))
}

func (s system) DelAddr(a Addr) error {
	row, err := addressRow(Addr{Link: a.Link, Prefix: a.Prefix})
	if err != nil {
		return err
	}
	return explain("remove address", s.helper().DeleteAddress(row))
}

// routeRow is an on-link route. Windows chooses the source by the link's addresses,
// and knows no MTU of a route: the device's counts.
func routeRow(r Route) (*winipcfg.MibIPforwardRow2, error) {
	row := &winipcfg.MibIPforwardRow2{InterfaceIndex: uint32(r.Link), Metric: uint32(r.Metric),
		ValidLifetime: math.MaxUint32, PreferredLifetime: math.MaxUint32, Immortal: true, Protocol: winipcfg.RouteProtocolNetMgmt}
	none := netip.IPv4Unspecified()
	if r.Dst.Addr().Is6() {
		none = netip.IPv6Unspecified()
	}
	return row, errors.Join(row.DestinationPrefix.SetPrefix(r.Dst), row.NextHop.SetAddr(none))
}

func (s system) AddRoute(r Route) error {
	row, err := routeRow(r)
	if err != nil {
		return err
	}
	return explain("add route", s.helper().CreateRoute(row))
}

func (s system) DelRoute(r Route) error {
	row, err := routeRow(r)
	if err != nil {
		return err
	}
	return explain("remove route", s.helper().DeleteRoute(row))
}

// routesHaveMetrics: the system tells routes apart by them.
const routesHaveMetrics = true
