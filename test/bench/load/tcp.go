package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Streams is a test of TCP streams side by side.
type Streams struct {
	Addr    string        `json:"addr"` // HOST:PORT of the server
	N       int           `json:"n"`
	Down    bool          `json:"down"` // the server sends
	Long    time.Duration `json:"long"`
	Rate    float64       `json:"rate"`    // bytes a second of all streams together, 0: as fast as it goes
	Patient time.Duration `json:"patient"` // how long connecting may take
}

// StreamsResult is what became of it.
type StreamsResult struct {
	Bytes   []uint64      `json:"bytes"` // received within the time, per stream
	Errors  []string      `json:"errors"`
	Connect time.Duration `json:"connect"` // until all streams were connected
}

// Run connects all streams, then starts them together.
func (s Streams) Run(ctx context.Context) StreamsResult {
	r := StreamsResult{Bytes: make([]uint64, s.N)}
	var mu sync.Mutex // guards r.Errors
	fail := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		r.Errors = append(r.Errors, fmt.Sprintf("stream %d: %v", i, err))
	}
	begin := time.Now()
	conns := make([]*net.TCPConn, s.N)
	var all sync.WaitGroup
	for i := range conns {
		all.Go(func() {
			d := net.Dialer{Timeout: s.Patient}
			conn, err := d.DialContext(ctx, "tcp", s.Addr)
			if err != nil {
				fail(i, err)
				return
			}
			conns[i] = conn.(*net.TCPConn)
		})
	}
	all.Wait()
	r.Connect = time.Since(begin)
	for i, conn := range conns {
		if conn == nil {
			continue
		}
		all.Go(func() {
			defer conn.Close()
			n, err := s.stream(conn)
			if r.Bytes[i] = n; err != nil {
				fail(i, err)
			}
		})
	}
	all.Wait()
	return r
}

func (s Streams) stream(conn *net.TCPConn) (uint64, error) {
	r := request{mode: upload, long: s.Long, rate: uint64(s.Rate / float64(s.N))}
	if s.Down {
		r.mode = download
	}
	if _, err := conn.Write(r.bytes()); err != nil {
		return 0, err
	}
	until := time.Now().Add(s.Long)
	_ = conn.SetReadDeadline(until.Add(20 * time.Second))
	if s.Down {
		return take(conn, until)
	}
	if err := give(conn, until, s.Rate/float64(s.N)); err != nil {
		return 0, err
	}
	if err := conn.CloseWrite(); err != nil {
		return 0, err
	}
	var count [8]byte
	if _, err := io.ReadFull(conn, count[:]); err != nil {
		return 0, fmt.Errorf("read the server's count: %w", err)
	}
	return binary.BigEndian.Uint64(count[:]), nil
}
