package sock

import (
	"math/bits"
	"net"
	"strings"

	"golang.org/x/sys/windows"
)

// The options of ws2ipdef.h that choose the link, both 31.
const (
	ipUnicastIf   = 31
	ipv6UnicastIf = 31
)

func bind(fd uintptr, network, link string) error {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return err
	}
	if strings.HasSuffix(network, "6") {
		return windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6UnicastIf, ifi.Index)
	}
	return windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipUnicastIf, networkOrder(ifi.Index))
}

// networkOrder is the index as IPv4's option wants it: most significant byte
// first. All Windows systems that Go knows are little-endian.
func networkOrder(index int) int { return int(int32(bits.ReverseBytes32(uint32(index)))) }
