package osinfo

import (
	"fmt"
	"os"
)

// Capabilities reads the effective capabilities of this process.
func Capabilities() (CapabilitySet, error) {
	// Of the thread that asks; the threads of a Go program have the same.
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return CapabilitySet{}, fmt.Errorf("read capabilities: %w", err)
	}
	return parseCapabilities(status)
}
