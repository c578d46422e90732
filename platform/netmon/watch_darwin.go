package netmon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lookEvery is how often the state is read without news: new name servers of a link,
// and the end of a sleep, are not announced by routing messages.
const lookEvery = 15 * time.Second

// watch passes the messages of a routing socket on until ctx ends.
func (m *Monitor) watch(ctx context.Context, changed chan<- struct{}) error {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("open routing socket: %w", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("open routing socket: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "routing socket")
	news := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	news()                      // what changed before now was not announced
	done := make(chan error, 1) // one value, from the goroutine below
	go func() {
		buf := make([]byte, 64<<10)
		for {
			_, err := socket.Read(buf)
			switch {
			case err == nil, errors.Is(err, unix.ENOBUFS): // messages were lost: look, too
				news()
			default:
				done <- err
				return
			}
		}
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = socket.Close()
			<-done
			return nil
		case err := <-done:
			_ = socket.Close()
			return fmt.Errorf("read routing socket: %w", err)
		case <-tick.C:
			news()
		}
	}
}
