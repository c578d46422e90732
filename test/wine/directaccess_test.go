package wine

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The policy in platform/directaccess/testdata/client.reg.
const (
	corporatePrefix = "fd12:3456:789a:7777::/96" // by NCSI's probe: fd12:3456:789a:7777::7f00:1
	corporateDNS    = "fd12:3456:789a:3333::1"   // of the NRPT for corp.example.com
	corporateTunnel = "iphttps0"
)

// TestDirectAccess goes from the registry of a DirectAccess client to the candidate of
// the service, and to the name server that the NRPT sets for a name.
func TestDirectAccess(t *testing.T) {
	m := need(t)
	if r := m.wine(t, "", "regedit", "/S", `C:\source\platform\directaccess\testdata\client.reg`); r.code != 0 {
		t.Fatalf("fill the registry: %v", r)
	}
	tunnel := exec.Command("sh", "-euc", `ip tuntap add mode tun name "$1"
ip address add 2001:db8:da::2/64 dev "$1" nodad
ip link set "$1" up
ip route add fd12:3456:789a::/48 dev "$1"`, "_", corporateTunnel)
	if out, err := tunnel.CombinedOutput(); err != nil {
		t.Fatalf("make tunnel: %v: %s", err, out)
	}
	t.Cleanup(func() {
		m.remove(t, "ProgramData/Reach64/reach64.toml")
		m.wine(t, "", `C:\programs\reach64.exe`, "service", "uninstall")
		for _, key := range []string{`HKLM\SOFTWARE\Policies\Microsoft`, `HKLM\SYSTEM\CurrentControlSet\Services\Dnscache\Parameters\DnsPolicyConfig`} {
			if r := m.wine(t, "", "reg", "delete", key, "/f"); r.code != 0 {
				t.Errorf("delete %s: %v", key, r)
			}
		}
		if out, err := exec.Command("ip", "link", "del", corporateTunnel).CombinedOutput(); err != nil {
			t.Errorf("remove tunnel: %v: %s", err, out)
		}
	})
	m.write(t, "ProgramData/Reach64/reach64.toml", []byte("[[server]]\r\nname = \"backup.corp.example.com\"\r\n"))
	m.reach64(t, 0, "service", "install")
	m.reach64(t, 0, "service", "start")
	t.Run("prefix", func(t *testing.T) {
		s := m.until(t, "the system's prefix is found", func(s statusOf) bool {
			return slices.ContainsFunc(s.Sources, func(o sourceOf) bool { return o.Source == "os" && o.Verdict == "found" })
		})
		for _, o := range s.Sources {
			if o.Source == "os" && (o.Link == nil || *o.Link != corporateTunnel || !slices.Equal(o.Prefixes, []string{corporatePrefix})) {
				t.Errorf("the system says %+v, want %s on %s", o, corporatePrefix, corporateTunnel)
			}
		}
	})
	t.Run("name servers", func(t *testing.T) {
		s := m.until(t, "the name was asked for", func(s statusOf) bool { return len(s.Servers) == 1 && s.Servers[0].Error != nil })
		if !strings.Contains(*s.Servers[0].Error, corporateDNS) {
			t.Errorf("error %q, want that of %s", *s.Servers[0].Error, corporateDNS)
		}
	})
}
