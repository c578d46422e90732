//go:build !linux

package osinfo

import "github.com/reach64/reach64/platform"

// ReadCapabilities is for Linux alone: elsewhere an administrator has all rights.
func ReadCapabilities() (Capabilities, error) {
	return Capabilities{}, platform.Unsupported("capabilities of a process")
}
