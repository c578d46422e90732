package sock

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSmallSegments: both ends learn the limit, and the path MTU is that of the link.
func TestSmallSegments(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on the loopback link: %v", err)
	}
	defer l.Close()
	for limit, want := range map[int]int{0: 0, 1220: 1220} {
		var c net.Conn
		if limit == 0 {
			c, err = Dialer("").DialContext(t.Context(), "tcp6", l.Addr().String())
		} else {
			c, err = Dialer("").Segments(limit).DialContext(t.Context(), "tcp6", l.Addr().String())
		}
		if err != nil {
			t.Fatal(err)
		}
		if mtu := PathMTU(c); mtu < 1280 {
			t.Errorf("path MTU %d", mtu)
		}
		if got := maxSegment(t, c); want != 0 && got > want || want == 0 && got <= 1220 {
			t.Errorf("segments of %d bytes, with limit %d", got, limit)
		}
		_ = c.Close()
	}
	if PathMTU(nil) != 0 {
		t.Error("a path MTU of no connection")
	}
}

func maxSegment(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { n, err = segment(fd) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func segment(fd uintptr) (int, error) {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, err
	}
	return int(info.Snd_mss), nil
}
