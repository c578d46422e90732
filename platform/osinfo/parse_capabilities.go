package osinfo

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// CapabilitySet is the rights of this process among those that reach64 uses, by
// name, such as "CAP_NET_ADMIN".
type CapabilitySet struct {
	Present, Missing []string
}

// Has tells whether the process has the capability of this name.
func (c CapabilitySet) Has(name string) bool { return slices.Contains(c.Present, name) }

// The capabilities that reach64 uses, with their bits of linux/capability.h.
var used = []struct {
	name string
	bit  uint
}{
	{"CAP_NET_ADMIN", 12},
	{"CAP_NET_RAW", 13},
	{"CAP_SYS_ADMIN", 21},
	{"CAP_BPF", 39}, // since Linux 5.8; CAP_SYS_ADMIN before
}

// parseCapabilities reads the effective capabilities of a /proc/PID/status, a
// number in hexadecimal (proc_pid_status(5), CapEff).
func parseCapabilities(status []byte) (CapabilitySet, error) {
	for line := range bytes.Lines(status) {
		text, ok := bytes.CutPrefix(line, []byte("CapEff:"))
		if !ok {
			continue
		}
		text = bytes.TrimSpace(text)
		set, err := strconv.ParseUint(string(text), 16, 64)
		if err != nil {
			return CapabilitySet{}, fmt.Errorf("read capabilities: CapEff is %q: %w", text, err)
		}
		var c CapabilitySet
		for _, u := range used {
			if set>>u.bit&1 == 1 {
				c.Present = append(c.Present, u.name)
			} else {
				c.Missing = append(c.Missing, u.name)
			}
		}
		return c, nil
	}
	return CapabilitySet{}, fmt.Errorf("read capabilities: no line CapEff in %d bytes", len(status))
}
