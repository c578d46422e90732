package osinfo

import (
	"fmt"
	"os"
)

// ReadCapabilities reads the effective capabilities of this process.
func ReadCapabilities() (Capabilities, error) {
	// Of the thread that asks; the threads of a Go program have the same.
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return Capabilities{}, fmt.Errorf("read capabilities: %w", err)
	}
	return parseCapabilities(status)
}
