//go:build !linux && !darwin

package ping

import (
	"syscall"

	"github.com/reach64/reach64/platform"
)

func whole(syscall.Conn) error { return platform.Unsupported("echo requests in one piece") }
