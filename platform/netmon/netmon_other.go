//go:build !linux

package netmon

import (
	"context"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netstate"
)

func snapshot() (netstate.Snapshot, error) {
	return netstate.Snapshot{}, platform.Unsupported("reading the network state")
}

func watch(context.Context, logrus.FieldLogger, chan<- struct{}) error {
	return platform.Unsupported("watching the network")
}
