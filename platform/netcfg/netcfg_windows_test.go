package netcfg

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netstate"
)

// The sizes of netioapi.h, the same on both 64-bit processors: the compiler refuses
// others.
var (
	_ [104]byte = [unsafe.Sizeof(winipcfg.MibIPforwardRow2{})]byte{}
	_ [80]byte  = [unsafe.Sizeof(winipcfg.MibUnicastIPAddressRow{})]byte{}
	_ [168]byte = [unsafe.Sizeof(winipcfg.MibIPInterfaceRow{})]byte{}
	_ [12]byte  = [unsafe.Offsetof(winipcfg.MibIPforwardRow2{}.DestinationPrefix)]byte{}
	_ [44]byte  = [unsafe.Offsetof(winipcfg.MibIPforwardRow2{}.NextHop)]byte{}
	_ [84]byte  = [unsafe.Offsetof(winipcfg.MibIPforwardRow2{}.Metric)]byte{}
	_ [32]byte  = [unsafe.Offsetof(winipcfg.MibUnicastIPAddressRow{}.InterfaceLUID)]byte{}
	_ [60]byte  = [unsafe.Offsetof(winipcfg.MibUnicastIPAddressRow{}.OnLinkPrefixLength)]byte{}
	_ [64]byte  = [unsafe.Offsetof(winipcfg.MibUnicastIPAddressRow{}.DadState)]byte{}
)

// recorder is an IP Helper API that notes what it is asked for, as text.
type recorder struct {
	calls []string
	fail  error
	no6   bool
}

func (r *recorder) note(format string, args ...any) error {
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
	return r.fail
}

func (r *recorder) address(verb string, a *winipcfg.MibUnicastIPAddressRow) error {
	return r.note("%s address %s/%d on %d, preferred %d, skip %v, checked %v", verb, a.Address.Addr(), a.OnLinkPrefixLength, a.InterfaceIndex,
		int32(a.PreferredLifetime), a.SkipAsSource, a.DadState == winipcfg.DadStatePreferred)
}

func (r *recorder) CreateAddress(a *winipcfg.MibUnicastIPAddressRow) error {
	return r.address("create", a)
}
func (r *recorder) DeleteAddress(a *winipcfg.MibUnicastIPAddressRow) error {
	return r.address("delete", a)
}

func (r *recorder) route(verb string, x *winipcfg.MibIPforwardRow2) error {
	return r.note("%s route %s by %s over %d, metric %d, valid %d", verb, x.DestinationPrefix.Prefix(), x.NextHop.Addr(), x.InterfaceIndex, x.Metric, int32(x.ValidLifetime))
}

func (r *recorder) CreateRoute(x *winipcfg.MibIPforwardRow2) error { return r.route("create", x) }
func (r *recorder) DeleteRoute(x *winipcfg.MibIPforwardRow2) error { return r.route("delete", x) }

func (r *recorder) GetInterface(link uint32, family winipcfg.AddressFamily) (*winipcfg.MibIPInterfaceRow, error) {
	if r.no6 && family == windows.AF_INET6 {
		return nil, windows.ERROR_NOT_FOUND
	}
	return &winipcfg.MibIPInterfaceRow{Family: family, InterfaceIndex: link, UseAutomaticMetric: true, Metric: 35, NLMTU: 65535, RouterDiscoveryBehavior: winipcfg.RouterDiscoveryEnabled}, nil
}

func (r *recorder) SetInterface(x *winipcfg.MibIPInterfaceRow) error {
	return r.note("set %d of family %d: MTU %d, metric %d automatic %v, router discovery %d", x.InterfaceIndex, x.Family, x.NLMTU, x.Metric, x.UseAutomaticMetric, x.RouterDiscoveryBehavior)
}

// TestWhatWindowsIsAskedFor applies a state and takes it away again.
func TestWhatWindowsIsAskedFor(t *testing.T) {
	api := &recorder{}
	j, _ := openJournal(t)
	c := NewOn(system{api}, j, quiet())
	want := Want{
		Devices: []Device{{Link: 7, MTU: 1260}},
		Addrs:   []Addr{{Link: 7, Prefix: netip.MustParsePrefix("192.0.0.3/32")}, {Link: 3, Prefix: netip.MustParsePrefix("2001:db8::c1a7/128"), Deprecated: true}},
		Routes:  []Route{{Link: 7, Dst: netip.MustParsePrefix("198.51.100.10/32"), Src: netip.MustParsePrefix("192.0.0.3/32").Addr(), Metric: 2048}},
	}
	have := netstate.Snapshot{Links: []netstate.Link{{Index: 7, Name: "clat0", Up: true, MTU: 65535}, {Index: 3, Name: "Wi-Fi", Up: true}}}
	for _, w := range []Want{want, {}} {
		if err := c.Apply(t.Context(), have, w); err != nil {
			t.Fatal(err)
		}
	}
	for i, line := range []string{
		"set 7 of family 2: MTU 1260, metric 0 automatic false, router discovery 1",
		"set 7 of family 23: MTU 1280, metric 0 automatic false, router discovery 0",
		"create address 192.0.0.3/32 on 7, preferred -1, skip false, checked true",
		"create address 2001:db8::c1a7/128 on 3, preferred 0, skip true, checked false",
		"create route 198.51.100.10/32 by 0.0.0.0 over 7, metric 2048, valid -1",
		"delete route 198.51.100.10/32 by 0.0.0.0 over 7, metric 2048, valid -1",
		"delete address 192.0.0.3/32 on 7, preferred -1, skip false, checked true",
		"delete address 2001:db8::c1a7/128 on 3, preferred -1, skip false, checked false",
	} {
		if i >= len(api.calls) || api.calls[i] != line {
			t.Fatalf("calls:\n%q\ncall %d, want %q", api.calls, i, line)
		}
	}
	if left := j.Entries(); len(left) != 0 {
		t.Errorf("left in the journal: %v", left)
	}
}

func TestDeviceWithoutIPv6(t *testing.T) {
	api := &recorder{no6: true}
	if err := (system{api}).SetDevice(Device{Link: 7, MTU: 1480}); err != nil || len(api.calls) != 1 {
		t.Errorf("%v, calls %q, want one", err, api.calls)
	}
}

func TestErrorsOfWindows(t *testing.T) {
	var denied *platform.PermissionError
	for _, tt := range []struct {
		err  error
		fits func(error) bool
	}{
		{windows.ERROR_OBJECT_ALREADY_EXISTS, func(err error) bool { return errors.Is(err, fs.ErrExist) }},
		{windows.ERROR_NOT_FOUND, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		{windows.ERROR_FILE_NOT_FOUND, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		{windows.ERROR_ACCESS_DENIED, func(err error) bool { return errors.As(err, &denied) }},
	} {
		if err := (system{&recorder{fail: tt.err}}).AddRoute(Route{Link: 7, Dst: netip.MustParsePrefix("198.51.100.10/32")}); !tt.fits(err) {
			t.Errorf("%v became %v", tt.err, err)
		}
	}
}

// TestFunctionsThatAreMissing: Wine has none of them, which must not be a panic.
func TestFunctionsThatAreMissing(t *testing.T) {
	if has("CreateIpForwardEntry2") == nil {
		t.Skip("this Windows has the function")
	}
	s := system{}
	for name, err := range map[string]error{
		"device":  s.SetDevice(Device{Link: 1, MTU: 1500}),
		"address": s.AddAddr(Addr{Link: 1, Prefix: netip.MustParsePrefix("192.0.0.3/32")}),
		"route":   s.AddRoute(Route{Link: 1, Dst: netip.MustParsePrefix("198.51.100.10/32")}),
		"removal": s.DelRoute(Route{Link: 1, Dst: netip.MustParsePrefix("198.51.100.10/32")}),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v, want that it is not supported", name, err)
		}
	}
}
