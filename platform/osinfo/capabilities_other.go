//go:build !linux

package osinfo

import "github.com/reach64/reach64/platform"

// Capabilities is for Linux alone: elsewhere an administrator has all rights.
func Capabilities() (CapabilitySet, error) {
	return CapabilitySet{}, platform.Unsupported("capabilities of a process")
}
