//go:build !linux && !darwin && !windows

package sock

import "github.com/reach64/reach64/platform"

func bind(uintptr, string, string) error { return platform.Unsupported("socket bound to a link") }
