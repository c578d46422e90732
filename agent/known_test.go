package agent

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/directaccess"
)

func TestPrefixOfDirectAccess(t *testing.T) {
	b, err := os.ReadFile("../platform/directaccess/testdata/client.reg")
	if err != nil {
		t.Fatal(err)
	}
	tree, _, err := directaccess.ParseReg(b)
	if err != nil {
		t.Fatal(err)
	}
	tunnel := directaccess.Adapter{Index: 17, TunnelType: 15, Addrs: []netip.Addr{netip.MustParseAddr("fd12:3456:789a:1000::5")}}
	log, hook := logtest.NewNullLogger()
	var fails error
	known := systemPrefixes(log, func() (directaccess.Tree, []directaccess.Adapter, error) {
		return tree, []directaccess.Adapter{tunnel}, fails
	})
	if got := known(); got != nil {
		t.Errorf("tunnel down: %v", got)
	}
	tunnel.Up = true
	if got := known(); len(got) != 1 || len(got[17]) != 1 || got[17][0].Prefix.String() != "fd12:3456:789a:7777::/96" || got[17][0].Reason == "" {
		t.Errorf("tunnel up: %v", got)
	}
	fails = platform.Unsupported("x")
	if got := known(); got != nil || len(hook.Entries) != 0 {
		t.Errorf("another system: %v, logged %v", got, hook.Entries)
	}
	fails = errors.New("access denied")
	known()
	known()
	if len(hook.Entries) != 1 || hook.LastEntry().Level != logrus.WarnLevel {
		t.Errorf("logged %d times, want once", len(hook.Entries))
	}
	fails = nil
	known()
	fails = errors.New("access denied")
	if known(); len(hook.Entries) != 2 {
		t.Errorf("logged %d times, want once more", len(hook.Entries))
	}
}

// Names of the organization go to its servers, others to the network's.
func TestNameServersByPolicy(t *testing.T) { // DA-20, DA-21, MSDA-4
	b, err := os.ReadFile("../platform/directaccess/testdata/client.reg")
	if err != nil {
		t.Fatal(err)
	}
	tree, _, err := directaccess.ParseReg(b)
	if err != nil {
		t.Fatal(err)
	}
	var fails error
	tunnel := directaccess.Adapter{Index: 17, TunnelType: 15, Up: true, Addrs: []netip.Addr{netip.MustParseAddr("fd12:3456:789a:1000::5")}}
	log, _ := logtest.NewNullLogger()
	var e Edges
	UseDirectAccess(&e, log, func() (directaccess.Tree, []directaccess.Adapter, error) {
		return tree, []directaccess.Adapter{tunnel}, fails
	})
	for _, name := range []string{"backup.corp.example.com", "corp.example.com", "Backup.CORP.example.com."} {
		if got := e.NameServers(name); len(got) == 0 || got[0] != netip.MustParseAddr("fd12:3456:789a:3333::1") || !e.Corporate(name) {
			t.Errorf("%s: %v, want the organization's server", name, got)
		}
	}
	for _, name := range []string{"www.example.org", "nls.corp.example.com"} {
		if got := e.NameServers(name); len(got) != 0 || e.Corporate(name) {
			t.Errorf("%s: %v, want the network's own", name, got)
		}
	}
	if got := e.Probes(); len(got) == 0 || got[0].Name != "directaccess-corpconnectivityhost.corp.example.com" {
		t.Errorf("names that reveal the prefix: %v", got)
	}
	tunnel.Up = false // inside, or nowhere
	if got := e.NameServers("backup.corp.example.com"); len(got) != 0 || e.Corporate("backup.corp.example.com") || len(e.Probes()) != 0 {
		t.Errorf("without a tunnel: %v, want the network's own", got)
	}
	if got := e.NameServers("host.lab.corp.example.com"); len(got) != 1 || e.Corporate("host.lab.corp.example.com") {
		t.Errorf("servers for everywhere: %v", got)
	}
	fails = platform.Unsupported("x")
	if got := e.NameServers("backup.corp.example.com"); got != nil {
		t.Errorf("another system: %v", got)
	}
}
