package osinfo

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// maxLease bounds a lease file, bytes: dhclient's grow.
const maxLease = 1 << 20

// IPv6Mostly tells whether the link's DHCPv4 lease carries option 108, by which the
// network asks hosts that can to do without IPv4 (RFC 8925). It looks at the leases
// of dhclient, NetworkManager and systemd-networkd below root, which is "/". The text
// says where it was found, "" nowhere.
func IPv6Mostly(root, link string, index int, now time.Time) string {
	for _, pattern := range []string{
		fmt.Sprintf("run/systemd/netif/leases/%d", index),
		"var/lib/NetworkManager/internal-*-" + link + ".lease",
		"var/lib/NetworkManager/dhclient-*-" + link + ".lease",
		"var/lib/dhcp/dhclient*.leases",
		"var/lib/dhclient/dhclient*.leases",
	} {
		files, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is good
		for _, file := range files {
			if wait, ok := mostly(file, link, now); ok {
				return fmt.Sprintf("DHCPv4 option 108 (IPv6-only preferred) for %s in %s", wait, file)
			}
		}
	}
	return ""
}

// mostly looks at the last lease of the link in a file, unless it has run out.
func mostly(file, link string, now time.Time) (wait time.Duration, ok bool) {
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() > maxLease {
		return 0, false
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for _, l := range parseLeases(string(text)) {
		if l.link != "" && l.link != link {
			continue
		}
		wait = l.v6only
		if !l.expires.IsZero() && !now.Before(l.expires) {
			wait = 0
		}
	}
	return wait, wait > 0
}
