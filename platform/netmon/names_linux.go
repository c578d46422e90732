package netmon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/reach64/reach64/platform/netstate"
)

// names puts the name servers into a snapshot: those of each link as the message bus
// or the services' files tell, and those of resolv.conf. Where that names only a stub of
// this machine and nothing is known link by link, the list that the stub itself works
// with comes in too.
func (m *Monitor) names(s *netstate.Snapshot) {
	var k known
	if b := m.bus.Load(); b != nil {
		k = *b
	}
	if k.empty() {
		for _, l := range s.Links {
			for _, pattern := range []string{"run/systemd/resolve/netif/%d", "run/systemd/netif/links/%d"} {
				if text, err := os.ReadFile(filepath.Join(m.root, fmt.Sprintf(pattern, l.Index))); err == nil {
					k.parseLinkFile(l.Index, text)
				}
			}
		}
	}
	for i := range s.Links {
		s.Links[i].DNS = k.of(s.Links[i])
	}
	s.Resolvers = m.read(resolvConf)
	if onlyStubs(s.Resolvers) && k.empty() {
		for _, file := range []string{"run/systemd/resolve/resolv.conf", "run/NetworkManager/no-stub-resolv.conf"} {
			for _, a := range m.read(file) {
				s.Resolvers = with(s.Resolvers, a)
			}
		}
	}
	for _, a := range k.everywhere() {
		s.Resolvers = with(s.Resolvers, a)
	}
}

// read reads a file in the form of resolv.conf; one that is not there has no servers.
func (m *Monitor) read(file string) []netip.Addr {
	text, err := os.ReadFile(filepath.Join(m.root, file))
	if err != nil {
		return nil
	}
	return parseResolvConf(text)
}

// empty tells whether nothing is known of any link in particular.
func (k known) empty() bool {
	for link := range k.index {
		if link != 0 {
			return false
		}
	}
	for link := range k.name {
		if link != "" {
			return false
		}
	}
	return true
}
