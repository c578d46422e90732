package osinfo

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel's own answer to capget(2) is the oracle.
func TestCapabilitiesOfAThread(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give capabilities away")
	}
	runtime.LockOSThread() // never unlocked: capabilities are the thread's, which ends with the test
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
	check := func(step string) {
		c, err := Capabilities()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range used {
			if want := data[u.bit/32].Effective>>(u.bit%32)&1 == 1; c.Has(u.name) != want {
				t.Errorf("%s: Has(%s) = %v", step, u.name, !want)
			}
		}
	}
	check("as started")
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	data[1].Effective &^= 1 << (unix.CAP_BPF - 32)
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
	check("without two")
}
