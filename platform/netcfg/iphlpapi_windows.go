package netcfg

import (
	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"github.com/reach64/reach64/platform"
)

// iphlpapi makes the changes. Wine lacks all of these functions, and calling one
// that is not there is a panic, so each is looked for first.
type iphlpapi struct{}

var dll = windows.NewLazySystemDLL("iphlpapi.dll")

// has is nil when the system has the function.
func has(function string) error {
	if dll.NewProc(function).Find() != nil {
		return platform.Unsupported("changing the network: iphlpapi.dll has no " + function)
	}
	return nil
}

func (iphlpapi) CreateAddress(row *winipcfg.MibUnicastIPAddressRow) error {
	if err := has("CreateUnicastIpAddressEntry"); err != nil {
		return err
	}
	return row.Create()
}

func (iphlpapi) DeleteAddress(row *winipcfg.MibUnicastIPAddressRow) error {
	if err := has("DeleteUnicastIpAddressEntry"); err != nil {
		return err
	}
	return row.Delete()
}

func (iphlpapi) CreateRoute(row *winipcfg.MibIPforwardRow2) error {
	if err := has("CreateIpForwardEntry2"); err != nil {
		return err
	}
	return row.Create()
}

func (iphlpapi) DeleteRoute(row *winipcfg.MibIPforwardRow2) error {
	if err := has("DeleteIpForwardEntry2"); err != nil {
		return err
	}
	return row.Delete()
}

func (iphlpapi) GetInterface(link uint32, family winipcfg.AddressFamily) (*winipcfg.MibIPInterfaceRow, error) {
	for _, function := range []string{"InitializeIpInterfaceEntry", "GetIpInterfaceEntry"} {
		if err := has(function); err != nil {
			return nil, err
		}
	}
	luid, err := winipcfg.LUIDFromIndex(link)
	if err != nil {
		return nil, err
	}
	return luid.IPInterface(family)
}

func (iphlpapi) SetInterface(row *winipcfg.MibIPInterfaceRow) error {
	if err := has("SetIpInterfaceEntry"); err != nil {
		return err
	}
	return row.Set()
}
