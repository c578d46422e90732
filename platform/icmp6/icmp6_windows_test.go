package icmp6

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The sizes of ws2def.h and ws2ipdef.h, which parse_control.go goes by, the same on both
// 64-bit processors: the compiler refuses others.
var (
	_ [controlHeader]byte  = [unsafe.Sizeof(windows.WSACMSGHDR{})]byte{}
	_ [8]byte              = [unsafe.Offsetof(windows.WSACMSGHDR{}.Level)]byte{}
	_ [12]byte             = [unsafe.Offsetof(windows.WSACMSGHDR{}.Type)]byte{}
	_ [packetInfoSize]byte = [unsafe.Sizeof(windows.IN6_PKTINFO{})]byte{}
	_ [16]byte             = [unsafe.Offsetof(windows.IN6_PKTINFO{}.Ifindex)]byte{}
)

// TestControlDataOfThisWindows sends a datagram over loopback and reads what WSARecvMsg
// says of it, since raw sockets are not everywhere.
func TestControlDataOfThisWindows(t *testing.T) {
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := askControl(c); err != nil {
		t.Fatal(err)
	}
	to := c.LocalAddr().(*net.UDPAddr)
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(links, func(l net.Interface) bool { return l.Flags&net.FlagLoopback != 0 })
	if _, _, err := c.WriteMsgUDP([]byte("x"), toControl(netip.IPv6Loopback(), links[at].Index), to); err != nil {
		t.Fatalf("send with control data of ours: %v", err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	control := make([]byte, controlCapacity)
	n, size, _, _, err := c.ReadMsgUDP(make([]byte, 10), control)
	if err != nil || n != 1 {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	got := fromControl(control[:size])
	if got.dst != netip.IPv6Loopback() || got.link != links[at].Index || got.hopLimit <= 0 || got.hopLimit > 255 {
		t.Errorf("%x says %+v, want ::1, link %d and a hop limit", control[:size], got, links[at].Index)
	}
}

// TestOpenSaysWhatIsMissing: Wine has no raw ICMPv6 sockets.
func TestOpenSaysWhatIsMissing(t *testing.T) {
	c, err := Open()
	if err == nil {
		_ = c.Close()
		t.Skip("this Windows has them")
	}
	if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, windows.WSAEPROTONOSUPPORT) {
		t.Errorf("err = %v, want that the system does not support them, and its word for it", err)
	}
}
