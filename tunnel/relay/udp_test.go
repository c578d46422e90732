package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

// datagrams starts a UDP server that answers each message with itself, and returns
// its port.
func (l *lab) datagrams() uint16 {
	l.Helper()
	s, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		l.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 65536); ; {
			n, from, err := s.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = s.WriteTo(buf[:n], from)
		}
	}()
	l.Cleanup(func() { _ = s.Close(); <-done })
	return s.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func (l *lab) udp(port uint16) net.Conn {
	l.Helper()
	c, err := l.host.DialContext(l.Context(), "udp4", netip.AddrPortFrom(server, port).String())
	if err != nil {
		l.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	l.Cleanup(func() { _ = c.Close() })
	return c
}

func TestDatagramsOfAllSizes(t *testing.T) {
	for name, change := range streams {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, change)
			c := l.udp(l.datagrams())
			for _, n := range []int{0, 1, 1472, 1473, 3000, 65507} { // the largest of IPv4
				want := random(n)
				if _, err := c.Write(want); err != nil {
					t.Errorf("write %d bytes: %v", n, err)
					continue
				}
				got := make([]byte, 65536)
				k, err := c.Read(got)
				if err != nil || !bytes.Equal(got[:k], want) {
					t.Errorf("%d bytes: %d came back, %v", n, k, err)
				}
			}
			l.counted(map[string]uint64{"udp-opened": 1})
		})
	}
}

func TestClosedPortIsToldToTheSender(t *testing.T) {
	l := newLab(t, nil)
	s, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	port := s.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	_ = s.Close() // nobody listens there now
	c := l.udp(port)
	_, _ = c.Write([]byte("anybody?"))
	if _, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("err = %v, want a refusal", err)
	}
	l.counted(map[string]uint64{"udp-refused": 1})
}

// TestErrorsAreHandedBack: what the network says of a datagram reaches its sender,
// whether the socket says so when it is opened or later.
func TestErrorsAreHandedBack(t *testing.T) {
	for name, tt := range map[string]struct {
		err     syscall.Errno
		from    netip.Addr
		icmp    []byte // the ICMP header but for its checksum
		counter string
	}{
		"port closed":         {syscall.ECONNREFUSED, server, []byte{3, 3, 0, 0, 0, 0}, "udp-refused"},
		"Windows' word":       {10054, netip.Addr{}, nil, "udp-failed"},
		"network unreachable": {syscall.ENETUNREACH, dummy, []byte{3, 0, 0, 0, 0, 0}, "udp-unreachable"},
		"host unreachable":    {syscall.EHOSTUNREACH, dummy, []byte{3, 1, 0, 0, 0, 0}, "udp-unreachable"},
		"prohibited":          {syscall.EACCES, dummy, []byte{3, 13, 0, 0, 0, 0}, "udp-prohibited"},
		"too big":             {syscall.EMSGSIZE, dummy, []byte{3, 4, 0, 0, 1260 >> 8, 1260 & 255}, "udp-too-big"},
		"no socket left":      {syscall.EMFILE, dummy, []byte{3, 13, 0, 0, 0, 0}, "udp-no-socket"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &quietDialer{}
				r, w, end := bare(t, d, Config{})
				defer end()
				told := 0
				r.Unreachable = func() { told++ }
				r.take(vnethdr.Header{}, datagram(server, 5000, 4500, "x"))
				d.conns[0].err <- os.NewSyscallError("read", tt.err)
				synctest.Wait()
				if s := r.Stats(); s[tt.counter] != 1 {
					t.Errorf("counters %v, want %s", s, tt.counter)
				}
				if (told > 0) != (tt.counter == "udp-unreachable") {
					t.Errorf("told %d times that something is unreachable", told)
				}
				if tt.icmp == nil {
					if len(w.out) > 0 {
						t.Errorf("the host got %x", w.out)
					}
					return
				}
				if len(w.out) != 1 {
					t.Fatalf("the host got %x", w.out)
				}
				p, ok := parse4(w.out[0])
				if !ok || p.src != tt.from || !p.checked() || !bytes.Equal(p.body[:2], tt.icmp[:2]) || !bytes.Equal(p.body[4:8], tt.icmp[2:]) ||
					!bytes.Equal(p.body[8+12:8+24], datagram(server, 5000, 4500, "")[12:24]) {
					t.Errorf("the host got %x from %v", w.out[0], p.src)
				}
			})
		})
	}
}

func TestFlowsEndWhenNothingComes(t *testing.T) {
	for name, tt := range map[string]struct {
		port uint16
		life time.Duration // RFC 4787 REQ-5: two minutes at least, unless the port is a well-known one
	}{"any port": {4500, 5 * time.Minute}, "DNS": {53, 30 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &quietDialer{}
				r, w, end := bare(t, d, Config{})
				defer end()
				send := func() { r.take(vnethdr.Header{}, datagram(server, 5000, tt.port, "x")); synctest.Wait() }
				send()
				time.Sleep(tt.life - time.Second)
				send() // outbound refreshes, REQ-6
				time.Sleep(tt.life - time.Second)
				d.conns[0].feed <- []byte("y") // what comes in, too
				synctest.Wait()
				if len(w.out) != 1 || string(w.out[0][28:]) != "y" {
					t.Fatalf("the host got %x", w.out)
				}
				time.Sleep(tt.life - time.Second)
				if s := r.Stats(); s["udp-ended"] != 0 || len(d.conns) != 1 {
					t.Errorf("ended too early: %v, %d sockets", s, len(d.conns))
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if s := r.Stats(); s["udp-idle"] != 1 || s["udp-ended"] != 1 {
					t.Errorf("did not end: %v", s)
				}
				send()
				if len(d.conns) != 2 || len(d.conns[1].sent) != 1 {
					t.Errorf("%d sockets after it had ended, want a new one", len(d.conns))
				}
			})
		})
	}
}

func TestFlowThatEndsJustNowLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &quietDialer{}
		r, _, end := bare(t, d, Config{})
		defer end()
		r.take(vnethdr.Header{}, datagram(server, 5000, 4500, "a"))
		_ = d.conns[0].Close() // as at the end of its time
		r.take(vnethdr.Header{}, datagram(server, 5000, 4500, "b"))
		if len(d.conns) != 2 || len(d.conns[1].sent) != 1 || string(d.conns[1].sent[0]) != "b" {
			t.Errorf("%d sockets", len(d.conns))
		}
	})
}

func TestSuperPacketsOfDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &quietDialer{}
		r, _, end := bare(t, d, Config{Offload: true})
		defer end()
		r.take(vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOUDPL4, GSOSize: 4, CsumStart: 20, CsumOffset: 6}, datagram(server, 5000, 4500, "aaaabbbbcc"))
		var got []string
		for _, b := range d.conns[0].sent {
			got = append(got, string(b))
		}
		if len(got) != 3 || got[0] != "aaaa" || got[1] != "bbbb" || got[2] != "cc" {
			t.Errorf("sent %q", got)
		}
		d.conns[0].feed <- []byte("hello")
		synctest.Wait()
	})
}

// TestPacketsThatAreNotCarried: each is counted by its reason.
func TestPacketsThatAreNotCarried(t *testing.T) {
	edit := func(b []byte, f func(b []byte)) []byte { f(b); return b }
	ok := func() []byte { return datagram(server, 5000, 4500, "payload") }
	for name, tt := range map[string]struct {
		h    vnethdr.Header
		p    []byte
		word string
		icmp []byte // type and code that the host gets
	}{
		"empty":                                {p: []byte{}, word: "4to6-dropped-not-ip"},
		"IPv6":                                 {p: edit(ok(), func(b []byte) { b[0] = 0x60 }), word: "4to6-dropped-not-ip"},
		"cut":                                  {p: ok()[:30], word: "4to6-dropped-malformed"},
		"header too long":                      {p: edit(ok(), func(b []byte) { b[0] = 0x4f }), word: "4to6-dropped-malformed"},
		"UDP longer than IP":                   {h: vnethdr.Header{Flags: vnethdr.DataValid}, p: edit(ok(), func(b []byte) { b[25] = 200 }), word: "4to6-dropped-malformed"},
		"UDP without header":                   {h: vnethdr.Header{Flags: vnethdr.DataValid}, p: edit(ok()[:24], func(b []byte) { b[3] = 24 }), word: "4to6-dropped-malformed"},
		"another's address":                    {p: edit(ok(), func(b []byte) { b[15]++ }), word: "4to6-dropped-not-ours"},
		"to the CLAT":                          {p: datagram(clat4, 1, 2, ""), word: "4to6-dropped-martian"},
		"multicast":                            {p: datagram(netip.MustParseAddr("224.0.0.251"), 1, 2, ""), word: "4to6-dropped-martian"},
		"loopback":                             {p: datagram(netip.MustParseAddr("127.0.0.1"), 1, 2, ""), word: "4to6-dropped-martian"},
		"an unknown protocol":                  {p: edit(ok(), func(b []byte) { b[9] = 132 }), word: "4to6-answered-protocol", icmp: []byte{3, 2}},
		"a wrong checksum":                     {p: edit(ok(), func(b []byte) { b[26] = 1 }), word: "4to6-dropped-bad-checksum"},
		"an ICMP error":                        {h: vnethdr.Header{Flags: vnethdr.DataValid}, p: edit(ok(), func(b []byte) { b[9], b[20] = 1, 3 }), word: "4to6-dropped-icmp-type"},
		"a fragment with an offload":           {h: vnethdr.Header{Flags: vnethdr.NeedsCsum}, p: edit(ok(), func(b []byte) { b[6] = 0x20 }), word: "4to6-dropped-offload"},
		"UFO":                                  {h: vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOUDP}, p: ok(), word: "4to6-dropped-offload"},
		"no segment size":                      {h: vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOUDPL4}, p: ok(), word: "4to6-dropped-offload"},
		"a special address":                    {p: datagram(netip.MustParseAddr("169.254.1.1"), 1, 2, ""), word: "4to6-answered-non-global", icmp: []byte{3, 13}},
		"an echo request that may not be sent": {h: vnethdr.Header{Flags: vnethdr.DataValid}, p: edit(ok(), func(b []byte) { b[9], b[20], b[21] = 1, 8, 0 }), word: "4to6-dropped-echo-not-permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, end := bare(t, &quietDialer{echo: os.NewSyscallError("socket", syscall.EACCES)}, Config{})
			defer end()
			quoted := bytes.Clone(tt.p)
			if r.take(tt.h, tt.p) {
				t.Error("given to the network stack")
			}
			if s := r.Stats(); len(s) != 1 || s[tt.word] != 1 {
				t.Errorf("counters %v, want %s", s, tt.word)
			}
			switch {
			case tt.icmp == nil && len(w.out) > 0, tt.icmp != nil && len(w.out) != 1:
				t.Fatalf("the host got %x", w.out)
			case tt.icmp != nil:
				p, ok := parse4(w.out[0])
				if !ok || p.dst != clat4 || !p.checked() || !bytes.Equal(p.body[:2], tt.icmp) || !bytes.Equal(p.body[8:], quoted) {
					t.Errorf("the host got %x", w.out[0])
				}
			}
		})
	}
}

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &quietDialer{}
		r, w, end := bare(t, d, Config{})
		defer end()
		request := append(make([]byte, 20), 8, 0, 0, 0, 0x12, 0x34, 0, 7, 'p', 'i', 'n', 'g')
		binary.BigEndian.PutUint16(request[22:], ^fold(sum(request[20:], 0)))
		putIPv4(request, clat4, server, icmp4, len(request), 0, 0)
		r.take(vnethdr.Header{}, request)
		if sent := d.conns[0].sent; len(sent) != 1 || sent[0][0] != 128 || string(sent[0][6:]) != "\x00\x07ping" {
			t.Fatalf("sent %x", sent)
		}
		d.conns[0].feed <- []byte{1, 0, 0, 0, 9, 9, 0, 7, 'p', 'i', 'n', 'g'}         // an error: not an answer
		d.conns[0].feed <- []byte{129, 0, 0xaa, 0xaa, 9, 9, 0, 7, 'p', 'i', 'n', 'g'} // the identifier is the socket's
		synctest.Wait()
		if len(w.out) != 1 {
			t.Fatalf("the host got %x", w.out)
		}
		p, ok := parse4(w.out[0])
		if !ok || p.src != server || p.dst != clat4 || !p.checked() || p.body[0] != 0 || string(p.body[4:]) != "\x12\x34\x00\x07ping" {
			t.Errorf("the host got %x", w.out[0])
		}
		time.Sleep(time.Minute + time.Second) // RFC 5508 REQ-1
		synctest.Wait()
		if s := r.Stats(); s["echo-idle"] != 1 {
			t.Errorf("counters %v", s)
		}
	})
}

func TestErrorsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, end := bare(t, &quietDialer{}, Config{})
		defer end()
		for range 300 {
			b := datagram(server, 1, 2, "")
			b[9] = 132
			r.take(vnethdr.Header{}, b)
		}
		if s := r.Stats(); len(w.out) != 100 || s["errors-suppressed"] != 200 {
			t.Errorf("%d errors, counters %v", len(w.out), s)
		}
	})
}

func TestNoAllocationPerDatagram(t *testing.T) {
	r, _, end := bare(t, nothingDialer{}, Config{})
	defer end()
	packet := datagram(server, 5000, 4500, "payload")
	if n := testing.AllocsPerRun(1000, func() { r.take(vnethdr.Header{}, packet) }); n != 0 {
		t.Errorf("%v allocations for a datagram to the server", n)
	}
	d := &datagrams{relay: r, key: tuple{protoUDP, netip.AddrPortFrom(clat4, 1), netip.AddrPortFrom(server, 2)}}
	r.port = discard{}
	payload := make([]byte, 1200)
	if n := testing.AllocsPerRun(1000, func() { d.toHost(payload) }); n != 0 {
		t.Errorf("%v allocations for a datagram to the host", n)
	}
}

// FuzzTake: whatever the host sends, nothing panics, and nothing but what is well
// formed reaches the network stack or a server.
func FuzzTake(f *testing.F) {
	f.Add(uint8(0), uint8(0), uint16(0), datagram(server, 1, 2, "x"))
	f.Add(uint8(1), uint8(5), uint16(3), datagram(server, 1, 2, "xxxxxxx"))
	f.Add(uint8(0), uint8(0), uint16(0), append([]byte{0x46}, datagram(server, 1, 53, "")[1:]...))
	f.Fuzz(func(t *testing.T, flags, gso uint8, size uint16, b []byte) {
		r, w, end := bare(t, nothingDialer{}, Config{Limits: Limits{Flows: 4}})
		defer end()
		r.take(vnethdr.Header{Flags: flags, GSOType: gso, GSOSize: size}, b)
		for _, out := range w.out {
			if p, ok := parse4(out); !ok || p.dst != clat4 || !p.checked() {
				t.Errorf("the host got %x", out)
			}
		}
	})
}
