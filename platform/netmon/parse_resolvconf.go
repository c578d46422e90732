package netmon

import (
	"bytes"
	"net/netip"
)

// parseResolvConf returns the name servers of a resolv.conf in order, and skips
// what it does not understand, as the resolver does.
func parseResolvConf(text []byte) []netip.Addr {
	var out []netip.Addr
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(string(fields[1])); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}
