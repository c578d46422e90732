//go:build !linux

package tun

import (
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// port has no content: open never gives a Device here.
type port struct{}

func open(string) (*Device, error) { return nil, platform.Unsupported("TUN device with offloads") }

func (port) readPacket([]byte) (vnethdr.Header, int, error) {
	return vnethdr.Header{}, 0, platform.Unsupported("TUN device with offloads")
}

func (port) writePacket(vnethdr.Header, []byte, []byte) error {
	return platform.Unsupported("TUN device with offloads")
}

func (port) close() error { return platform.Unsupported("TUN device with offloads") }

func check() error { return platform.Unsupported("TUN device") }
