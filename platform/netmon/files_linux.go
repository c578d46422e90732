package netmon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// Where name servers and leases are written down, relative to the root. A folder that
// is not there yet is waited for in the one above.
var (
	resolvConf = "etc/resolv.conf"
	folders    = []string{"run/systemd/resolve", "run/systemd/resolve/netif", "run/systemd/netif/links", "run/systemd/netif/leases",
		"run/NetworkManager", "run/resolvconf", "var/lib/NetworkManager", "var/lib/dhcp", "var/lib/dhclient"}
	above = []string{"etc", "run", "run/systemd", "run/systemd/netif"}
)

// watchFiles signals when one of these files changes, which no notification of the
// kernel's tells: a DHCP client writes it after it has set the routes.
func (m *Monitor) watchFiles(ctx context.Context, changed chan<- struct{}) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch files of name servers: %w", err)
	}
	defer w.Close()
	m.look(w)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors: // an overflow, which may have hidden a change
			m.log.WithError(err).Debug("watch files of name servers")
		case e := <-w.Events:
			if e.Op == fsnotify.Chmod || !m.concerns(e.Name) {
				continue
			}
		}
		m.look(w)
		signal(changed)
	}
}

// look watches what is there. What is watched already is no error.
func (m *Monitor) look(w *fsnotify.Watcher) {
	for _, p := range slices.Concat([]string{resolvConf}, folders, above) {
		_ = w.Add(filepath.Join(m.root, p)) // not there: the one above tells when it is
	}
}

// concerns tells whether a file, or a folder that has come or gone, is one of ours.
func (m *Monitor) concerns(file string) bool {
	rel, err := filepath.Rel(m.root, file)
	return err == nil && (rel == resolvConf || slices.Contains(folders, rel) || slices.Contains(folders, filepath.Dir(rel)) ||
		slices.Contains(above, rel) && rel != "etc" && rel != "run")
}
