package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
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

// onVeth runs test with the two ends of a veth, in a network namespace that goes
// with the thread. Subtests would run on other threads.
func onVeth(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		for _, args := range []string{"link add a0 mtu 1400 type veth peer name b0 mtu 1400", "link set a0 addrgenmode none",
			"link set b0 addrgenmode none", "link set a0 up", "link set b0 up"} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Errorf("ip %s: %v: %s", args, err, out)
				return
			}
		}
		if !running(t, "a0", "b0") {
			return
		}
		test(t)
	}()
	<-done
}

// running waits until the kernel has noticed the carrier of links; what is sent
// before is lost.
func running(t *testing.T, names ...string) bool {
	t.Helper()
	late := time.After(5 * time.Second)
	for _, name := range names {
		for {
			ifi, err := net.InterfaceByName(name)
			if err == nil && ifi.Flags&net.FlagRunning != 0 {
				break
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-late:
				t.Errorf("%s does not come up: %v", name, err)
				return false
			}
		}
	}
	return true
}

// both opens both ends.
func both(t *testing.T) (a, b *Port) {
	t.Helper()
	ports := make([]*Port, 2)
	for i, name := range []string{"a0", "b0"} {
		p, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		ports[i] = p
	}
	return ports[0], ports[1]
}

// frame is one with a local experimental EtherType (88b5) to an address that
// neither end has.
func frame(payload string) []byte {
	return append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}, payload...)
}

// read gives up after a while, so that a lost frame does not hang the test.
func read(t *testing.T, p *Port) (vnethdr.Header, []byte) {
	t.Helper()
	late := time.AfterFunc(5*time.Second, func() { p.Close() })
	defer late.Stop()
	buf := make([]byte, 70<<10)
	h, n, err := p.ReadOffload(buf)
	if err != nil {
		t.Fatal(err)
	}
	return h, buf[:n]
}

func TestFrames(t *testing.T) {
	onVeth(t, func(t *testing.T) {
		a, b := both(t)
		ifi, err := net.InterfaceByName("a0")
		if err != nil {
			t.Fatal(err)
		}
		if a.Name() != "a0" || a.MTU() != 1400 || a.HardwareAddr().String() != ifi.HardwareAddr.String() {
			t.Errorf("name %q, MTU %d, address %v", a.Name(), a.MTU(), a.HardwareAddr())
		}
		for _, text := range []string{"one", "two"} {
			if err := a.WriteFrame(frame(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.WriteFrame(frame("back")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"one", "two"} {
			if h, got := read(t, b); h.GSOType != vnethdr.GSONone || !bytes.Equal(got, frame(want)) {
				t.Errorf("read %+v %q, want %q", h, got, want)
			}
		}
		// Had a seen what it sent itself, that would come first.
		if _, got := read(t, a); !bytes.Equal(got, frame("back")) {
			t.Errorf("read %q, want what the other end sent", got)
		}
		if err := a.WriteFrame(frame(strings.Repeat("x", 1401))); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("frame over the MTU: error %v, want EMSGSIZE", err)
		}
	})
}

// TestSuperFrame: a TCP super-frame crosses the veth as one frame with its header.
func TestSuperFrame(t *testing.T) {
	onVeth(t, func(t *testing.T) {
		a, b := both(t)
		const payload = 20000
		f := append(frame("")[:12], 0x86, 0xdd)
		ip := make([]byte, 40)
		ip[0], ip[6], ip[7] = 0x60, unix.IPPROTO_TCP, 64
		binary.BigEndian.PutUint16(ip[4:], 20+payload)
		tcp := make([]byte, 20)
		tcp[12], tcp[13] = 5<<4, 0x10
		f = append(append(append(f, ip...), tcp...), bytes.Repeat([]byte("super"), payload/5)...)
		want := vnethdr.Header{Flags: vnethdr.NeedsCsum, GSOType: vnethdr.GSOTCPv6, HdrLen: 74, GSOSize: 1200, CsumStart: 54, CsumOffset: 16}
		if err := a.WriteOffload(want, f); err != nil {
			t.Fatal(err)
		}
		h, got := read(t, b)
		h.HdrLen = want.HdrLen // a hint
		if h != want || !bytes.Equal(got, f) {
			t.Errorf("read %d bytes with %+v, want %d with %+v", len(got), h, len(f), want)
		}
	})
}

func TestClose(t *testing.T) {
	onVeth(t, func(t *testing.T) {
		a, _ := both(t)
		waiting := make(chan error, 1)
		go func() {
			_, err := a.ReadFrame(make([]byte, 100))
			waiting <- err
		}()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-waiting:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("read: error %v, want net.ErrClosed", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the reader still waits")
		}
		if err := a.WriteFrame(frame("late")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: error %v, want net.ErrClosed", err)
		}
		if err := a.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second close: error %v, want net.ErrClosed", err)
		}
	})
}

func TestOpenWithoutCapability(t *testing.T) {
	onVeth(t, func(t *testing.T) {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData // the thread's own, and it ends with the test
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			t.Fatal(err)
		}
		_, err := Open("a0")
		var denied *platform.PermissionError
		if !errors.As(err, &denied) || denied.Need != "CAP_NET_RAW" || !errors.Is(err, unix.EPERM) {
			t.Errorf("error %v, want a PermissionError that needs CAP_NET_RAW", err)
		}
	})
}
