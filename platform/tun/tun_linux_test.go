package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inNamespace runs test in a network namespace of its own that has no name: it
// goes with the thread and with what the test opened. Subtests would run on
// other threads, so test must not start any.
func inNamespace(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces and TUN devices")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		test(t)
	}()
	<-done
	if t.Failed() {
		t.FailNow()
	}
}

func mustOpen(t *testing.T, name string) *Device {
	t.Helper()
	d, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// ip runs the ip command in the namespace of the calling thread.
func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// up gives d the addresses that the tests use.
func up(t *testing.T, d *Device) {
	t.Helper()
	ip(t, "link", "set", d.Name(), "addrgenmode", "none") // before it is up, or a router solicitation comes first
	ip(t, "link", "set", d.Name(), "up")
	ip(t, "addr", "add", "192.0.2.1/24", "dev", d.Name())
	ip(t, "addr", "add", "2001:db8::1/64", "dev", d.Name(), "nodad")
	// The kernel makes the route that takes packets in its own time.
	for range 1000 {
		if strings.Contains(ip(t, "-6", "route", "show", "table", "local"), here.String()) {
			return
		}
	}
	t.Fatal("no packet for the address would be taken")
}

var (
	here  = netip.MustParseAddr("2001:db8::1")
	there = netip.MustParseAddr("2001:db8::2")
)

// sum is the Internet checksum (RFC 1071) over the parts, each of even length.
func sum(start uint32, parts ...[]byte) uint16 {
	for _, p := range parts {
		for i := 0; i+1 < len(p); i += 2 {
			start += uint32(binary.BigEndian.Uint16(p[i:]))
		}
		if len(p)%2 == 1 {
			start += uint32(p[len(p)-1]) << 8
		}
	}
	for start>>16 != 0 {
		start = start&0xffff + start>>16
	}
	return uint16(start)
}

// ipv6 returns a packet from there to here with a whole checksum at payload[at:].
func ipv6(proto byte, at int, payload []byte) []byte {
	p := make([]byte, 40, 40+len(payload))
	p[0], p[6], p[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
	copy(p[8:], there.AsSlice())
	copy(p[24:], here.AsSlice())
	payload = bytes.Clone(payload)
	binary.BigEndian.PutUint16(payload[at:], ^sum(uint32(len(payload))+uint32(proto), p[8:40], payload))
	return append(p, payload...)
}

func echoRequest() []byte {
	return ipv6(unix.IPPROTO_ICMPV6, 2, []byte{128, 0, 0, 0, 0, 7, 0, 1, 'p', 'i', 'n', 'g'})
}

func TestNamesAndPatterns(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		for _, c := range []struct{ ask, want string }{
			{"clat0", "clat0"}, {"clat%d", "clat1"}, {"", "tun0"}, {"fifteen-bytes-x", "fifteen-bytes-x"},
		} {
			d, err := Open(c.ask)
			if err != nil {
				t.Errorf("open %q: %v", c.ask, err)
				continue
			}
			defer d.Close()
			ifi, err := net.InterfaceByName(c.want)
			if err != nil {
				t.Errorf("open %q: no interface %q: %v", c.ask, c.want, err)
				continue
			}
			if d.Name() != c.want || d.Index() != ifi.Index {
				t.Errorf("open %q: name %q index %d, want %q %d", c.ask, d.Name(), d.Index(), c.want, ifi.Index)
			}
			if ifi.Flags&net.FlagUp != 0 {
				t.Errorf("open %q: the device is up, want it left alone", c.ask)
			}
			if addrs, _ := ifi.Addrs(); len(addrs) != 0 {
				t.Errorf("open %q: addresses %v, want none", c.ask, addrs)
			}
		}
	})
}

func TestTakenNameIsNamed(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		mustOpen(t, "clat0")
		ip(t, "tuntap", "add", "kept0", "mode", "tun", "vnet_hdr") // persistent and free: still not ours
		for _, name := range []string{"clat0", "lo", "kept0"} {
			d, err := Open(name)
			if err == nil {
				d.Close()
				t.Errorf("open %q: took over an interface that was there", name)
			} else if !strings.Contains(err.Error(), name) || !errors.Is(err, unix.EBUSY) {
				t.Errorf("open %q: error %q, want the name and EBUSY", name, err)
			}
		}
	})
}

func TestBadNames(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		for _, name := range []string{"sixteen-bytes-xy", "a/b", "%d%d", "a b"} {
			if d, err := Open(name); err == nil {
				d.Close()
				t.Errorf("open %q: no error", name)
			}
		}
	})
}

func TestOpenWithoutCapability(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		// Capabilities are the thread's own, and it ends with the test.
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			t.Fatal(err)
		}
		_, err := Open("clat0")
		var denied *platform.PermissionError
		if !errors.As(err, &denied) || denied.Need != "CAP_NET_ADMIN" || !errors.Is(err, unix.EPERM) {
			t.Errorf("error %v, want a PermissionError that needs CAP_NET_ADMIN", err)
		}
	})
}

func TestMissingDeviceFile(t *testing.T) {
	for _, cause := range []error{unix.ENOENT, unix.EACCES, unix.EPERM, unix.ENXIO} {
		var denied *platform.PermissionError
		if err := openError(cause); !errors.As(err, &denied) || denied.Need != "/dev/net/tun" || !errors.Is(err, cause) {
			t.Errorf("%v: error %v, want a PermissionError that needs /dev/net/tun", cause, err)
		}
	}
	var denied *platform.PermissionError
	if err := openError(unix.EMFILE); errors.As(err, &denied) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("too many open files: error %v, want it as it is", err)
	}
}

func TestEchoThroughTheKernel(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := mustOpen(t, "clat0")
		up(t, d)
		ask := echoRequest()
		buf := make([]byte, MaxPacket)
		for _, cut := range []int{0, 1, 40, len(ask)} { // head and tail are one packet
			if err := d.WritePacket(vnethdr.Header{}, ask[:cut], ask[cut:]); err != nil {
				t.Fatal(err)
			}
			h, n, err := d.ReadPacket(buf)
			if err != nil {
				t.Fatal(err)
			}
			got := buf[:n]
			if n != len(ask) || got[40] != 129 || !bytes.Equal(got[44:], ask[44:]) {
				t.Errorf("cut at %d: got % x, want an echo reply to % x", cut, got, ask)
			}
			if h.GSOType != vnethdr.GSONone {
				t.Errorf("cut at %d: header %+v, want no segmentation", cut, h)
			}
		}
	})
}

func TestSuperPacketIsOneRead(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		const segment, segments = 1200, 40
		d := mustOpen(t, "clat0")
		up(t, d)
		s, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(s)
		if err := unix.SetsockoptInt(s, unix.SOL_UDP, unix.UDP_SEGMENT, segment); err != nil {
			t.Fatal(err)
		}
		payload := bytes.Repeat([]byte("reach64 "), segment*segments/8)
		if err := unix.Sendto(s, payload, 0, &unix.SockaddrInet6{Port: 7, Addr: there.As16()}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, MaxPacket)
		h, n, err := d.ReadPacket(buf)
		if err != nil {
			t.Fatal(err)
		}
		if want := 48 + len(payload); n != want || !bytes.Equal(buf[48:n], payload) {
			t.Errorf("read %d bytes, want one packet of %d with the payload", n, want)
		}
		want := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOUDPL4, GSOSize: segment, CsumStart: 40, CsumOffset: 6}
		h.HdrLen = 0 // a hint
		if h != want {
			t.Errorf("header %+v, want %+v", h, want)
		}
	})
}

func TestWrittenSuperPacketIsSegmented(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		const segment, segments = 1000, 20
		d := mustOpen(t, "clat0")
		up(t, d)
		s, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(s)
		if err := unix.Bind(s, &unix.SockaddrInet6{Port: 4242, Addr: here.As16()}); err != nil {
			t.Fatal(err)
		}
		if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, segment*segments)
		for i := range body {
			body[i] = byte(i / segment)
		}
		udp := append(binary.BigEndian.AppendUint16([]byte{0, 9, 4242 >> 8, 4242 & 0xff}, uint16(8+len(body))), 0, 0)
		p := ipv6(unix.IPPROTO_UDP, 6, append(udp, body...))
		// A partial checksum is the folded pseudo-header sum.
		binary.BigEndian.PutUint16(p[46:], sum(uint32(len(p)-40)+unix.IPPROTO_UDP, p[8:40]))
		h := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOUDPL4, HdrLen: 48, GSOSize: segment, CsumStart: 40, CsumOffset: 6}
		if err := d.WritePacket(h, p[:48], p[48:]); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2*segment)
		for i := range segments {
			n, _, err := unix.Recvfrom(s, got, 0)
			if err != nil {
				t.Fatalf("segment %d: %v", i, err)
			}
			if n != segment || got[0] != byte(i) {
				t.Fatalf("segment %d: %d bytes beginning with %d, want %d", i, n, got[0], segment)
			}
		}
	})
}

func TestShortBuffer(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := mustOpen(t, "clat0")
		up(t, d)
		ask := echoRequest()
		for _, c := range []struct {
			size int
			want error
		}{{len(ask) - 1, io.ErrShortBuffer}, {len(ask), nil}, {0, io.ErrShortBuffer}} {
			if err := d.WritePacket(vnethdr.Header{}, ask, nil); err != nil {
				t.Fatal(err)
			}
			if _, _, err := d.ReadPacket(make([]byte, c.size)); !errors.Is(err, c.want) {
				t.Errorf("buffer of %d for a packet of %d: error %v, want %v", c.size, len(ask), err, c.want)
			}
		}
	})
}

func TestRefusedWrites(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := mustOpen(t, "clat0")
		if err := d.WritePacket(vnethdr.Header{}, echoRequest(), nil); !errors.Is(err, unix.EIO) {
			t.Errorf("device is down: error %v, want EIO", err)
		}
		up(t, d)
		if err := d.WritePacket(vnethdr.Header{Flags: vnethdr.NeedsCsum, CsumStart: 9000}, echoRequest(), nil); !errors.Is(err, unix.EINVAL) {
			t.Errorf("checksum start outside the packet: error %v, want EINVAL", err)
		}
	})
}

// TestEndOfReading covers both ways in which a waiting reader is let go.
func TestEndOfReading(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(t *testing.T, d *Device)
		want error
	}{
		{"closed by us", func(t *testing.T, d *Device) {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}, net.ErrClosed},
		{"deleted by someone", func(t *testing.T, d *Device) { ip(t, "link", "del", d.Name()) }, ErrRemoved},
	} {
		t.Run(c.name, func(t *testing.T) {
			inNamespace(t, func(t *testing.T) {
				d := mustOpen(t, "clat0")
				read := make(chan error, 2) // one for each reader
				for range cap(read) {
					go func() {
						_, _, err := d.ReadPacket(make([]byte, MaxPacket))
						read <- err
					}()
				}
				time.Sleep(50 * time.Millisecond) // let them wait in the poller; either order must pass
				c.end(t, d)
				for range cap(read) {
					select {
					case err := <-read:
						if !errors.Is(err, c.want) {
							t.Errorf("read: error %v, want %v", err, c.want)
						}
					case <-time.After(5 * time.Second):
						t.Fatal("the reader still waits")
					}
				}
				if err := d.WritePacket(vnethdr.Header{}, echoRequest(), nil); !errors.Is(err, c.want) {
					t.Errorf("write: error %v, want %v", err, c.want)
				}
				if links := ip(t, "link"); strings.Contains(links, "clat0") {
					t.Errorf("the device is still there:\n%s", links)
				}
				if err := d.Close(); c.want == net.ErrClosed && !errors.Is(err, net.ErrClosed) {
					t.Errorf("second close: error %v, want net.ErrClosed", err)
				}
			})
		})
	}
}
