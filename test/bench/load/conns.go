package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Connections is a test of connections that are opened, used for one byte there
// and one back, and closed.
type Connections struct {
	Addr    string        `json:"addr"`
	Workers int           `json:"workers"` // at the same time
	Long    time.Duration `json:"long"`
}

// ConnectionsResult is what became of it.
type ConnectionsResult struct {
	Done   int           `json:"done"`
	Took   time.Duration `json:"took"`
	Median time.Duration `json:"median"` // of one connection, from first to last packet
	Errors []string      `json:"errors"`
}

// Run opens connections until the time is over. The server closes first, so that
// its side and not the client's ports wait for late packets.
func (c Connections) Run(ctx context.Context) ConnectionsResult {
	var (
		r    ConnectionsResult
		mu   sync.Mutex // guards r and took
		took []time.Duration
		all  sync.WaitGroup
	)
	begin := time.Now()
	for range c.Workers {
		all.Go(func() {
			for ctx.Err() == nil && time.Since(begin) < c.Long {
				start := time.Now()
				err := once(ctx, c.Addr)
				mu.Lock()
				if err == nil {
					took = append(took, time.Since(start))
				} else if len(r.Errors) < 10 {
					r.Errors = append(r.Errors, err.Error())
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	r.Done, r.Took = len(took), time.Since(begin)
	if slices.Sort(took); len(took) > 0 {
		r.Median = took[len(took)/2]
	}
	return r
}

func once(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(append(request{mode: echo}.bytes(), '!')); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err == nil && string(got) != "!" {
		err = fmt.Errorf("got %q back, want %q", got, "!")
	}
	return err
}
