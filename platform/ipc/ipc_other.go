//go:build unix && !linux && !darwin

package ipc

import "github.com/reach64/reach64/platform"

func peer(uintptr) (Peer, error) { return Peer{}, platform.Unsupported("peer credentials of a socket") }
