package netmon

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watchClock signals when the wall clock jumps, which it also does when the machine
// wakes from sleep: timers of Go stand still meanwhile and would tell late.
func watchClock(ctx context.Context, changed chan<- struct{}) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("watch the clock: %w", err)
	}
	f := os.NewFile(uintptr(fd), "clock")
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer func() {
		if stop() {
			_ = f.Close()
		}
	}()
	// A moment that never comes; a jump cancels it (timerfd_create(2)).
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 33}}
	for buf := make([]byte, 8); ; {
		if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil); err != nil && ctx.Err() == nil {
			return fmt.Errorf("watch the clock: %w", err)
		}
		_, err := f.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, unix.ECANCELED):
			return fmt.Errorf("watch the clock: %w", err)
		}
		signal(changed)
	}
}
