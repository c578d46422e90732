//go:build !linux

package packet

import (
	"context"

	"github.com/reach64/reach64/platform"
)

type sniffer struct{}

func sniff(string, int) (sniffer, error) { return sniffer{}, platform.Unsupported("packet capture") }

func (sniffer) next(context.Context) (Sniffed, error) {
	return Sniffed{}, platform.Unsupported("packet capture")
}
func (sniffer) lost() int    { return 0 }
func (sniffer) close() error { return nil }
