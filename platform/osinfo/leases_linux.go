package osinfo

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// maxLease bounds a lease file, bytes: dhclient's grow.
const maxLease = 1 << 20

// files are where DHCPv4 clients keep the leases of a link, below the root.
func files(link string, index int) []string {
	return []string{
		fmt.Sprintf("run/systemd/netif/leases/%d", index),
		"var/lib/NetworkManager/internal-*-" + link + ".lease",
		"var/lib/NetworkManager/dhclient-*-" + link + ".lease",
		"var/lib/dhcp/dhclient*.leases",
		"var/lib/dhclient/dhclient*.leases",
	}
}

// IPv6Mostly tells whether the link's DHCPv4 lease carries option 108, by which the
// network asks hosts that can to do without IPv4 (RFC 8925). It looks at the leases
// of dhclient, NetworkManager and systemd-networkd below root, which is "/". The text
// says where it was found, "" nowhere.
func IPv6Mostly(root, link string, index int, now time.Time) (text string) {
	each(root, link, index, now, func(file string, l lease) bool {
		if l.v6only > 0 {
			text = fmt.Sprintf("DHCPv4 option 108 (IPv6-only preferred) for %s in %s", l.v6only, file)
		}
		return text == ""
	})
	return text
}

// Portal returns the address of the captive portal's API that the link's DHCPv4 lease
// carries as option 114 (RFC 8910), "" for none. It looks where IPv6Mostly does.
func Portal(root, link string, index int, now time.Time) (uri string) {
	each(root, link, index, now, func(_ string, l lease) bool {
		uri = l.portal
		return uri == ""
	})
	return uri
}

// each gives the last lease of the link in each file, if it has not run out, to f, as
// long as that returns true.
func each(root, link string, index int, now time.Time, f func(file string, l lease) bool) {
	for _, pattern := range files(link, index) {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is good
		for _, file := range found {
			if l, ok := last(file, link, now); ok && !f(file, l) {
				return
			}
		}
	}
}

// last is the last lease of the link in a file, unless it has run out.
func last(file, link string, now time.Time) (one lease, ok bool) {
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() > maxLease {
		return lease{}, false
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return lease{}, false
	}
	for _, l := range parseLeases(string(text)) {
		if l.link == "" || l.link == link {
			one, ok = l, l.expires.IsZero() || now.Before(l.expires)
		}
	}
	return one, ok
}
