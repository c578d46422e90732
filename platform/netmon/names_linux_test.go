package netmon

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

// run watches until the test ends, and returns when the watch has begun.
func run(t *testing.T, m *Monitor) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	told(t, m, "the begin of the watch")
}

func told(t *testing.T, m *Monitor, what string) {
	t.Helper()
	select {
	case <-m.Changed():
	case <-time.After(10 * time.Second):
		t.Fatalf("not told of %s", what)
	}
}

// servers waits until these name servers are known: the system's, and those of a link.
func servers(t *testing.T, m *Monitor, what, system, own string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s := take(t, m)
		l, _ := s.LinkByName("eth0")
		if words(s.Resolvers) == system && words(l.DNS) == own {
			return
		}
		select {
		case <-m.Changed():
		case <-deadline:
			t.Fatalf("%s: name servers %q, of the link %q; want %q, %q", what, words(s.Resolvers), words(l.DNS), system, own)
		}
	}
}

func put(t *testing.T, root, file, text string) {
	t.Helper()
	path := filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"~", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil { // as all of these programs do
		t.Fatal(err)
	}
}

// TestFilesOfNameServers: each change is told, also of a file that was not there, and
// of one behind a symbolic link.
func TestFilesOfNameServers(t *testing.T) {
	m := start(t)
	a, b := pair(t)
	up(t, a, b)
	waitUp(t, m, "eth0")
	m.root = t.TempDir()
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(m.root, "none"))
	put(t, m.root, "etc/hosts", "")
	put(t, m.root, "run/lock", "")
	run(t, m)
	put(t, m.root, "etc/resolv.conf", "nameserver 2001:db8::1\n")
	servers(t, m, "resolv.conf appears", "2001:db8::1", "")
	put(t, m.root, "etc/resolv.conf", "nameserver 2001:db8::2\n")
	servers(t, m, "it is replaced", "2001:db8::2", "")
	if err := os.WriteFile(filepath.Join(m.root, "etc/resolv.conf"), []byte("nameserver 2001:db8::3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	servers(t, m, "it is written in place", "2001:db8::3", "")
	put(t, m.root, "run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n")
	if err := os.Remove(filepath.Join(m.root, "etc/resolv.conf")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../run/systemd/resolve/stub-resolv.conf", filepath.Join(m.root, "etc/resolv.conf")); err != nil {
		t.Fatal(err)
	}
	servers(t, m, "a stub", "127.0.0.53", "")
	put(t, m.root, "run/systemd/resolve/resolv.conf", "nameserver 2001:db8::4\n")
	servers(t, m, "whom the stub asks", "127.0.0.53 2001:db8::4", "")
	put(t, m.root, "run/systemd/netif/links/"+strconv.Itoa(a.Attrs().Index), "DNS=2001:db8::5\n")
	servers(t, m, "networkd tells link by link", "127.0.0.53", "2001:db8::5")
}

// busAt starts a message bus of its own.
func busAt(t *testing.T, dir string) (address string) {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		if os.Getenv("REACH64_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	put(t, dir, "bus.conf", `<busconfig><type>system</type><listen>unix:path=`+filepath.Join(dir, "bus")+`</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>`)
	c := exec.Command(daemon, "--config-file="+filepath.Join(dir, "bus.conf"), "--nofork", "--nopidfile")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return "unix:path=" + filepath.Join(dir, "bus")
}

// service plays one that has a property.
func service(t *testing.T, address, name string, path dbus.ObjectPath, iface, property string, value any) (set func(any), end func()) {
	t.Helper()
	var conn *dbus.Conn
	deadline := time.Now().Add(10 * time.Second)
	for {
		var err error
		if conn, err = dbus.Connect(address); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
	}
	p, err := prop.Export(conn, path, prop.Map{iface: {property: {Value: value, Emit: prop.EmitInvalidates}}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("own %s: %v, %v", name, r, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func(v any) { p.SetMust(iface, property, v) }, func() { _ = conn.Close() }
}

// TestMessageBus: systemd-resolved and NetworkManager tell of their servers, and of
// each change; their coming and going is noticed, and so is a bus that starts later.
func TestMessageBus(t *testing.T) {
	m := start(t)
	a, b := pair(t)
	up(t, a, b)
	waitUp(t, m, "eth0")
	m.root = t.TempDir()
	put(t, m.root, "etc/resolv.conf", "nameserver 127.0.0.53\n")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(m.root, "bus"))
	run(t, m)
	address := busAt(t, m.root)
	type server struct {
		Link, Family int32
		Addr         []byte
		Port         uint16
		Name         string
	}
	index := int32(a.Attrs().Index)
	set, end := service(t, address, resolved, resolvedPath, resolved+".Manager", "DNSEx", []server{{index, 10, raw6("2001:db8::53"), 0, ""}})
	servers(t, m, "systemd-resolved", "127.0.0.53", "2001:db8::53")
	set([]server{{index, 10, raw6("2001:db8::54"), 0, ""}, {index + 1, 10, raw6("2001:db8::55"), 0, ""}})
	servers(t, m, "it changes its mind", "127.0.0.53", "2001:db8::54")
	end()
	servers(t, m, "it ends", "127.0.0.53", "")
	service(t, address, manager, managerPath, manager+".DnsManager", "Configuration",
		[]map[string]dbus.Variant{{"interface": dbus.MakeVariant("eth0"), "nameservers": dbus.MakeVariant([]string{"2001:db8::56"})}})
	servers(t, m, "NetworkManager", "127.0.0.53", "2001:db8::56")
}

func raw6(text string) []byte { return netip.MustParseAddr(text).AsSlice() }
