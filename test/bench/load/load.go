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

// request is the head of each connection: mode, three zero bytes, and for how
// long in milliseconds, big endian.
type request struct {
	mode mode
	long time.Duration
}

const requestSize = 8

func (r request) bytes() []byte {
	b := make([]byte, requestSize)
	b[0] = byte(r.mode)
	binary.BigEndian.PutUint32(b[4:], uint32(r.long.Milliseconds()))
	return b
}

// parseRequest reads the requestSize bytes of b.
func parseRequest(b []byte) (request, error) {
	r := request{mode: mode(b[0]), long: time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Millisecond}
	switch {
	case r.mode != upload && r.mode != download && r.mode != echo, b[1]|b[2]|b[3] != 0:
		return request{}, fmt.Errorf("read request: % x is none", b)
	case r.long > time.Hour:
		return request{}, fmt.Errorf("read request: %v is longer than an hour", r.long)
	}
	return r, nil
}
