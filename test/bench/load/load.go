// Package load makes traffic and takes it: the two ends of what test/bench
// measures. One process serves, another asks; both are plain sockets, so that the
// same code runs over whatever carries the packets.
//
// It is there in place of iperf3 since that runs all streams of a test in one
// thread with select, serves one test at a time, tells under heavy loss what did
// not happen, and has no connections per second. Here each stream has a goroutine
// of its own, hundreds start in the same moment, and a server serves any number of
// clients. It measures what was received, never what was sent.
package load

import (
	"encoding/binary"
	"fmt"
	"time"
)

// mode is what a client asks of the server.
type mode byte

const (
	upload   mode = 'u' // takes bytes for a while, then tells their number
	download mode = 'd' // gives bytes until the client has enough
	echo     mode = 'e' // gives one message back and closes
)

// bufSize is how much is read or written at once, in bytes.
const bufSize = 256 << 10

// request is the head of each connection: mode, three zero bytes, for how long in
// milliseconds (4 bytes), and how many bytes a second at most, 0 for no limit (8
// bytes), big endian.
type request struct {
	mode mode
	long time.Duration
	rate uint64
}

const requestSize = 16

func (r request) bytes() []byte {
	b := make([]byte, requestSize)
	b[0] = byte(r.mode)
	binary.BigEndian.PutUint32(b[4:], uint32(r.long.Milliseconds()))
	binary.BigEndian.PutUint64(b[8:], r.rate)
	return b
}

// parseRequest reads the requestSize bytes of b.
func parseRequest(b []byte) (request, error) {
	r := request{mode: mode(b[0]), long: time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Millisecond, rate: binary.BigEndian.Uint64(b[8:])}
	switch {
	case r.mode != upload && r.mode != download && r.mode != echo, b[1]|b[2]|b[3] != 0:
		return request{}, fmt.Errorf("read request: % x is none", b)
	case r.long > time.Hour:
		return request{}, fmt.Errorf("read request: %v is longer than an hour", r.long)
	}
	return r, nil
}

// pause waits until n of something, of which rate may happen in a second, are due
// since begin.
func pause(begin time.Time, n uint64, rate float64) {
	if rate <= 0 {
		return
	}
	if early := time.Duration(float64(n)/rate*1e9) - time.Since(begin); early > 0 {
		time.Sleep(early)
	}
}
