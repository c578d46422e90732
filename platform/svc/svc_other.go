//go:build !linux

package svc

// monotonic has no meaning without systemd.
func monotonic() (uint64, bool) { return 0, false }
