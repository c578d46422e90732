//go:build !linux && !windows && !darwin

package tun

import (
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// port has no content: open never gives a Device here.
type port struct{}

var errUnsupported = platform.Unsupported("TUN device with offloads")

func open(string, int) (*Device, error) { return nil, errUnsupported }

func (port) readPacket([]byte) (vnethdr.Header, int, error) {
	return vnethdr.Header{}, 0, errUnsupported
}

func (port) readBatch([]byte, []vnethdr.Packet) (int, error)  { return 0, errUnsupported }
func (port) writePacket(vnethdr.Header, []byte, []byte) error { return errUnsupported }
func (port) writeParts(vnethdr.Header, [][]byte) error        { return errUnsupported }
func (port) attend() error                                    { return errUnsupported }
func (*Device) close() error                                  { return errUnsupported }
func check() error                                            { return platform.Unsupported("TUN device") }

// hasOffloads: packets carry their offload state.
const hasOffloads = true
