//go:build !windows

package osinfo

// NativeCLAT returns "": macOS marks the address of its CLAT, which a snapshot has, and
// the CLATs of Linux are programs of their own.
func NativeCLAT() (string, error) { return "", nil }
