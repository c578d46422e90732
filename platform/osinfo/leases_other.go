//go:build !linux

package osinfo

import "time"

// IPv6Mostly returns "": where this system keeps its leases is not known.
func IPv6Mostly(_, _ string, _ int, _ time.Time) string { return "" }

// Portal returns "" likewise.
func Portal(_, _ string, _ int, _ time.Time) string { return "" }
