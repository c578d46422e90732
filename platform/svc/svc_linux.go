package svc

import "golang.org/x/sys/unix"

// monotonic is CLOCK_MONOTONIC in microseconds, as sd_notify(3) wants it.
func monotonic() (uint64, bool) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, false
	}
	return uint64(t.Nano() / 1000), true
}
