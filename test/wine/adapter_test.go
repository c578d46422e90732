package wine

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/songgao/water"
)

// adapter is what Wintun's driver and the IP Helper API are on Windows: a TUN device of
// this Linux whose packets the stand-in for wintun.dll carries to the program, and
// whose addresses and routes are changed when the program asks for it. Wine shows the
// program what Linux has, so that it sees the effect.
type adapter struct {
	device  *water.Interface
	index   int
	packets net.Listener
	changes net.Listener

	mu   sync.Mutex
	peer net.Conn // of the session under way
	made []string // changes of addresses and routes, in order
}

const adapterName = "clat0"

// newAdapter makes the device, and starts goroutines that end with the test.
func newAdapter(t *testing.T) *adapter {
	t.Helper()
	device, err := water.New(water.Config{DeviceType: water.TUN})
	if err != nil {
		t.Fatal(err)
	}
	a := &adapter{device: device}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = device.Close()
		for _, l := range []net.Listener{a.packets, a.changes} {
			if l != nil {
				_ = l.Close()
			}
		}
		a.session(nil)
		running.Wait()
	})
	up := exec.Command("sh", "-euc", `ip link set "$2" name "$1"
ip link set "$1" addrgenmode none
ip link set "$1" up`, "_", adapterName, device.Name())
	if out, err := up.CombinedOutput(); err != nil {
		t.Fatalf("set up %s: %v: %s", adapterName, err, out)
	}
	link, err := net.InterfaceByName(adapterName)
	if err != nil {
		t.Fatal(err)
	}
	a.index = link.Index
	for _, l := range []*net.Listener{&a.packets, &a.changes} {
		if *l, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	running.Go(a.fromDevice)
	running.Go(a.toDevice)
	running.Go(a.serveChanges)
	return a
}

// port is the number of a listener's.
func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// session makes c the one under way, and ends the one before.
func (a *adapter) session(c net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.peer != nil {
		_ = a.peer.Close()
	}
	a.peer = c
}

// fromDevice hands what the host sends to the session; without one it is lost.
func (a *adapter) fromDevice() {
	buf := make([]byte, 4+65535)
	for {
		n, err := a.device.Read(buf[4:])
		if err != nil {
			return
		}
		binary.LittleEndian.PutUint32(buf, uint32(n))
		a.mu.Lock()
		c := a.peer
		a.mu.Unlock()
		if c != nil {
			_, _ = c.Write(buf[:4+n])
		}
	}
}

// toDevice hands what each session sends to the host.
func (a *adapter) toDevice() {
	buf := make([]byte, 65535)
	for {
		c, err := a.packets.Accept()
		if err != nil {
			return
		}
		a.session(c)
		for r := bufio.NewReaderSize(c, 1<<20); ; {
			var size [4]byte
			if _, err := io.ReadFull(r, size[:]); err != nil {
				break
			}
			n := binary.LittleEndian.Uint32(size[:])
			if n > uint32(len(buf)) {
				break
			}
			if _, err := io.ReadFull(r, buf[:n]); err != nil {
				break
			}
			_, _ = a.device.Write(buf[:n])
		}
		a.session(nil)
	}
}

// serveChanges makes one change after the other.
func (a *adapter) serveChanges() {
	for {
		c, err := a.changes.Accept()
		if err != nil {
			return
		}
		if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
			fmt.Fprintln(c, a.change(strings.TrimSpace(line)))
		}
		_ = c.Close()
	}
}

// changeLine is what testdata/iphlpapi.go asks for.
var changeLine = regexp.MustCompile(`^(address|route|device) (add|del|set) ([0-9./]+) on (\d+)( metric \d+)?$`)

// The errors of winerror.h that a change may have.
const (
	done             = 0
	invalidParameter = 87
	notFound         = 1168
	alreadyExists    = 5010
)

// change makes one and returns the number of an error of Windows.
func (a *adapter) change(line string) int {
	found := changeLine.FindStringSubmatch(line)
	if found == nil || found[4] != fmt.Sprint(a.index) {
		return invalidParameter
	}
	args := []string{found[1], found[2], found[3], "dev", adapterName}
	switch found[1] {
	case "route":
		args = append(args, strings.Fields(found[5])...)
	case "device":
		args = []string{"link", "set", adapterName, "mtu", found[3]}
	}
	out, err := exec.Command("ip", args...).CombinedOutput()
	switch {
	case err == nil && found[1] == "device":
		return done
	case err == nil:
		a.mu.Lock()
		a.made = append(a.made, strings.Join(found[1:4], " "))
		a.mu.Unlock()
		return done
	case strings.Contains(string(out), "File exists"), strings.Contains(string(out), "already assigned"):
		return alreadyExists
	case strings.Contains(string(out), "No such process"), strings.Contains(string(out), "Cannot assign"), strings.Contains(string(out), "not found"):
		return notFound
	}
	return invalidParameter
}

// changed are the changes of addresses and routes since the last call.
func (a *adapter) changed() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.made
	a.made = nil
	return out
}

// left is what the device has of addresses and routes of IPv4.
func (a *adapter) left(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("sh", "-euc", `ip -4 -oneline address show dev "$1"
ip -4 route show dev "$1"`, "_", adapterName).CombinedOutput()
	if err != nil {
		t.Fatalf("look at %s: %v: %s", adapterName, err, out)
	}
	return string(out)
}
