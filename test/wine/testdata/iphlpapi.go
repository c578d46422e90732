package netcfg

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"
)

// iphlpapi stands in for the functions of iphlpapi.dll that Wine lacks: it asks the test,
// which listens at the port of 127.0.0.1 that the file netcfg.port beside the program
// names, for each change in a line, and gets the number of an error of Windows, 0 for
// none. It takes the place of platform/netcfg/iphlpapi_windows.go in a program that is
// built for a test.
type iphlpapi struct{}

func ask(format string, args ...any) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	port, err := os.ReadFile(filepath.Join(filepath.Dir(program), "netcfg.port"))
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp4", "127.0.0.1:"+string(port))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, format+"\n", args...); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	number, err := strconv.ParseUint(strings.TrimSpace(line), 10, 32)
	if err != nil || number == 0 {
		return err
	}
	return windows.Errno(number)
}

func address(verb string, row *winipcfg.MibUnicastIPAddressRow) error {
	return ask("address %s %s/%d on %d", verb, row.Address.Addr(), row.OnLinkPrefixLength, row.InterfaceIndex)
}

func (iphlpapi) CreateAddress(row *winipcfg.MibUnicastIPAddressRow) error { return address("add", row) }
func (iphlpapi) DeleteAddress(row *winipcfg.MibUnicastIPAddressRow) error { return address("del", row) }

func route(verb string, row *winipcfg.MibIPforwardRow2) error {
	return ask("route %s %s on %d metric %d", verb, row.DestinationPrefix.Prefix(), row.InterfaceIndex, row.Metric)
}

func (iphlpapi) CreateRoute(row *winipcfg.MibIPforwardRow2) error { return route("add", row) }
func (iphlpapi) DeleteRoute(row *winipcfg.MibIPforwardRow2) error { return route("del", row) }

// GetInterface: the link has IPv4 alone.
func (iphlpapi) GetInterface(link uint32, family winipcfg.AddressFamily) (*winipcfg.MibIPInterfaceRow, error) {
	if family != windows.AF_INET {
		return nil, windows.ERROR_NOT_FOUND
	}
	return &winipcfg.MibIPInterfaceRow{Family: family, InterfaceIndex: link}, nil
}

func (iphlpapi) SetInterface(row *winipcfg.MibIPInterfaceRow) error {
	return ask("device set %d on %d", row.NLMTU, row.InterfaceIndex)
}
