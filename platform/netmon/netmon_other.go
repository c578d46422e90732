//go:build !linux && !windows && !darwin

package netmon

import (
	"context"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netstate"
)

func (m *Monitor) snapshot() (netstate.Snapshot, error) {
	return netstate.Snapshot{}, platform.Unsupported("reading the network state")
}

func (m *Monitor) watch(context.Context, chan<- struct{}) error {
	return platform.Unsupported("watching the network")
}
