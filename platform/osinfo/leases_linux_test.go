package osinfo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dhclient's file, as it writes it: each renewal adds a lease.
const dhclientLeases = `lease {
  interface "wlan0";
  fixed-address 192.0.2.9;
  expire 4 2026/11/26 12:00:00;
}
lease {
  interface "eth0";
  fixed-address 192.0.2.7;
  option subnet-mask 255.255.255.0;
  option unknown-108 0:0:7:8;
  renew 2 2026/11/24 09:00:00;
  expire 4 2026/11/26 12:00:00;
}
`

// keep writes a file below a root of its own.
func keep(t *testing.T, name, text string) (root, file string) {
	t.Helper()
	root = t.TempDir()
	file = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return root, file
}

func TestIPv6Mostly(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	tests := map[string]struct{ file, text, want string }{
		"dhclient":                             {"var/lib/dhcp/dhclient.eth0.leases", dhclientLeases, "30m0s"},
		"dhclient, named option":               {"var/lib/dhclient/dhclient.leases", strings.Replace(dhclientLeases, "unknown-108 0:0:7:8", "ipv6-only-preferred 600", 1), "10m0s"},
		"dhclient, of another link":            {"var/lib/dhcp/dhclient.leases", strings.Replace(dhclientLeases, `"eth0"`, `"eth1"`, 1), ""},
		"dhclient, run out":                    {"var/lib/dhcp/dhclient.leases", strings.ReplaceAll(dhclientLeases, "11/26", "11/23"), ""},
		"dhclient, run out, in epoch seconds":  {"var/lib/dhcp/dhclient.leases", strings.ReplaceAll(dhclientLeases, "expire 4 2026/11/26 12:00:00", "expire epoch 1700000000"), ""},
		"dhclient, the next one is without it": {"var/lib/dhcp/dhclient.leases", dhclientLeases + "lease {\n  interface \"eth0\";\n  fixed-address 192.0.2.7;\n}\n", ""},
		"dhclient, three bytes":                {"var/lib/dhcp/dhclient.leases", strings.Replace(dhclientLeases, "0:0:7:8", "0:7:8", 1), ""},
		"NetworkManager":                       {"var/lib/NetworkManager/internal-6ba7b810-9dad-11d1-80b4-00c04fd430c8-eth0.lease", "# private\nADDRESS=192.0.2.7\nOPTION_108=00000708\n", "30m0s"},
		"NetworkManager, of another link":      {"var/lib/NetworkManager/internal-6ba7b810-9dad-11d1-80b4-00c04fd430c8-eth1.lease", "OPTION_108=00000708\n", ""},
		"networkd":                             {"run/systemd/netif/leases/2", "ADDRESS=192.0.2.7\nIPV6_ONLY_PREFERRED_SEC=60\n", "5m0s"},
		"networkd, of another link":            {"run/systemd/netif/leases/3", "IPV6_ONLY_PREFERRED_SEC=60\n", ""},
		"networkd, without":                    {"run/systemd/netif/leases/2", "ADDRESS=192.0.2.7\n", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root, file := keep(t, tt.file, tt.text)
			got := IPv6Mostly(root, "eth0", 2, now)
			if tt.want == "" && got != "" || tt.want != "" && (!strings.Contains(got, "for "+tt.want) || !strings.Contains(got, file)) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestPortal(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	const uri = "https://portal.example/api"
	with := func(option string) string {
		return strings.Replace(dhclientLeases, "option unknown-108 0:0:7:8", option, 1)
	}
	tests := map[string]struct{ file, text, want string }{
		"dhclient, text":                {"var/lib/dhcp/dhclient.leases", with(`option v4-captive-portal "` + uri + `"`), uri},
		"dhclient, by its older name":   {"var/lib/dhcp/dhclient.leases", with(`option default-url "` + uri + `"`), uri},
		"dhclient, bytes":               {"var/lib/dhcp/dhclient.leases", with("option unknown-114 68:74:74:70:73:3a:2f:2f:70:2e:65:78:2f"), "https://p.ex/"},
		"networkd":                      {"run/systemd/netif/leases/2", "CAPTIVE_PORTAL=" + uri + "\n", uri},
		"without encryption":            {"run/systemd/netif/leases/2", "CAPTIVE_PORTAL=http://portal.example/\n", ""},
		"the word that there is none":   {"run/systemd/netif/leases/2", "CAPTIVE_PORTAL=urn:ietf:params:capport:unrestricted\n", ""},
		"dhclient, run out":             {"var/lib/dhcp/dhclient.leases", strings.ReplaceAll(with(`option default-url "`+uri+`"`), "11/26", "11/23"), ""},
		"dhclient, nothing of the kind": {"var/lib/dhcp/dhclient.leases", dhclientLeases, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root, _ := keep(t, tt.file, tt.text)
			if got := Portal(root, "eth0", 2, now); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzParseLeases: what a file may hold, and that only numbers become a wait.
func FuzzParseLeases(f *testing.F) {
	f.Add(dhclientLeases)
	f.Add("OPTION_108=00000708\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range parseLeases(text) {
			if l.portal != "" && !strings.HasPrefix(strings.ToLower(l.portal), "https://") {
				t.Errorf("portal %q", l.portal)
			}
			if l.v6only < 0 || l.v6only > 0 && l.v6only < minV6OnlyWait {
				t.Errorf("waits %v", l.v6only)
			}
		}
	})
}
