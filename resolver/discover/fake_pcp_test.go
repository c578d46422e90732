package discover

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/vnet"
)

// pcpHost is what is at an address of the lab's network.
type pcpHost struct {
	server  vnet.PCP
	before  func(req []byte) []byte // what comes before the answer, nil: nothing
	trouble atomic.Pointer[pcpTrouble]
}

// pcpTrouble is why a server cannot be asked.
type pcpTrouble struct {
	dial error
	read error
}

// The addresses of the host in the lab.
var (
	ownGlobal = netip.MustParseAddr("2001:db8:1::10")
	ownULA    = netip.MustParseAddr("fd00::10")
	ownLocal  = netip.MustParseAddr("fe80::10%eth0")
	own4      = netip.MustParseAddr("192.0.2.10")
)

// at returns what is at an address, a silent host at first.
func (l *lab) at(addr netip.Addr) *pcpHost {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.pcp[addr]
	if h == nil {
		h = &pcpHost{}
		h.server.Set(vnet.PCPSettings{Silent: true})
		h.server.Restart(l.start.Add(-1000 * time.Second))
		l.pcp[addr] = h
	}
	return h
}

// tell makes an address a PCP server that knows these prefixes.
func (l *lab) tell(addr netip.Addr, prefixes ...string) *pcpHost {
	h := l.at(addr)
	h.server.Set(vnet.PCPSettings{Prefixes: knows(prefixes...)})
	return h
}

func knows(prefixes ...string) []vnet.PCPPrefix {
	var out []vnet.PCPPrefix
	for _, p := range prefixes {
		out = append(out, vnet.PCPPrefix{Prefix: nat64.MustParse(p).Netip()})
	}
	return out
}

// sourceTo is the address that a system would choose.
func (l *lab) sourceTo(to netip.Addr) netip.Addr {
	switch {
	case to.Is4():
		return own4
	case to.IsLinkLocalUnicast():
		return ownLocal
	case l.ula:
		return ownULA
	}
	return ownGlobal
}

func (d linkDialer) DialFrom(_ context.Context, _ string, from netip.Addr, addr string) (net.Conn, error) {
	return d.dialPCP(netip.MustParseAddrPort(addr), from)
}

func (d linkDialer) dialPCP(to netip.AddrPort, from netip.Addr) (net.Conn, error) {
	h := d.at(to.Addr())
	if t := h.trouble.Load(); t != nil && t.dial != nil {
		return nil, t.dial
	}
	near, far := net.Pipe()
	local := netip.AddrPortFrom(from, 40000)
	d.serving.Go(func() { d.answerPCP(to.Addr(), h, local, far) })
	return pcpConn{near, net.UDPAddrFromAddrPort(local), h}, nil
}

// errClosedPort is what a closed port makes of a read.
var errClosedPort = &net.OpError{Op: "read", Net: "udp", Err: os.NewSyscallError("read", syscall.ECONNREFUSED)}

// pcpConn is a connected UDP socket.
type pcpConn struct {
	net.Conn
	local net.Addr
	host  *pcpHost
}

func (c pcpConn) LocalAddr() net.Addr { return c.local }

func (c pcpConn) Read(b []byte) (int, error) {
	if t := c.host.trouble.Load(); t != nil {
		return 0, t.read
	}
	return c.Conn.Read(b)
}

// answerPCP serves one socket until the client closes it.
func (l *lab) answerPCP(addr netip.Addr, h *pcpHost, from netip.AddrPort, conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		l.asked[addr.String()] = append(l.asked[addr.String()], l.since())
		l.sources[from.Addr().String()] = true
		l.mu.Unlock()
		var out [][]byte
		if h.before != nil {
			out = append(out, h.before(buf[:n]))
		}
		for _, b := range append(out, h.server.Reply(time.Now(), from, buf[:n])) {
			if b == nil {
				continue
			}
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	}
}

// asksPCP returns when a PCP server was asked.
func (l *lab) asksPCP(addr netip.Addr) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Duration(nil), l.asked[addr.String()]...)
}
