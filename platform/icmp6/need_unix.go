//go:build unix && !linux

package icmp6

// need is what opening the socket needs.
const need = "root"
