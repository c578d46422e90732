package sock

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestUnboundReachesALocalServer(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dialer("").DialContext(t.Context(), "tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestNamesAreNotResolved(t *testing.T) {
	if _, err := Dialer("").DialContext(t.Context(), "tcp4", "localhost:80"); err == nil || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("err = %v, want one that names what was given", err)
	}
}

func TestLinkThatDoesNotExistIsNamed(t *testing.T) {
	if _, err := Dialer("r64none").DialContext(t.Context(), "tcp4", "192.0.2.1:9"); err == nil || !strings.Contains(err.Error(), "r64none") {
		t.Errorf("err = %v, want one that names the link", err)
	}
}

func TestSourceAddressIsTheOneWanted(t *testing.T) {
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own := netip.MustParseAddr("127.0.0.1")
	c, err := Dialer("").DialFrom(t.Context(), "udp", own, l.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := netip.MustParseAddrPort(c.LocalAddr().String()); got.Addr() != own || got.Port() == 0 {
		t.Errorf("source %v, want %v with a port", got, own)
	}
	if _, err := Dialer("").DialFrom(t.Context(), "udp", netip.MustParseAddr("192.0.2.77"), l.LocalAddr().String()); err == nil {
		t.Error("dialled from an address that the host does not have")
	}
	if _, err := Dialer("").DialFrom(t.Context(), "tcp", own, l.LocalAddr().String()); err == nil || !strings.Contains(err.Error(), "tcp") {
		t.Errorf("err = %v, want one that names the network", err)
	}
}
