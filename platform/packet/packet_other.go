//go:build !linux

package packet

import (
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// port has no content: open never gives a Port here.
type port struct{}

const feature = "raw frames on an interface"

func open(string) (*Port, error) { return nil, platform.Unsupported(feature) }

func (port) read([]byte) (vnethdr.Header, int, error) {
	return vnethdr.Header{}, 0, platform.Unsupported(feature)
}

func (port) write(vnethdr.Header, []byte) error { return platform.Unsupported(feature) }

func (port) close() error { return platform.Unsupported(feature) }
