package tun

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/reach64/reach64/tunnel/vnethdr"
)

func TestLibraryThatIsNotLoaded(t *testing.T) {
	library := filepath.Join(t.TempDir(), "wintun.dll")
	if err := os.WriteFile(library, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("no library"))
	for name, tt := range map[string]struct{ path, hash, want string }{
		"built without a hash": {library, "", "built without the hash"},
		"missing":              {filepath.Join(t.TempDir(), "wintun.dll"), "00", "is missing"},
		"another one":          {library, strings.Repeat("0", 64), "is not the library that this program was built for"},
		"no library at all":    {library, hex.EncodeToString(sum[:]), "load "},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := loadFrom(tt.path, tt.hash)
			if err == nil || h != 0 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v, want an error with %q", h, err, tt.want)
			}
		})
	}
}

// device opens one with the library of test/wine beside the test program.
func device(t *testing.T) *Device {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile(filepath.Join(filepath.Dir(program), "wintun.dll"))
	if err != nil {
		t.Skipf("no stand-in for the driver: %v", err)
	}
	sum := sha256.Sum256(library)
	WintunSHA256 = hex.EncodeToString(sum[:])
	t.Cleanup(func() { WintunSHA256 = "" })
	d, err := Open("clat%d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestPacketsGoThroughTheDevice(t *testing.T) {
	d := device(t)
	if d.Name() != "clat0" || d.Index() == 0 {
		t.Errorf("device %q with index %d", d.Name(), d.Index())
	}
	buf := make([]byte, MaxPacket)
	for _, packet := range []string{"\x45 first", "\x45 second", "\x60" + strings.Repeat("x", 1400)} {
		if err := d.WritePacket(vnethdr.Header{}, []byte(packet[:1]), []byte(packet[1:])); err != nil {
			t.Fatal(err)
		}
		h, n, err := d.ReadPacket(buf)
		if err != nil || h != (vnethdr.Header{}) || string(buf[:n]) != packet {
			t.Errorf("read %d bytes, %+v, %v, want %d the same", n, h, err, len(packet))
		}
	}
	if err := d.WritePacket(vnethdr.Header{}, []byte("\x45 long"), nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.ReadPacket(buf[:3]); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("a packet longer than the buffer: %v", err)
	}
	if err := d.WritePacket(vnethdr.Header{Flags: vnethdr.NeedsCsum}, []byte("\x45"), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a packet whose checksum is not complete: %v", err)
	}
}

func TestPacketsInParts(t *testing.T) {
	d := device(t)
	q := d.Queues()[0]
	if err := q.WriteParts(vnethdr.Header{}, [][]byte{[]byte("\x45 in"), []byte(" three"), []byte(" parts")}); err != nil {
		t.Fatal(err)
	}
	into := make([]vnethdr.Packet, 4)
	n, err := q.ReadBatch(make([]byte, BatchRoom), into)
	if err != nil || n != 1 || string(into[0].Data) != "\x45 in three parts" {
		t.Errorf("%d packets, %v, %q", n, err, into[0].Data)
	}
	if _, err := q.ReadBatch(make([]byte, 100), into); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("a short buffer: %v", err)
	}
	if d.Offloads() {
		t.Error("claims offloads")
	}
}

func TestFullRingLosesPackets(t *testing.T) {
	d := device(t)
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		err = d.WritePacket(vnethdr.Header{}, bytes.Repeat([]byte{0x45}, 100), nil)
	}
	if !errors.Is(err, windows.ERROR_BUFFER_OVERFLOW) {
		t.Errorf("err = %v, want that the ring is full", err)
	}
}

func TestCloseWakesTheReader(t *testing.T) {
	d := device(t)
	ended := make(chan error, 1)
	go func() {
		_, _, err := d.ReadPacket(make([]byte, MaxPacket))
		ended <- err
	}()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the reader ended with %v", err)
	}
	if err := d.WritePacket(vnethdr.Header{}, []byte{0x45}, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	if err := d.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestPacketsDoNotAllocate(t *testing.T) {
	d := device(t)
	buf, packet := make([]byte, MaxPacket), bytes.Repeat([]byte{0x45}, 1400)
	if n := testing.AllocsPerRun(100, func() {
		if err := d.WritePacket(vnethdr.Header{}, packet, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.ReadPacket(buf); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a packet", n)
	}
}

// The same name is the same network to Windows, another is another.
func TestGUIDOfAnAdapter(t *testing.T) {
	a, b := guidOf("clat0"), guidOf("clat1")
	if a == b || a != guidOf("clat0") {
		t.Errorf("GUIDs %v and %v", a, b)
	}
	if a.Data3>>12 != 8 || a.Data4[0]>>6 != 2 {
		t.Errorf("%v is not of version 8 (RFC 9562)", a)
	}
}
