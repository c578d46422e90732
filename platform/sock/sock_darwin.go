package sock

import (
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

func bind(fd uintptr, network, link string) error {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return err
	}
	if strings.HasSuffix(network, "6") {
		return unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_BOUND_IF, ifi.Index)
	}
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BOUND_IF, ifi.Index)
}
